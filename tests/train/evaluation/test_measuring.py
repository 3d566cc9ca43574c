"""Measures of known colorings, their intervals, and what networks cost: by hand, without the script."""

import math
import time
from itertools import pairwise

import numpy as np
import pytest
import torch
from made_photos import made_photo

from chromagan.hub.checkpoints import list_checkpoints, save_checkpoint
from chromagan.hub.model import ChromaGAN
from chromagan.imaging import color
from chromagan.network.config import ModelConfig
from chromagan.network.decoders import DECODERS
from train.evaluation import measuring as measure
from train.evaluation.cost import LiveMemory, decoder_costs, network_costs
from train.evaluation.intervals import draws, mean_interval, median_interval, summarize
from train.evaluation.networks import GRAY, Networks, checkpoint_entry, load_networks

CPU = torch.device("cpu")


def photos(count, size=64):
    return torch.stack(
        [torch.from_numpy(np.array(made_photo(seed, size, size))).movedim(-1, 0) for seed in range(count)]
    )


class Copier(torch.nn.Module):
    """Answers with given true colors, in order, where a network would guess."""

    def __init__(self, images):
        super().__init__()
        self.answers = iter(color.normalize_ab(color.srgb_to_lab(images.float() / 255)[:, 1:]).split(1))
        self.trunk = torch.nn.Identity()

    def color(self, stages, L):
        return next(self.answers)


def test_the_truth_is_perfect():
    images = (0.3 * photos(5).float() + 90).to(torch.uint8)  # away from the gamut's edge, where the soft clip begins
    perfect = measure.evaluate(Copier(images), images, CPU)
    assert (perfect["ciede2000"] < 0.05).all() and (perfect["psnr"] > 50).all() and (perfect["ssim"] > 0.999).all()
    np.testing.assert_allclose(perfect["colorfulness"], perfect["colorfulness_truth"], rtol=0.02)


def test_trunks_are_shared_only_where_every_tensor_is_equal(source):
    entries = [checkpoint_entry(checkpoint) for checkpoint in list_checkpoints(source)]
    networks = load_networks(entries, CPU)
    assert len(set(networks.trunk_of.values())) == 1  # the source's one trunk
    for number, model in enumerate(networks.models.values()):
        next(model.trunk.parameters()).data += 0.01 * number  # as trunks are that trained
    networks = Networks(networks.models, CPU)
    assert len(set(networks.trunk_of.values())) == 3
    L = 100 * torch.rand(1, 1, 64, 64)
    with torch.inference_mode():
        apart = {entry: ab for entry, (ab,) in networks.colorize([L])}
        for model in networks.models.values():
            model.trunk.load_state_dict(networks.models[entries[0]].trunk.state_dict())
        together = Networks(networks.models, CPU)
        assert len(set(together.trunk_of.values())) == 1
        for entry, (ab,) in together.colorize([L]):
            alone = color.denormalize_ab(networks.models[entry](color.normalize_L(L)))
            torch.testing.assert_close(ab, alone)
    torch.testing.assert_close(apart[entries[0]], dict(together.colorize([L]))[entries[0]][0])


def test_only_networks_that_lack_numbers_run(source):
    entries = [checkpoint_entry(checkpoint) for checkpoint in list_checkpoints(source)]
    networks = load_networks(entries, CPU)
    for entry in entries[:2]:
        networks.models[entry].forward = networks.models[entry].color = None  # the trunk is all three's
    measurer = measure.Measurer(networks, None, CPU)
    images = [torch.randint(0, 256, (3, 64, 64), dtype=torch.uint8) for _ in range(2)]
    arrays = measure.measured_arrays(classify=False)
    found = measurer(images, [None, None], {entries[2]: set(arrays), GRAY: set(arrays)})
    assert set(found) == {entries[2], GRAY}
    for own in found.values():
        assert {name: array.shape for name, array in own.items()} == {n: (2, len(c)) for n, c in arrays.items()}


def per_image(count, **columns):
    names = ("psnr", "ciede2000", "ciede2000_p95", "colorfulness", "colorfulness_truth", "chroma_truth")
    return {name: np.asarray(columns.get(name, np.arange(1.0, count + 1)), dtype=float) for name in names}


def test_summary_by_hand():
    rows = per_image(4, psnr=[20, 30, math.inf, 40], colorfulness=[0, 10, 0, 20], colorfulness_truth=[20, 20, 0, 10])
    summary = summarize(rows | {"chroma_truth": np.array([9, 9, 0.5, 9])}, data="made")
    assert summary["data"] == "made" and summary["images"] == 4
    everything, colored = summary["all"], summary["colored"]
    assert everything["psnr_mean"]["value"] == 30 and everything["psnr_median"]["value"] == 35
    assert everything["psnr_infinite"] == 1 and colored["psnr_infinite"] == 0
    assert colored["images"] == 3 and colored["ciede2000_mean"]["value"] == pytest.approx(7 / 3, abs=1e-6)
    assert colored["colorfulness_ratio"] == 0.6
    assert colored["colorfulness_difference_of_means"]["value"] == pytest.approx(-20 / 3, abs=1e-6)
    assert colored["colorfulness_mean_of_differences"]["value"] == pytest.approx(40 / 3, abs=1e-6)


def test_intervals_cover_the_mean_and_the_median():
    values = np.random.default_rng(0).normal(10, 2, 400)
    counts = draws(400)
    standard_error = values.std() / 20
    for found, factor in (
        (mean_interval(values, counts), 1),
        (median_interval(values, counts), math.sqrt(math.pi / 2)),
    ):
        width = found["high"] - found["low"]
        np.testing.assert_allclose(width, 2 * 1.96 * standard_error * factor, rtol=0.2)
        assert found["low"] < found["value"] < found["high"]
    few = np.array([1.0, 5, 2, 9])
    counts = draws(4)
    expected = [np.median(np.repeat(few, row)) for row in counts]
    found = median_interval(few, counts)
    assert [found["low"], found["high"]] == pytest.approx(np.quantile(expected, [0.025, 0.975]).tolist())


def test_ends_are_quantiles_of_the_means_of_resamples():
    values = np.random.default_rng(0).normal(10, 2, 50)
    values[7] = np.nan  # drawn, too, and not counted
    counts = draws(50)
    assert counts.shape == (1000, 50) and (counts.sum(axis=1) == 50).all()
    low, high = np.quantile([np.nanmean(values.repeat(row)) for row in counts], [0.025, 0.975])
    value = np.nanmean(values)
    assert mean_interval(values, counts) == pytest.approx({"value": value, "low": low, "high": high, "photos": 49})


def test_two_photos_have_an_interval_and_fewer_have_none():
    two, one = (summarize(per_image(count))["all"] for count in (2, 1))
    assert two["psnr_mean"] == {"value": 1.5, "low": 1, "high": 2, "photos": 2}
    assert two["psnr_median"] == {"value": 1.5, "low": 1, "high": 2}
    assert one["psnr_mean"] == {"value": 1, "low": None, "high": None, "photos": 1}
    assert one["psnr_median"] == {"value": 1, "low": None, "high": None}
    of_three = mean_interval(np.array([np.nan, 4, np.nan]), draws(3))
    assert of_three == {"value": 4, "low": None, "high": None, "photos": 1}
    exact = summarize(per_image(3, psnr=[math.inf, math.inf, 20], chroma_truth=[1.9, 1.9, 2]))
    assert exact["all"]["psnr_median"] is None and exact["all"]["psnr_mean"]["value"] == 20
    assert exact["colored"]["images"] == 1  # of chroma 2 and more
    half = summarize(per_image(3, psnr=[20, 30, math.inf]))["all"]["psnr_median"]
    assert half == {"value": 30, "low": 20, "high": None}  # JSON has no infinity
    gray = summarize(per_image(2, chroma_truth=[0, 0], colorfulness_truth=[0, 0]))
    assert gray["colored"]["psnr_mean"] is None and gray["colored"]["psnr_median"] is None
    assert gray["all"]["colorfulness_ratio"] is None


def test_cost_of_a_known_network():
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3, padding=1), torch.nn.ReLU())
    cost = network_costs({"known": (network, torch.rand(1, 3, 512, 512))})["known"]
    assert cost["parameters"] == 8 * 28 and cost["ms"] > 0
    assert cost["gflops"] == pytest.approx(2 * 512 * 512 * 27 * 8 / 1e9, abs=1e-3)
    assert cost["peak_mib"] == pytest.approx(16, abs=0.1)  # two maps of 8 MiB
    with LiveMemory() as memory:
        for _ in range(5):
            torch.zeros(1 << 18)
    assert memory.peak == 1 << 20


def test_memory_is_held_until_the_last_tensor_of_it_is_gone():
    with LiveMemory() as memory:
        first = torch.zeros(1 << 18)
        view = first.view(2, -1)
        view.add_(1)  # returns the same tensor: one holder
        del first
        torch.zeros(1 << 18)
        assert memory.peak == 2 << 20 and memory.live == 1 << 20
        del view
        assert memory.live == 0
        torch.zeros(1 << 18)
    assert memory.peak == 2 << 20 and memory.live == 0


def test_costs_are_of_the_networks_as_they_run(tmp_path):
    """Folded: 4 products for the 9 of a convolution of a map doubled by nearest neighbors. What is trained stays."""
    model = ChromaGAN(ModelConfig.preset("lite", "original")).without_class_head()
    save_checkpoint(model, tmp_path / "original" / "epoch-0")
    entries = [checkpoint_entry(checkpoint) for checkpoint in list_checkpoints(tmp_path)]
    cost = decoder_costs(entries, 64, torch.device("cpu"))["decoders"]["original"]
    assert cost["decoder"]["parameters"] == DECODERS["original"].num_params
    assert cost["network"]["parameters"] == sum(p.numel() for p in model.parameters())
    plain, side, saved = network_costs({0: (model.decoder, torch.rand(1, 128, 8, 8))})[0], 8, 0
    for layer, behind in pairwise(model.decoder):
        if isinstance(layer, torch.nn.Upsample):
            side *= 2
            saved += 2 * 5 * behind.in_channels * behind.out_channels * side**2 / 1e9
    assert saved and cost["decoder"]["gflops"] == pytest.approx(plain["gflops"] - saved, abs=1.1e-3)


def test_times_are_of_the_fastest_turn():
    """Other work on the machine made one decoder slower than the network that it is a part of."""

    class Sleeper(torch.nn.Module):
        def __init__(self, *naps):
            super().__init__()
            self.naps = iter(naps)

        def forward(self, x):
            time.sleep(next(self.naps, 0.03))
            return x

    turns = {name: (Sleeper(*naps), torch.zeros(1)) for name, naps in (("a", [0.1] * 5 + [0.004]), ("b", [0.05] * 9))}
    costs = network_costs(turns)
    assert 4 <= costs["a"]["ms"] < 25 and 30 <= costs["b"]["ms"] < 50
