import numpy as np
import pytest
import torch
from made_photos import made_photo
from scipy import ndimage
from skimage import feature

from chromagan.imaging import color
from chromagan.imaging.color import to_tensor
from chromagan.measures import segmentation


def planes(seed, height=70, width=90):
    return color.srgb_to_lab(to_tensor(np.array(made_photo(seed, height, width))).double())[0, 1:]


def test_blur_is_scipys():
    for sigma in (0.7, 1.0, 2.5):
        expected = np.stack([ndimage.gaussian_filter(plane, sigma, mode="reflect") for plane in planes(0).numpy()])
        np.testing.assert_allclose(segmentation.blur(planes(0), sigma), expected, rtol=0, atol=1e-10)


def test_canny_is_scikit_images():
    for seed in (0, 1):
        found = segmentation.canny(planes(seed), 1.2, 0.2, 0.7).numpy()
        expected = np.stack(
            [
                feature.canny(plane, 1.2, low_threshold=0.2, high_threshold=0.7, use_quantiles=True)
                for plane in planes(seed).numpy()
            ]
        )
        inner = (slice(None), slice(6, -6), slice(6, -6))  # it blurs with zeros beyond the image
        assert (found[inner] == expected[inner]).mean() > 0.985
        assert 0.05 < found.mean() < 0.3


def test_weak_edges_count_where_they_join_strong_ones():
    dy = torch.zeros(1, 9, 60)
    dy[:, 4, 5:50], dy[:, 4, 45:50], dy[:, 7, 5:50] = 3, 10, 3
    edges = segmentation.thin_edges(dy, torch.zeros_like(dy), 2, 8)[0]
    assert edges[4, 5:50].all() and edges.sum() == 45


@pytest.mark.parametrize("shape", [(224, 224), (70, 90), (16, 200)])
def test_superpixels_cover_the_image_in_about_250_compact_parts(shape):
    labels = segmentation.superpixels(planes(0, *shape))
    assert labels.shape == (2, *shape)
    for plane in labels:
        assert 200 <= len(plane.unique()) <= 300
        cells = [np.ptp((plane == label).nonzero().numpy(), axis=0) for label in plane.unique()[::17]]
        side = (shape[0] * shape[1] / 250) ** 0.5
        assert (np.array(cells) < 3 * side + 6).all()


def test_superpixels_follow_a_strong_edge():
    plane = torch.zeros(1, 112, 112)
    plane[:, :, 50:] = 60
    labels = segmentation.superpixels(plane)[0]
    assert not set(labels[:, :49].unique().tolist()) & set(labels[:, 51:].unique().tolist())


def test_each_plane_is_taken_by_itself():
    both = planes(0) * torch.tensor([1.0, 5.0])[:, None, None]  # of other ranges
    for function in (segmentation.superpixels, segmentation.canny):
        assert torch.equal(function(both), torch.cat([function(plane[None]) for plane in both]))
