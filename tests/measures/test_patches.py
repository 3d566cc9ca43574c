import numpy as np
import pytest
import scipy.ndimage
import torch

from chromagan.measures.patches import Spots, false_red, label_patches


def test_labels_of_nested_spirals_and_of_nothing():
    mask = np.zeros((9, 9), bool)
    mask[0], mask[8], mask[:, 0], mask[2:, 8], mask[2, 2:], mask[2:7, 2], mask[6, 2:7] = [True] * 7
    sizes = label_patches(mask)[1]
    assert len(sizes) == 2 and sizes[0] == 0 and sizes[1] == mask.sum()
    assert label_patches(np.zeros((4, 4), bool))[1].tolist() == [0]


def plain(size=100, a=0.0, b=0.0):
    return torch.tensor([50.0, a, b])[:, None, None].repeat(1, size, size)


def test_false_red_counts_patches_where_the_truth_is_not_red():
    truth, coloring = plain(a=7.5), plain()
    coloring[1, 10:20, 10:30] = 25.5  # 200 pixels of red
    coloring[1, 50:57, 50:57] = 40  # 49: a spot, no patch
    coloring[1, 70:90, 70:90] = 40
    truth[1, 70:90, 70:90] = 30  # rightly red
    coloring[1, 40:60, :20] = 24.5  # not red enough
    found = false_red(coloring[None], truth[None])
    assert found.sum() == 200 and found[0, 10:20, 10:30].all()
    truth[1, 12:18] = 8.5  # neither red nor certainly not: what is left are two strips, too small each
    assert false_red(coloring[None], truth[None]).sum() == 0
    both = false_red(torch.stack([coloring, plain()]), plain()[None])
    assert both.flatten(1).sum(dim=1).tolist() == [600, 0]


@pytest.mark.parametrize("pixels, found", [(63, 0), (64, 64)])
def test_false_red_begins_at_64_pixels(pixels, found):
    coloring = plain()
    coloring[1, 20:28, 20:28] = (torch.arange(64) < pixels).reshape(8, 8) * 40.0
    assert false_red(coloring[None], plain()[None]).sum() == found


def test_spots_are_small_apart_and_not_the_truths():
    truth, coloring = plain(b=10), plain(b=10)
    coloring[1, 20:25, 20:25] = 30  # a spot
    coloring[2, 60:63, 70:75] = -20  # another, of another color
    coloring[1, 80:90, 10:20] = 40  # 100 pixels: too large
    coloring[1, 5:8, 90:95] = 12  # too near to its surroundings
    coloring[1, 95, 95] = 60  # one pixel: a trace
    coloring[1, 40:44, 80:84] = 40
    truth[1, 40:44, 80:84] = 40  # a thing of the photo's
    count, pixels = Spots(truth)(coloring)
    assert count == 2 and pixels.sum() == 25 + 15 and pixels[20:25, 20:25].all() and pixels[60:63, 70:75].all()
    assert Spots(truth)(truth)[0] == 0 and Spots(truth)(plain())[0] == 0
    assert Spots(plain(20))(plain(20))[0] == 0  # smaller than the window


def test_spots_are_outlined_at_a_distance():
    coloring = plain()
    coloring[1, 20:25, 20:25] = 30
    spot = np.zeros((100, 100), bool)
    spot[20:25, 20:25] = True
    expected = scipy.ndimage.distance_transform_edt(~spot) <= 3
    np.testing.assert_array_equal(Spots(plain()).outlined(coloring), expected)


def test_the_edge_of_a_thing_is_no_spot():
    coloring = plain()
    coloring[1, :, 50:] = 50
    assert Spots(plain())(coloring)[0] == 0


def test_spots_of_the_surroundings_equal_a_plain_box_filter():
    generator = np.random.default_rng(0)
    lab = plain(70)
    # Far from gray, where a mean over too many or too few pixels is far from the mean.
    lab[1:] = torch.from_numpy(generator.normal(90, 14, (2, 70, 70)).astype(np.float32))
    ab = lab[1:].double().numpy()
    window = np.ones((33, 33))
    count = scipy.ndimage.convolve(np.ones((70, 70)), window, mode="constant")
    means = [scipy.ndimage.convolve(plane, window, mode="constant") / count for plane in ab]
    expected = np.hypot(ab[0] - means[0], ab[1] - means[1]) > 15
    np.testing.assert_array_equal(Spots(lab).true_details, expected)


def test_spots_equal_those_taken_patch_by_patch():
    """On clouds of color, whose patches have all shapes and sizes and lie at the border, too."""
    fine, coarse = np.random.default_rng(2).normal(size=(2, 2, 2, 120, 90))
    clouds = 40 * scipy.ndimage.gaussian_filter(fine, (0, 0, 1.2, 1.2))
    clouds += 100 * scipy.ndimage.gaussian_filter(coarse, (0, 0, 5, 5))
    clouds[1] = 0.6 * clouds[0] + 0.7 * clouds[1]  # a coloring like the truth
    truth, coloring = (torch.cat([torch.full((1, 120, 90), 50.0), 30 + torch.from_numpy(ab).float()]) for ab in clouds)
    details, ab = Spots(truth).true_details, coloring[1:].double().numpy()
    labels, patches = scipy.ndimage.label(Spots(coloring).true_details, np.ones((3, 3)))
    spots, rejected = [], {"size": 0, "detail": 0, "ring": 0}
    for label in range(1, patches + 1):
        own = labels == label
        y, x = own.nonzero()
        around = np.zeros_like(own)
        around[max(y.min() - 4, 0) : y.max() + 5, max(x.min() - 4, 0) : x.max() + 5] = True
        apart = np.hypot(*(ab[:, own].mean(axis=1) - ab[:, around & ~own].mean(axis=1)))
        if not 4 <= len(y) < 64:
            rejected["size"] += 1
        elif details[own].mean() >= 0.5:
            rejected["detail"] += 1
        elif apart <= 15:
            rejected["ring"] += 1
        else:
            spots.append(label)
    assert min(len(spots), *rejected.values()) > 20, (len(spots), rejected)
    count, pixels = Spots(truth)(coloring)
    assert count == len(spots)
    np.testing.assert_array_equal(pixels, np.isin(labels, spots))
