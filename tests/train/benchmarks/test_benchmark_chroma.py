import numpy as np
import pytest
import torch
from conftest import made_photo
from torch.nn import functional as F

from chromagan.hub.checkpoints import list_checkpoints, load_checkpoint
from train.benchmarks import chroma as benchmark_chroma
from train.benchmarks.chroma import markdown, measure


def test_true_chroma_comes_back_better_at_edges_and_networks_are_there(source):
    """On photos of smooth rectangles, whose edges L shares; the ratio in the table is that of the means."""
    images = torch.stack([torch.from_numpy(np.array(made_photo(seed, 224, 224))).movedim(-1, 0) for seed in range(3)])
    networks = {c.decoder: load_checkpoint(c).eval() for c in list_checkpoints(source)}
    found = measure(images, networks)
    assert list(found) == ["true chroma, 56×56", "true chroma, 28×28", "Compact", "Depthwise convolutions"]
    near = {mode: values[:, 0].mean() for mode, values in found["true chroma, 56×56"].items()}
    assert near["edge-aware"] < 0.75 * near["bilinear"]
    assert f"| {near['edge-aware'] / near['bilinear']:.3f} |" in markdown(found)


def test_nothing_is_lost_where_nothing_was_reduced(monkeypatch):
    monkeypatch.setattr(benchmark_chroma, "FACTORS", (1,))
    image = torch.from_numpy(np.array(made_photo(0, 224, 224))).movedim(-1, 0)
    image = F.avg_pool2d(image.float(), 5, 1, 2).byte()  # colors that sRGB has, away from its gamut's edge
    ((_, modes),) = measure(image[None], {}).items()
    for values in modes.values():
        assert values.mean() < 0.3  # the gamut's soft edge, and 8 bits


@pytest.mark.parametrize("flag", ["--source", "--data"])
def test_what_is_not_there_is_one_line(flag, source, image_folder, capsys, tmp_path):
    options = {"--source": str(source), "--data": str(image_folder)} | {flag: str(tmp_path / "missing")}
    assert benchmark_chroma.main(benchmark_chroma.parse_args([part for pair in options.items() for part in pair])) == 1
    printed = capsys.readouterr().err
    assert printed.count("\n") == 1 and "missing" in printed
