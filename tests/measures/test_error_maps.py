import numpy as np
import pytest
from made_photos import made_photo
from matplotlib import colormaps

from chromagan.measures import error_maps


def flat(rgb, size=48):
    return np.full((size, size, 3), rgb, np.uint8)


def test_error_map_is_dark_where_equal_and_brighter_with_the_error():
    truth = np.array(made_photo(0))
    assert (error_maps.error_map(truth, truth) == error_maps.HEAT[0]).all()
    image = truth.copy()
    image[:32] = truth[:32].mean(axis=-1, keepdims=True).astype(np.uint8)
    heat = error_maps.error_map(image, truth).sum(axis=-1)
    assert heat.shape == (64, 64) and heat[:32].mean() > 10 * heat[32:].mean()


def test_the_scale_ends_where_it_says():
    np.testing.assert_array_equal(error_maps.heat_map(np.array([[0, 15, 30, 300]]))[0], error_maps.HEAT[[0, 4, 8, 8]])
    scale = error_maps.heat_map(np.linspace(0, 30, 90)[None])
    assert scale.shape == (1, 90, 3) and (np.diff(scale.astype(int).sum(axis=-1)) >= 0).all()


def test_the_scale_is_inferno():
    np.testing.assert_allclose(error_maps.HEAT, 255 * colormaps["inferno"](np.linspace(0, 1, 9))[:, :3], atol=3)


def test_edge_overlay_lies_on_the_darkened_photo():
    assert (error_maps.edge_overlay(flat((200, 30, 30)), flat((100, 100, 100))) == 55).all()


@pytest.mark.parametrize("shift, same", [(0, True), (1, True), (3, False)])
def test_an_edge_is_the_same_within_a_pixel(shift, same):
    truth, image = flat((60, 120, 60)), flat((60, 120, 60))
    truth[:, 24:] = image[:, 24 + shift :] = (150, 90, 90)
    overlay = error_maps.edge_overlay(image, truth)
    inks = (error_maps.BOTH_EDGES, error_maps.TRUE_EDGE, error_maps.FOUND_EDGE)
    assert [(overlay == ink).all(axis=-1).any() for ink in inks] == [same, not same, not same]


def test_edge_overlay_tells_missed_true_and_invented_edges():
    truth = flat((60, 120, 60))
    truth[:, 24:] = (150, 90, 90)
    image = flat((90, 100, 90))
    image[24:] = (60, 60, 160)

    def has(picture, ink):
        return (picture == ink).all(axis=-1)

    same = error_maps.edge_overlay(truth, truth)
    assert has(same, error_maps.BOTH_EDGES)[:, 22:26].sum() >= 44
    assert not has(same, error_maps.TRUE_EDGE).any() and not has(same, error_maps.FOUND_EDGE).any()
    other = error_maps.edge_overlay(image, truth)
    assert has(other, error_maps.TRUE_EDGE)[:, 22:26].sum() > 35 and has(other, error_maps.FOUND_EDGE)[22:26].sum() > 35


def test_a_place_is_outlined_and_the_rest_dimmed():
    image = np.full((20, 30, 3), 100, np.uint8)
    mask = np.zeros((20, 30), bool)
    mask[5:10, 5:10] = True
    marked = error_maps.outlined(image, mask)
    assert (marked[mask] == 100).all() and (marked[4, 4:11] == 255).all() and (marked[3, 3:12] == 0).all()
    assert (marked[15:, 15:] == 50).all() and (image == 100).all()
    for whole in (np.zeros_like(mask), np.ones_like(mask)):
        assert (error_maps.outlined(image, whole) == image).all()
