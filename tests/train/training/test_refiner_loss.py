"""Rewards with known answers, and steps of a refiner that learns from them."""

import copy
import json
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator

from chromagan.imaging.color import denormalize_ab
from chromagan.measures.metrics import ciede2000
from chromagan.network.refiner import ACTIONS, Refiner, RefinerConfig, double, halve
from chromagan.network.trunk import Trunk
from train.training.batches import Batch
from train.training.refine_options import RefineConfig
from train.training.refining import RefinerLoss, draw, noise_of
from train.training.rewards import FeatureDistance, Rewards

CPU = torch.device("cpu")
ROOT = Path(__file__).resolve().parents[3]
LEAVE, REDDER, GREENER, NEIGHBORS = (ACTIONS.index(a) for a in ("leave", "redder", "greener", "like its neighbors"))


def config(**changes):
    return RefineConfig(**dict(source="s", data=["d"], output_dir="o", crop=32, batch_size=2, agent_steps=3) | changes)


def made_refiner():
    torch.manual_seed(0)
    return Refiner(RefinerConfig(channels=8, steps=3, trunk_stages=(1, 2), trunk_strides=(4, 8), trunk_channels=(3, 4)))


def made_batch(side=32, count=2):
    choose = torch.Generator().manual_seed(0)
    stages = [torch.randn(count, 3, side // 4, side // 4, generator=choose),
              torch.randn(count, 4, side // 8, side // 8, generator=choose)]  # fmt: skip
    L = torch.rand(count, 1, side, side, generator=choose) - 0.5
    cells = torch.arange(side // 8).expand(count, -1)
    batch = Batch(L, torch.full((count, 2, side, side), 0.1), stages, cells, cells, None, torch.zeros(count))
    return batch, torch.full((count, 2, side, side), -0.05)


def test_an_action_earns_what_the_error_falls_by():
    refiner = made_refiner()
    truth, ab = torch.zeros(1, 2, 8, 8), torch.zeros(1, 2, 8, 8)
    truth[:, 0], ab[:, 0] = 30 / 110, 20 / 110
    weights = refiner.bilateral_weights(torch.zeros(1, 1, 8, 8))
    outcomes = refiner.apply_each_action(ab, weights)
    earned = Rewards(refiner, truth, weights, 0.0, 0.0)(outcomes, multiplier=0.0)
    assert (earned[:, LEAVE] == 0).all() and (earned[:, REDDER] > 1).all() and (earned[:, GREENER] < -1).all()
    lab = [torch.tensor([50.0, a, 0.0]).view(1, 3, 1, 1) for a in (20, 23, 30)]
    exact = ciede2000(lab[0], lab[2]) - ciede2000(lab[1], lab[2])
    assert earned[0, REDDER, 0, 0].item() == pytest.approx(exact.item(), rel=0.05)
    paid = Rewards(refiner, truth, weights, 0.0, 0.0)(outcomes, multiplier=0.5)
    chroma = 110 * outcomes.norm(dim=2)
    torch.testing.assert_close(paid - earned, 0.5 * (chroma - chroma[:, :1]), atol=1e-4, rtol=1e-4)
    squared = Rewards(refiner, truth, weights, 0.0, 1.0)(outcomes, multiplier=0.0)
    assert (squared[:, REDDER] > 2 * earned[:, REDDER]).all()


def test_consistency_rewards_what_takes_a_spot_away():
    """A spot of which the truth knows nothing, though it is no farther from the true color than its surroundings."""
    refiner = made_refiner()
    truth, ab = torch.zeros(1, 2, 9, 9), torch.full((1, 2, 9, 9), 0.1)
    ab[..., 4, 4] = -0.1
    weights = refiner.bilateral_weights(torch.zeros(1, 1, 9, 9))
    outcomes = refiner.apply_each_action(ab, weights)
    without, with_it = (Rewards(refiner, truth, weights, weight, 0.0)(outcomes, 0.0) for weight in (0.0, 1.0))
    assert with_it[0, NEIGHBORS, 4, 4] > without[0, NEIGHBORS, 4, 4] + 10


@pytest.fixture(scope="module")
def distance():
    torch.manual_seed(1)
    return FeatureDistance(Trunk("tf_efficientnet_lite0", FeatureDistance.STAGES))


def colored(count=2, side=32):
    choose = torch.Generator().manual_seed(3)
    L = torch.rand(count, 1, side, side, generator=choose) - 0.5
    truth = 0.4 * (torch.rand(count, 2, side // 2, side // 2, generator=choose) - 0.5)
    return L, truth, truth + 0.1 * torch.randn(truth.shape, generator=choose)


def test_the_feature_distance_is_0_at_the_truth_and_its_slope_is_what_a_small_change_does(distance):
    distance = copy.deepcopy(distance).double()
    L, truth, ab = (x.double() for x in colored())
    true_features = distance.features(L, double(truth))
    assert distance(L, double(truth), true_features).abs().max() < 1e-12
    assert (distance(L, double(ab), true_features) > 1e-3).all()
    slope = distance.slope(L, ab, true_features)
    for change in (1e-6 * torch.ones_like(ab), -1e-6 * ab):
        there, back = (distance(L, double(ab + sign * change), true_features) for sign in (1, -1))
        expected = (slope * denormalize_ab(change)).sum(dim=1).mean(dim=(1, 2))
        torch.testing.assert_close((there - back) / 2, expected, rtol=1e-3, atol=0)


def test_an_action_earns_what_the_feature_distance_falls_by(distance):
    refiner, (L, truth, ab) = made_refiner(), colored()
    weights = refiner.bilateral_weights(halve(L))
    outcomes = refiner.apply_each_action(ab, weights)
    slope = 7 * distance.slope(L, ab, distance.features(L, double(truth)))
    rewards = Rewards(refiner, truth, weights, 0.0, 0.0)
    extra = rewards(outcomes, 0.0, slope) - rewards(outcomes, 0.0)
    changes = denormalize_ab(outcomes - ab[:, None])
    torch.testing.assert_close(extra, -(slope[:, None] * changes).sum(dim=2), atol=1e-4, rtol=1e-3)
    assert (extra[:, LEAVE] == 0).all()


def test_a_refiner_learns_from_the_feature_distance(distance):
    """Of a batch whose true colors are known to the features alone: the weight of the difference is nothing beside."""
    options = config(entropy_weight=0.0, multiplier=0.0, multiplier_rate=0.0, feature_weight=1e4)
    loss = RefinerLoss(made_refiner(), options, distance)
    optimizer = torch.optim.Adam(loss.parameters(), 0.02)
    assert not any(name.startswith("distance") for name in loss.state_dict())
    batch, ab = made_batch()
    true_features = distance.features(batch.L, batch.ab)
    for step in range(20):
        value, _ = loss(batch, ab, noise_of(step, options, slice(None), CPU), True)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
    refiner = loss.refiner.eval()
    context = refiner.context(batch.stages, batch.L, halve(ab), batch.rows, batch.columns)
    *_, (after, _) = refiner.rollout(context, halve(ab), refiner.bilateral_weights(halve(batch.L)), 3)
    before = distance(batch.L, ab, true_features).mean()
    assert distance(batch.L, double(after), true_features).mean() < 0.9 * before


def test_actions_are_drawn_as_probable_as_they_are():
    policy = torch.tensor([0.5, 0.3, 0.2]).view(1, 3, 1, 1).expand(1, 3, 100, 100)
    drawn = draw(policy, torch.rand(1, 100, 100, generator=torch.Generator().manual_seed(0)))
    shares = torch.bincount(drawn.flatten(), minlength=3) / 10_000
    torch.testing.assert_close(shares, torch.tensor([0.5, 0.3, 0.2]), atol=0.02, rtol=0)
    assert draw(policy, torch.full((1, 100, 100), 0.9999999)).max() == 2  # sums may fall short of 1


def test_noise_depends_on_seed_and_step_alone():
    options = config()
    whole = noise_of(3, options, slice(None), CPU)
    assert whole.shape == (3, 2, 16, 16) and torch.equal(noise_of(3, options, slice(1, 2), CPU), whole[:, 1:])
    assert not torch.equal(noise_of(4, options, slice(None), CPU), whole)
    assert not torch.equal(noise_of(3, config(seed=1), slice(None), CPU), whole)


@pytest.mark.parametrize("greedy", [True, False])
def test_both_ways_to_learn_bring_colors_nearer_to_the_truth(greedy):
    """One batch whose colors are too green and too blue."""
    options = config(entropy_weight=0.0, multiplier=0.0, multiplier_rate=0.0)
    loss = RefinerLoss(made_refiner(), options)
    optimizer = torch.optim.Adam(loss.parameters(), 0.02)
    batch, ab = made_batch()
    for step in range(40):
        value, terms = loss(batch, ab, noise_of(step, options, slice(None), CPU), greedy)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        assert value.isfinite() and {"entropy", "reward"} <= terms.keys()
    kept = loss.update_multiplier(batch, ab, Accelerator(cpu=True))
    assert kept["error_kept"] < 0.8 and loss.refiner.training


def test_returns_hold_the_values_of_the_next_state():
    """Two steps, one pixel: the first one's return is its reward and the discounted value behind it."""
    loss = RefinerLoss(made_refiner(), config(discount=0.5))
    flat = [torch.full((1, 1, 16, 16), x) for x in (-1.0, -1.0, 2.0, 3.0, 4.0, 6.0)]
    policy_loss, value_loss = loss._actor_critic(flat[:2], flat[2:4], flat[4:])
    advantages = (2 + 0.5 * 6 - 4, 3 - 6)  # the neighborhood is the pixel alone at first
    assert policy_loss.item() == pytest.approx(sum(advantages) / 2)
    assert value_loss.item() == pytest.approx((1 + 9) / 2)


def test_the_multiplier_rises_while_refined_colorings_are_paler():
    options = config(multiplier=0.2, multiplier_rate=0.1)
    batch, ab = made_batch()
    for toward, moves in ((0.05, 1), (-0.05, -1)):  # gray, and away from it
        loss = RefinerLoss(made_refiner(), options)
        with torch.no_grad():
            loss.refiner.policy.bias.fill_(toward / loss.refiner.config.target_scale)
        kept = loss.update_multiplier(batch, ab, Accelerator(cpu=True))["colorfulness_kept"]
        assert (kept - 1) * moves < -0.1
        assert loss.multiplier.item() == pytest.approx(0.2 + 0.1 * (1 - kept.item()), abs=1e-5)


def test_a_coloring_that_was_all_but_gray_does_not_rule_the_multiplier():
    """What is kept is a share of the batches' mean colorfulness: the mean of their shares would be the gray one's."""
    loss = RefinerLoss(made_refiner(), config(multiplier=0.2, multiplier_rate=0.1))
    batch, ab = made_batch()
    with torch.no_grad():
        loss.refiner.policy.bias.fill_(-0.05 / loss.refiner.config.target_scale)
    vivid = loss.update_multiplier(batch, ab, Accelerator(cpu=True))["colorfulness_kept"]
    alone = RefinerLoss(loss.refiner, loss.config).update_multiplier(batch, 1e-3 * ab, Accelerator(cpu=True))[
        "colorfulness_kept"
    ]
    both = loss.update_multiplier(batch, 1e-3 * ab, Accelerator(cpu=True))["colorfulness_kept"]
    assert alone > 10 * vivid and both < 2 * vivid


def test_a_run_without_flags_is_the_recipe_of_the_refiner_that_ships():
    """Its figures are the only ones that stand behind a recipe."""
    shipped = json.loads((ROOT / "checkpoints" / "refiner" / "train.json").read_text())
    own = asdict(RefineConfig(source="s", data=["d"], output_dir="o"))
    recipe = shipped.keys() - RefineConfig.FREE_ON_RESUME - {"sources"}
    today = {"price": "multiplier", "price_rate": "multiplier_rate", "large_weight": "squared_weight"}
    expected = {today.get(name, name): shipped[name] for name in recipe}
    assert len(expected) > 15 and {name: own[name] for name in expected} == expected
    assert not own["feature_weight"]  # which was added later


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"crop": 100}, "--crop must be a multiple of 8 up to 224"),
        ({"greedy_steps": 5000}, "--greedy-steps must be at most --steps 2400"),
        ({"discount": 1.5}, "--discount must be in"),
        ({"channels": 9000}, "--channels must be at most 8192, got 9000"),
        ({"agent_steps": 101}, "--agent-steps must be at most 100, got 101"),
        ({"epochs": [-1]}, "--epochs must be 0 or more"),
        ({"lr": 0.0}, "--lr must be more than 0"),
        ({"entropy_weight": -1.0}, "--entropy-weight must be 0 or more"),
    ],
)
def test_nonsense_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        config(**changes)
