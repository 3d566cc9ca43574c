import numpy as np
import torch
from made_photos import made_photo
from torch.nn import functional as F

from chromagan.hub.checkpoints import list_checkpoints, load_checkpoint
from chromagan.imaging.chroma import MODES
from train.benchmarks import chroma as benchmark_chroma
from train.benchmarks.chroma import chroma_table, mean_errors, measure


def test_true_chroma_comes_back_better_at_edges_and_networks_are_there(source):
    """On photos of smooth rectangles, whose edges L shares; the ratio in the table is that of the means."""
    images = torch.stack([torch.from_numpy(np.array(made_photo(seed, 224, 224))).movedim(-1, 0) for seed in range(3)])
    networks = {c.decoder: load_checkpoint(c).eval() for c in list_checkpoints(source)}
    found = measure(images, networks)
    assert list(found) == ["true chroma, 56×56", "true chroma, 28×28", "Compact", "Depthwise convolutions"]
    near = {mode: values[:, 0].mean() for mode, values in found["true chroma, 56×56"].items()}
    assert near["edge-aware"] < 0.75 * near["bilinear"]
    assert f"| {near['edge-aware'] / near['bilinear']:.3f} |" in chroma_table(
        {"photos": 3, "data": "made", "ciede2000": mean_errors(found)}
    )


def test_nothing_is_lost_where_nothing_was_reduced(monkeypatch):
    monkeypatch.setattr(benchmark_chroma, "FACTORS", (1,))
    image = torch.from_numpy(np.array(made_photo(0, 224, 224))).movedim(-1, 0)
    image = F.avg_pool2d(image.float(), 5, 1, 2).byte()  # colors that sRGB has, away from its gamut's edge
    ((_, modes),) = measure(image[None], {}).items()
    for values in modes.values():
        assert values.mean() < 0.3  # the gamut's soft edge, and 8 bits


def test_a_kind_of_pixel_that_no_photo_has_is_no_number():
    found = {"flat": {mode: np.array([[np.nan, 2.0], [np.nan, 4.0]]) for mode in MODES}}
    means = mean_errors(found)
    assert set(map(tuple, means["flat"].values())) == {(None, 3.0)}
    assert chroma_table({"photos": 2, "data": "d", "ciede2000": means}).endswith(
        "| flat | – | – | – | 3.000 | 3.000 | 1.000 |"
    )


def test_an_error_of_zero_has_no_ratio():
    """As that of a photo of one color, whose chroma is lost by no reduction."""
    found = {"flat": {mode: [None, 0.0] for mode in MODES}}
    assert chroma_table({"photos": 1, "data": "d", "ciede2000": found}).endswith(
        "| flat | – | – | – | 0.000 | 0.000 | – |"
    )
