import math
import time

import numpy as np
import pytest
import scipy.linalg
import torch
from made_photos import made_photo
from skimage import color as reference_color
from skimage import metrics as reference
from skimage.segmentation import slic

from chromagan.imaging import color
from chromagan.imaging.color import to_tensor
from chromagan.measures import metrics
from chromagan.measures.segmentation import blur, canny, superpixels


def images(seed, count=3):
    return torch.rand(count, 3, 24, 31, generator=torch.Generator().manual_seed(seed))


def test_psnr_equals_scikit_image():
    ours = metrics.psnr(images(0), images(1))
    for value, a, b in zip(ours, images(0).numpy(), images(1).numpy(), strict=True):
        assert value.item() == pytest.approx(reference.peak_signal_noise_ratio(b, a, data_range=1), rel=1e-5)
    assert metrics.psnr(images(0), images(0)).tolist() == [math.inf] * 3


def test_ciede2000_equals_scikit_image():
    lab = [color.srgb_to_lab(images(seed).double()) for seed in (2, 3)]
    lab[0][:, 1:, :8], lab[1][:, 1:, 4:12] = 0, 0  # gray has no hue: either one, and both
    expected = [reference_color.deltaE_ciede2000(a, b, channel_axis=0) for a, b in zip(*(x.numpy() for x in lab))]
    np.testing.assert_allclose(metrics.ciede2000(*lab), expected, rtol=0, atol=1e-9)  # in float64 throughout


SHARMA = """50 2.6772 -79.7751|50 0 -82.7485|2.0425
50 3.1571 -77.2803|50 0 -82.7485|2.8615
50 2.8361 -74.0200|50 0 -82.7485|3.4412
50 -1.3802 -84.2814|50 0 -82.7485|1.0000
50 -1.1848 -84.8006|50 0 -82.7485|1.0000
50 -0.9009 -85.5211|50 0 -82.7485|1.0000
50 0 0|50 -1 2|2.3669
50 -1 2|50 0 0|2.3669
50 2.4900 -0.0010|50 -2.4900 0.0009|7.1792
50 2.4900 -0.0010|50 -2.4900 0.0010|7.1792
50 2.4900 -0.0010|50 -2.4900 0.0011|7.2195
50 2.4900 -0.0010|50 -2.4900 0.0012|7.2195
50 -0.0010 2.4900|50 0.0009 -2.4900|4.8045
50 -0.0010 2.4900|50 0.0010 -2.4900|4.8045
50 -0.0010 2.4900|50 0.0011 -2.4900|4.7461
50 2.5 0|50 0 -2.5|4.3065
50 2.5 0|73 25 -18|27.1492
50 2.5 0|61 -5 29|22.8977
50 2.5 0|56 -27 -3|31.9030
50 2.5 0|58 24 15|19.4535
50 2.5 0|50 3.1736 0.5854|1.0000
50 2.5 0|50 3.2972 0|1.0000
50 2.5 0|50 1.8634 0.5757|1.0000
50 2.5 0|50 3.2592 0.3350|1.0000
60.2574 -34.0099 36.2677|60.4626 -34.1751 39.4387|1.2644
63.0109 -31.0961 -5.8663|62.8187 -29.7946 -4.0864|1.2630
61.2901 3.7196 -5.3901|61.4292 2.2480 -4.9620|1.8731
35.0831 -44.1164 3.7933|35.0232 -40.0716 1.5901|1.8645
22.7233 20.0904 -46.6940|23.0331 14.9730 -42.5619|2.0373
36.4612 47.8580 18.3852|36.2715 50.5065 21.2231|1.4146
90.8027 -2.0831 1.4410|91.1528 -1.6435 0.0447|1.4441
90.9257 -0.5406 -0.9208|88.6381 -0.8985 -0.7239|1.5381
6.7747 -0.2908 -2.4247|5.8714 -0.0985 -2.2286|0.6377
2.0776 0.0795 -1.1350|0.9033 -0.0636 -0.5514|0.9082"""  # Sharma, Wu and Dalal 2005, table 1: Lab | Lab | CIEDE2000


def test_ciede2000_published_pairs():
    numbers = np.array([line.replace("|", " ").split() for line in SHARMA.splitlines()], dtype=float)
    assert len(numbers) == 34
    lab_1, lab_2 = (torch.from_numpy(columns.T)[None, :, None] for columns in (numbers[:, :3], numbers[:, 3:6]))
    for one, two in ((lab_1, lab_2), (lab_2, lab_1)):
        np.testing.assert_allclose(metrics.ciede2000(one, two)[0, 0], numbers[:, 6], rtol=0, atol=5e-5)
    reference_values = reference_color.deltaE_ciede2000(numbers[:, :3], numbers[:, 3:6])
    np.testing.assert_allclose(reference_values, numbers[:, 6], rtol=0, atol=1e-4)  # the table itself, typed right


def test_ssim_equals_scikit_image():
    truth = torch.stack([to_tensor(np.array(made_photo(seed, 40, 52)))[0] for seed in range(3)])
    for other in (images(1), truth.roll(1, 0), (truth + 0.03).clamp(0, 1)):
        one = other[..., :40, :52] if other is not truth else other
        two = truth[..., : one.shape[-2], : one.shape[-1]]
        expected = [
            reference.structural_similarity(
                b.numpy(), a.numpy(), data_range=1, channel_axis=0, gaussian_weights=True, sigma=1.5,
                use_sample_covariance=False,
            )
            for a, b in zip(one.double(), two.double())
        ]  # fmt: skip
        np.testing.assert_allclose(metrics.ssim(one.double(), two.double()), expected, rtol=0, atol=1e-9)
        np.testing.assert_allclose(metrics.ssim(one, two), expected, rtol=0, atol=2e-5)
    np.testing.assert_allclose(metrics.ssim(truth, truth), 1, atol=1e-6)
    with pytest.raises(ValueError, match="11x11"):
        metrics.ssim(truth[..., :10, :], truth[..., :10, :])


def test_colorfulness_by_hand():
    """Half red, half blue: rg is 255 and 0, yb is 127.5 and -255."""
    image = torch.zeros(1, 3, 2, 2)
    image[:, 0, 0], image[:, 2, 1] = 1, 1
    deviation = math.hypot(127.5, (127.5 + 255) / 2)
    mean = math.hypot(127.5, (127.5 - 255) / 2)
    assert metrics.colorfulness(image).item() == pytest.approx(deviation + 0.3 * mean, rel=1e-6)
    assert metrics.colorfulness(torch.full((1, 3, 4, 4), 0.4)).item() == pytest.approx(0, abs=1e-4)


def test_mean_chroma_tells_gray_from_color():
    gray = torch.rand(1, 1, 8, 8).expand(-1, 3, -1, -1)
    assert metrics.mean_chroma(gray).item() < 0.1
    red = torch.tensor([1.0, 0, 0]).view(1, 3, 1, 1)
    assert metrics.mean_chroma(red).item() == pytest.approx(math.hypot(80.09, 67.20), abs=0.02)


def lab_of(photo):
    return color.srgb_to_lab(to_tensor(np.array(photo)))


def test_a_toned_print_has_no_chroma_beyond_its_tone():
    """Duotones, whatever their strength; a second hue is beyond it, and lightness that does not vary tells nothing."""
    L = torch.linspace(10, 90, 64 * 64).reshape(1, 1, 64, 64)
    flat = torch.full_like(L, 50.0)
    for ab, beyond in (
        ((8 + 0.1 * L, 20 + 0.05 * L), 0.0),  # sepia: warmer where it is lighter
        ((0 * L, 0 * L), 0.0),
        ((torch.where(torch.arange(64) < 32, 10.0, -10.0).expand_as(L), 0 * L), 10.0),
    ):
        image = color.lab_to_srgb(torch.cat([L, *ab], dim=1))
        assert metrics.chroma_beyond_tone(image).item() == pytest.approx(beyond, abs=0.3)
    two = torch.where(torch.arange(64) < 32, 10.0, -10.0).expand_as(L)
    image = color.lab_to_srgb(torch.cat([flat, two, 0 * L], dim=1))
    assert metrics.chroma_beyond_tone(image).item() == pytest.approx(10.0, abs=0.3)


def test_chroma_edges_stand_where_color_changes_and_only_there():
    lab = torch.zeros(1, 3, 40, 60)
    lab[:, 0, :20] = 70  # an edge of lightness alone
    lab[:, 1, :, 30:], lab[:, 2, :, 30:] = 12, -16
    edges = metrics.chroma_edges(lab)[0]
    columns = edges[1:-1].float().mean(dim=0)
    assert columns.nonzero().flatten().tolist() in ([29], [30], [29, 30]) and columns.max() == 1
    assert not metrics.chroma_edges(lab * torch.tensor([1, 0.2, 0.2]).view(3, 1, 1)).any()  # a step of 4 units


def side_by_side(left, right, height=40, width=60):
    """Two colors (a, b), Lab (1, 3, height, width)."""
    lab = torch.full((1, 3, height, width), 50.0)
    lab[:, 1:, :, : width // 2] = torch.tensor(left, dtype=torch.float32)[:, None, None]
    lab[:, 1:, :, width // 2 :] = torch.tensor(right, dtype=torch.float32)[:, None, None]
    return lab


# Beside a step of 1, blurred with the weights w, the slope is (w(0) + w(1)) / 2, for sigma 1 0.32: a slope of 4 units
# per pixel is a step of 12.48.
@pytest.mark.parametrize("direction", [(1, 0), (0, 1), (-0.6, 0.8)])
@pytest.mark.parametrize("height, edge", [(12.4, False), (12.6, True)])
def test_a_chroma_edge_begins_at_a_slope_of_4(direction, height, edge):
    lab = side_by_side((0, 0), [height * part for part in direction])
    for image in (lab, lab.mT, lab.flip(3)):
        assert metrics.chroma_edges(image).any() == edge


def test_a_chroma_edge_is_followed_down_to_a_slope_of_2():
    lab = side_by_side((0, 0), (1, 0), height=80)
    heights = torch.linspace(20, 2, 80)
    lab[:, 1] *= heights[:, None]
    rows = metrics.chroma_edges(lab)[0].any(dim=1).nonzero().flatten()
    assert rows.tolist() == list(range(1, len(rows) + 1)) and heights[rows[-1]] == pytest.approx(12.5 / 2, abs=0.3)


def test_near_edges_is_the_euclidean_distance():
    edges = torch.zeros(1, 21, 21, dtype=torch.bool)
    edges[0, 10, 10] = True
    y, x = torch.meshgrid(torch.arange(21), torch.arange(21), indexing="ij")
    assert torch.equal(metrics.near_edges(edges, 4)[0], (y - 10) ** 2 + (x - 10) ** 2 <= 16)


def test_boundary_means_by_hand():
    difference = torch.tensor([[[1.0, 3.0], [5.0, 9.0]], [[1.0, 1.0], [1.0, 1.0]]])
    near = torch.tensor([[[True, True], [False, False]], [[False] * 2] * 2])
    inside, elsewhere = metrics.boundary_means(difference, near)
    assert inside[0] == 2 and elsewhere.tolist() == [7, 1] and inside[1].isnan()


def cdr(lab, lab_truth):
    """CDR of one Lab image (1, 3, H, W) against the true one."""
    return metrics.ClusterDiscrepancy(lab_truth[0])(lab[0])


def literal_superpixels(plane):
    """SLIC as one would write it down: for each pixel, for each cluster near its cell. Small images only."""
    height, width = plane.shape
    side = math.sqrt(height * width / 250)
    rows, columns = max(1, round(height / side)), max(1, round(width / side))
    cell_y, cell_x = -(-height // rows), -(-width // columns)
    low, high = plane.min(), plane.max()
    stretched = (plane - low) / (high - low).clamp_min(1)
    values = (blur(color.gray_to_L(stretched)[None], 1.0) / 10)[0].tolist()
    one = np.float32
    values = [[one(v) for v in row] for row in values]
    scale = one(1 / (cell_y * cell_x))
    centers = {}
    for r in range(rows):
        for c in range(columns):
            y, x = min(r * cell_y + cell_y // 2, height - 1), min(c * cell_x + cell_x // 2, width - 1)
            centers[r, c] = (one(r * cell_y + (cell_y - 1) / 2), one(c * cell_x + (cell_x - 1) / 2), values[y][x])
    labels = [[None] * width for _ in range(height)]
    for _ in range(6):
        for y in range(height):
            for x in range(width):
                best = math.inf
                for r in range(y // cell_y - 1, y // cell_y + 2):
                    for c in range(x // cell_x - 1, x // cell_x + 2):
                        if (r, c) not in centers:
                            continue
                        center_y, center_x, center_value = centers[r, c]
                        dy, dx, dv = one(y) - center_y, one(x) - center_x, values[y][x] - center_value
                        distance = dv * dv + dy * dy * scale + dx * dx * scale
                        if distance < best:
                            best, labels[y][x] = distance, (r, c)
        members = {}
        for x_in in range(cell_x * columns):  # any order will do: sums are in float64
            for y in range(height):
                if x_in < width:
                    members.setdefault(labels[y][x_in], []).append((y, x_in, float(values[y][x_in])))
        for key, pixels in members.items():
            centers[key] = tuple(one(sum(p[k] for p in pixels) / len(pixels)) for k in range(3))
    return labels


def literal_cdr(lab, lab_truth, clusters=literal_superpixels):
    """The formula in ClusterDiscrepancy's docstring, pixel by pixel."""
    channels = []
    for channel in (1, 2):
        truth, image = clusters(lab_truth[channel]), clusters(lab[channel])
        edges = canny(lab_truth[channel][None])[0]
        height, width = edges.shape
        ratios = []
        for y in range(height):
            for x in range(width):
                if not edges[y, x]:
                    continue
                separated = kept = 0
                for v in range(max(0, y - 4), min(height, y + 5)):
                    for u in range(max(0, x - 4), min(width, x + 5)):
                        if truth[v][u] != truth[y][x]:
                            separated += 1
                            kept += image[v][u] != image[y][x]
                ratios.append(kept / separated if separated else 1.0)
        channels.append(sum(ratios) / len(ratios))
    return sum(channels) / 2


def seconds_of_one_core(function):
    """What function gives and the time this thread ran: another program on the same cores does not count."""
    start = time.thread_time()
    return function(), time.thread_time() - start


@pytest.mark.parametrize("height, width", [(80, 96), (67, 83)])
def test_cdr_equals_the_literal_version_and_is_fifty_times_faster(height, width):
    truth = lab_of(made_photo(3, height, width))
    image = truth.clone()
    image[:, 1:] = torch.stack([blur(plane, 2.0) for plane in truth[:, 1:].unbind(dim=1)], dim=1)
    expected, literal_time = seconds_of_one_core(lambda: literal_cdr(image[0], truth[0]))
    runs = [seconds_of_one_core(lambda: cdr(image, truth)) for _ in range(10)]
    assert runs[0][0] == pytest.approx(expected, abs=1e-6)
    assert 0.5 < runs[0][0] < 0.99
    fast_times = [seconds for _, seconds in runs]
    assert literal_time > 50 * min(fast_times), (literal_time, fast_times)


def test_cdr_is_one_for_the_truth_and_falls_with_bleeding():
    truth = lab_of(made_photo(5, 96, 96))
    assert cdr(truth, truth) == pytest.approx(1)
    values = []
    for sigma in (1.0, 3.0, 8.0):
        bled = truth.clone()
        bled[:, 1:] = torch.stack([blur(plane, sigma) for plane in truth[:, 1:].unbind(dim=1)], dim=1)
        values.append(cdr(bled, truth))
    assert 1 > values[0] > values[1] > values[2]
    gray = truth * torch.tensor([1.0, 0, 0]).view(3, 1, 1)
    assert cdr(gray, truth) < 0.9
    assert math.isnan(cdr(truth, gray))


def test_cdr_agrees_with_scikit_images_superpixels():
    """The authors' clusters: scikit-image's SLIC, which searches farther and joins loose parts."""

    def clusters(plane):
        return slic(plane.double().numpy()[..., None].repeat(3, -1), 250, 10, sigma=1)

    truth = lab_of(made_photo(7, 112, 112))
    ours, theirs = [], []
    for sigma in (0.5, 1.5, 3.0):
        bled = truth.clone()
        bled[:, 1:] = torch.stack([blur(plane, sigma) for plane in truth[:, 1:].unbind(dim=1)], dim=1)
        ours.append(cdr(bled, truth))
        theirs.append(literal_cdr(bled[0], truth[0], clusters))
    np.testing.assert_allclose(ours, theirs, atol=0.08)
    assert np.argsort(ours).tolist() == np.argsort(theirs).tolist()


def test_a_gray_channels_rounding_is_not_an_edge():
    gray = torch.randint(0, 256, (1, 1, 48, 48), generator=torch.Generator().manual_seed(0)).expand(-1, 3, -1, -1) / 255
    noise = color.srgb_to_lab(gray)[:, 1]
    assert torch.equal(superpixels(noise), superpixels(torch.zeros_like(noise)))


def test_frechet_distance_in_closed_form():
    """Between N(m1, diag(s1^2)) and N(m2, diag(s2^2)) it is |m1 - m2|^2 + |s1 - s2|^2."""
    generator = torch.Generator().manual_seed(0)
    q = torch.randn(400, 5, generator=generator, dtype=torch.float64)
    q, _ = torch.linalg.qr(
        q - q.mean(dim=0)
    )  # columns orthonormal and of mean zero: sample covariance exactly diagonal
    base = q * math.sqrt(399)
    s1, s2 = torch.tensor([1.0, 2, 3, 0.5, 0]).double(), torch.tensor([2.0, 2, 1, 0, 0]).double()
    m1, m2 = torch.arange(5.0).double(), torch.ones(5).double()
    expected = ((m1 - m2) ** 2).sum() + ((s1 - s2) ** 2).sum()
    assert metrics.frechet_distance(m1 + s1 * base, m2 + s2 * base) == pytest.approx(expected.item(), rel=1e-9)
    few = torch.randn(40, 7, generator=generator), 1 + torch.randn(30, 7, generator=generator)
    cov = [np.cov(x.double().numpy(), rowvar=False) for x in few]
    middle = scipy.linalg.sqrtm(cov[0]) @ cov[1] @ scipy.linalg.sqrtm(cov[0])
    means = few[0].double().mean(dim=0) - few[1].double().mean(dim=0)
    root = np.sqrt(np.linalg.eigvalsh(middle.real).clip(0)).sum()
    expected = (means @ means).item() + np.trace(cov[0]) + np.trace(cov[1]) - 2 * root
    assert metrics.frechet_distance(*few) == pytest.approx(expected, rel=1e-9)
    wide = torch.randn(3, 50, generator=generator)  # fewer images than features: singular covariances
    assert metrics.frechet_distance(wide, wide + 2) == pytest.approx(200, rel=1e-6)
    assert metrics.frechet_distance(few[0], few[0]) == pytest.approx(0, abs=1e-9)
    assert math.isnan(metrics.frechet_distance(few[0][:1], few[1]))


def test_no_number_depends_on_the_batch():
    truth = torch.stack([to_tensor(np.array(made_photo(seed, 64, 64)))[0] for seed in range(3)])
    other = truth.flip(0)
    for measure in (metrics.psnr, metrics.ssim):
        alone = torch.cat([measure(a[None], b[None]) for a, b in zip(other, truth)])
        torch.testing.assert_close(measure(other, truth), alone, rtol=0, atol=1e-9)
    for measure in (metrics.colorfulness, metrics.mean_chroma):
        alone = torch.cat([measure(a[None]) for a in other])
        torch.testing.assert_close(measure(other), alone, rtol=0, atol=1e-6)
    lab, lab_truth = color.srgb_to_lab(other), color.srgb_to_lab(truth)
    alone = torch.cat([metrics.ciede2000(a[None], b[None]) for a, b in zip(lab, lab_truth)])
    torch.testing.assert_close(metrics.ciede2000(lab, lab_truth), alone, rtol=0, atol=1e-4)
    edges = lab_truth[:, 1] > 20
    assert torch.equal(metrics.near_edges(edges), torch.cat([metrics.near_edges(each[None]) for each in edges]))


def test_a_toned_strip_is_as_toned_as_a_whole_print():
    ramp = torch.linspace(0.1, 0.9, 1300).expand(1, 3, 12, 1300) * torch.tensor([1.0, 0.85, 0.65]).view(1, 3, 1, 1)
    beyond = metrics.chroma_beyond_tone(ramp)
    assert beyond.isfinite().all() and beyond < metrics.GRAY_CHROMA


def test_chroma_beyond_tone_is_that_of_at_most_64_pixels_a_side():
    """Columns of two colors, one pixel each: of twice 64 pixels, they are averaged in pairs, and nothing is left."""
    columns = color.lab_to_srgb(torch.tensor([[50.0, 50.0], [10, -10], [0, 0]])[None, :, None])  # (1, 3, 1, 2)
    few, many = (metrics.chroma_beyond_tone(columns.repeat(1, 1, side, side // 2)).item() for side in (64, 128))
    assert few == pytest.approx(10, abs=0.01) and many == pytest.approx(0, abs=1e-3)
