"""The refiner: what its actions do, what it reads, and which networks it is for."""

import json
import math
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch

from chromagan.errors import OptionError
from chromagan.network.config import MAX_CHANNELS, ModelConfig
from chromagan.network.refiner import ACTIONS, MAX_STEPS, REACH, Refiner, RefinerConfig, double, halve, select_action

ROOT = Path(__file__).resolve().parents[2]
CONFIG = RefinerConfig(channels=8, steps=3, trunk_channels=(3, 4, 5, 6))


@pytest.fixture(scope="module")
def refiner():
    return made_refiner().eval()


def made_refiner():
    """One that does not leave everything as it is."""
    torch.manual_seed(0)
    refiner = Refiner(CONFIG)
    for head in (refiner.policy, refiner.value):
        torch.nn.init.normal_(head.weight, std=0.3)
    return refiner


def made_inputs(side=64, batch=2):
    choose = torch.Generator().manual_seed(1)
    stages = [
        torch.randn(batch, channels, side // stride, side // stride, generator=choose)
        for stride, channels in zip(CONFIG.trunk_strides, CONFIG.trunk_channels)
    ]
    L, ab = (torch.rand(batch, n, side, side, generator=choose) * 2 - 1 for n in (1, 2))
    return stages, L, ab / 2


def test_every_action_does_what_its_name_says(refiner):
    """In Lab units, on a color of ab (22, -11) between neighbors of another."""
    ab = torch.zeros(1, 2, 9, 9)
    ab[0, :, 4, 4] = torch.tensor([22.0, -11.0]) / 110
    outcomes = refiner.apply_each_action(ab, refiner.bilateral_weights(torch.zeros(1, 1, 9, 9)))[0, :, :, 4, 4] * 110
    delta, factor, neighbors = CONFIG.delta, CONFIG.factor, (2 * REACH + 1) ** 2
    expected = {
        "leave": (22, -11), "redder": (22 + delta, -11), "greener": (22 - delta, -11), "yellower": (22, -11 + delta),
        "bluer": (22, -11 - delta), "weaker": (22 * factor, -11 * factor), "stronger": (22 / factor, -11 / factor),
        "like its neighbors": (22 / neighbors, -11 / neighbors),
    }  # fmt: skip
    assert tuple(expected) == ACTIONS
    torch.testing.assert_close(outcomes, torch.tensor(list(expected.values())).float(), atol=1e-4, rtol=0)
    for index in range(len(ACTIONS)):
        taken = select_action(outcomes[None, :, :, None, None], torch.full((1, 1, 1), index))
        assert torch.equal(taken[0, :, 0, 0], outcomes[index])


def test_colors_never_leave_the_range_of_the_network(refiner):
    ab = torch.ones(1, 2, 8, 8)
    assert refiner.apply_each_action(ab, refiner.bilateral_weights(torch.zeros(1, 1, 8, 8))).max() == 1


def test_neighbors_of_another_lightness_do_not_count(refiner):
    """An edge of L of 50 units: the mean on each side is that side's color."""
    L, ab = torch.zeros(1, 1, 8, 8), torch.zeros(1, 2, 8, 8)
    L[..., 4:], ab[..., 4:] = 1.0, 0.4
    weights = refiner.bilateral_weights(L)
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(1, 8, 8))
    torch.testing.assert_close(refiner.mean_of_neighbors(ab, weights), ab, atol=1e-6, rtol=0)
    flat = refiner.mean_of_neighbors(ab, refiner.bilateral_weights(torch.zeros(1, 1, 8, 8)))
    assert flat[0, 0, 4, 3] == pytest.approx(0.4 * 2 / 5)  # two of five columns lie beyond


def test_weights_of_neighbors_fall_with_the_difference_in_lightness(refiner):
    """A pixel that is one standard deviation lighter than the 24 around it: each of them counts exp(-1/2)."""
    L = torch.zeros(1, 1, 9, 9)
    L[..., 4, 4] = CONFIG.like / 50
    own = refiner.bilateral_weights(L)[0, 12, 4, 4].item()
    assert own == pytest.approx(1 / (1 + 24 * math.exp(-0.5)), rel=1e-5)


def test_steps_are_the_most_probable_actions_one_after_the_other(refiner):
    stages, L, ab = made_inputs()
    with torch.no_grad():
        walk = list(refiner.steps(stages, L, ab, 3))
        present, weights = halve(ab), refiner.bilateral_weights(halve(L))
        context = refiner.context(stages, L, present)
        for step, (after, actions) in enumerate(walk):
            outcomes = refiner.apply_each_action(present, weights)
            logits, aim, values = refiner(context, present, outcomes, step)
            assert logits.shape == (2, len(ACTIONS), 32, 32) and values.shape == (2, 1, 32, 32)
            assert torch.equal(actions, logits.argmax(dim=1)) and aim.shape == present.shape
            present = select_action(outcomes, actions)
            assert torch.equal(after, present)
        assert torch.equal(refiner.refine(stages, L, ab, 3), double(present))
        assert torch.equal(refiner.refine(stages, L, ab, 0), ab)


def test_each_step_is_told_which_share_of_the_steps_is_behind_it(refiner):
    seen = []
    hook = refiner.read_ab.register_forward_pre_hook(lambda _, inputs: seen.extend(inputs[0][:, -1].unique().tolist()))
    with torch.no_grad():
        list(refiner.steps(*made_inputs(), 2))
    hook.remove()
    assert seen == pytest.approx([0, 1 / 3])


def test_an_untrained_refiner_leaves_everything_as_it_is():
    stages, L, ab = made_inputs()
    with torch.no_grad():
        for after, actions in Refiner(CONFIG).eval().steps(stages, L, ab, 3):
            assert torch.equal(after, halve(ab)) and not actions.any()


def test_pixels_go_where_the_network_aims():
    """An aim that is redder by two steps: two steps redder, and then nothing more."""
    refiner = Refiner(CONFIG).eval()
    stages, L, _ = made_inputs()
    ab = torch.full((2, 2, 64, 64), 0.2)
    cells = refiner.policy.bias.numel() // 2
    target = ab[0, 0, 0, 0] + 2 * CONFIG.delta / 110
    with torch.no_grad():
        walk = []
        present, weights = halve(ab), refiner.bilateral_weights(halve(L))
        context = refiner.context(stages, L, halve(ab))
        for step in range(3):
            refiner.policy.bias[:cells] = (target - present[0, 0, 0, 0]) / CONFIG.target_scale
            outcomes = refiner.apply_each_action(present, weights)
            actions = refiner.best(context, present, outcomes, step)
            present = select_action(outcomes, actions)
            walk.append(ACTIONS[actions[0, 5, 5]])
    assert walk == ["redder", "redder", "leave"]
    torch.testing.assert_close(present[:, 0], torch.full((2, 32, 32), target))


def test_what_the_policy_does_is_written_in_its_config(refiner):
    """A refiner that is stored stays as it is, whatever becomes the default."""
    stages, L, ab = made_inputs()
    ab, weights = halve(ab), refiner.bilateral_weights(halve(L))
    outcomes = refiner.apply_each_action(ab, weights)
    other = Refiner(replace(CONFIG, target_scale=0.2, inverse_temperature=3.0)).eval()
    other.load_state_dict(refiner.state_dict())
    with torch.no_grad():
        (logits, target, _), (sharper, farther, _) = (
            each(each.context(stages, L, ab), ab, outcomes, 0) for each in (refiner, other)
        )
        torch.testing.assert_close(farther - ab, 2 * (target - ab))
        distance = (110 * (outcomes - farther[:, None])).norm(dim=2)
        torch.testing.assert_close(sharper, -3 * distance, atol=0.04, rtol=1e-4)
        distance = (110 * (outcomes - target[:, None])).norm(dim=2)
        torch.testing.assert_close(logits, -distance, atol=0.02, rtol=1e-4)


def test_the_config_of_the_refiner_that_ships_is_of_before_some_fields():
    """What it does not say are the defaults, which were constants when it was trained."""
    written = json.loads((ROOT / "checkpoints" / "refiner" / "config.json").read_text())
    config = RefinerConfig.from_dict(written)
    assert (config.target_scale, config.inverse_temperature, config.steps) == (0.1, 1.0, 5)
    assert RefinerConfig.from_dict(asdict(config)) == config


def test_photos_do_not_see_each_other(refiner):
    stages, L, ab = made_inputs()
    with torch.no_grad():
        both = refiner.refine(stages, L, ab, 3)
        alone = refiner.refine([stage[1:] for stage in stages], L[1:], ab[1:], 3)
    torch.testing.assert_close(both[1:], alone, atol=1e-5, rtol=0)


def test_the_context_of_a_window_is_that_of_its_place(refiner):
    """Away from the window's border, where the coarse map is interpolated over it."""
    stages, L, ab = made_inputs(side=96, batch=1)
    rows, columns = torch.arange(2, 10)[None], torch.arange(4, 12)[None]  # cells of 8 pixels
    window = [
        stage[..., 16 // s : 80 // s, 32 // s : 96 // s] if s <= 8 else stage
        for s, stage in zip(CONFIG.trunk_strides, stages)
    ]
    whole = refiner.context(stages, L, halve(ab))
    part = refiner.context(window, L[..., 16:80, 32:96], halve(ab)[..., 8:40, 16:48], rows, columns)
    inside = slice(1, -1)
    torch.testing.assert_close(part[..., inside, inside], whole[..., 4:20, 8:24][..., inside, inside])


def test_coarse_features_are_interpolated_not_repeated(refiner):
    stages, L, ab = made_inputs()
    with torch.no_grad():
        context = refiner.context([0 * stages[0], *stages[1:]], 0 * L, 0 * halve(ab))
    assert (context[..., 1::2] - context[..., ::2]).abs().mean() > 0.1 * context.std()


def test_every_parameter_learns():
    refiner = made_refiner()
    stages, L, ab = made_inputs()
    outcomes = refiner.apply_each_action(halve(ab), refiner.bilateral_weights(halve(L)))
    logits, _, values = refiner(refiner.context(stages, L, halve(ab)), halve(ab), outcomes, 0)
    (logits.square().mean() + values.square().mean()).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in refiner.parameters())


def test_it_is_small():
    assert sum(p.numel() for p in Refiner(RefinerConfig()).parameters()) < 500_000


def test_halving_takes_means_and_doubling_is_bilinear():
    ab = torch.tensor([0.0, 0.2, 0.4, 1.0]).expand(1, 2, 4, 4)
    torch.testing.assert_close(halve(ab), torch.tensor([0.1, 0.7]).expand(1, 2, 2, 2))
    torch.testing.assert_close(double(halve(ab)), torch.tensor([0.1, 0.25, 0.55, 0.7]).expand(1, 2, 4, 4))


def test_a_refiner_takes_no_more_steps_than_it_was_trained_to():
    assert [CONFIG.count(steps) for steps in (None, 0, 2, 3)] == [3, 0, 2, 3]
    for steps in (-1, 4):
        with pytest.raises(OptionError, match=f"this refiner takes 0 to 3 steps, got {steps}"):
            CONFIG.count(steps)


def test_a_refiner_is_for_one_trunk():
    model = ModelConfig(trunk_digest="a" * 64)
    own = RefinerConfig(trunk_digest="a" * 64)
    assert own.incompatibility(model) is None
    assert "aaaaaaaaaaaa…" in replace(own, trunk_digest="b" * 64).incompatibility(model)
    assert "not frozen" in own.incompatibility(ModelConfig())
    assert "vgg16" in own.incompatibility(ModelConfig.preset("paper"))


@pytest.mark.parametrize(
    "values, message",
    [
        ({"channels": 0}, "channels must be more than 0"),
        ({"factor": 1.5}, "factor must be between 0 and 1"),
        ({"target_scale": 0.0}, "target_scale must be more than 0"),
        ({"inverse_temperature": -1.0}, "inverse_temperature must be more than 0"),
        ({"channels": MAX_CHANNELS + 1}, "a refiner has at most"),
        ({"steps": MAX_STEPS + 1}, "a refiner has at most"),
        ({"factor": 1.0}, "factor must be between 0 and 1"),
        ({"trunk_strides": [4, 8, 16]}, "trunk_stages, trunk_strides and trunk_channels differ in length"),
        ({"trunk_strides": [4, 8, 32, 16]}, "trunk_strides must be ascending powers of two"),
        ({"trunk_strides": [4, 8, 12, 16]}, "trunk_strides must be ascending powers of two"),
        ({"trunk_strides": [2, 4, 16, 32]}, "trunk_strides must be ascending powers of two, among them 8"),
        ({"trunk_channels": [0, 40, 112, 320]}, "trunk_channels must be between 1 and"),
        ({"trunk_channels": [24, 40, 112, MAX_CHANNELS + 1]}, "trunk_channels must be between 1 and"),
        ({"version": 9}, "config version 9"),
        ({"wings": 2}, "unknown keys in the config: wings"),
    ],
)
def test_nonsense_in_a_config_is_refused(values, message):
    with pytest.raises(ValueError, match=message):
        RefinerConfig.from_dict(values)
    trunk = {"trunk_stages": [1, 2], "trunk_strides": [4, 8], "trunk_channels": [24, 40]}
    assert RefinerConfig.from_dict(trunk).trunk_strides == (4, 8)
    for channels, steps in ((1, 1), (MAX_CHANNELS, MAX_STEPS)):
        extreme = {"channels": channels, "steps": steps, "trunk_channels": [channels] * 4}
        assert RefinerConfig.from_dict(extreme).steps == steps
