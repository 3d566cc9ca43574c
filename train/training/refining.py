"""One training step of a refiner: a rollout of several steps from a frozen generator's colorings, and its loss.

Training starts supervised (`greedy`): the target color of each pixel learns to maximize utility, and since the
immediate reward of every action is known, the policy ascends the exact gradient of its expected reward. Then comes
advantage actor-critic (Mnih et al. 2016) with a value for every pixel's state, whose returns include the values of the
neighbors' next states (reward-map convolution, Furuta et al. 2020).
"""

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from chromagan.imaging import color
from chromagan.measures.metrics import colorfulness
from chromagan.network.losses import color_difference
from chromagan.network.refiner import Refiner, halve, select_action
from train.training.batches import Batch, epoch_generator
from train.training.refine_options import RefineConfig
from train.training.rewards import FeatureDistance, Rewards

NEWEST_SHARE = 0.05  # weight of the newest batch in the exponential moving average of colorfulness
NEIGHBORHOOD = 9  # side, in the refiner's pixels, of the area whose next values enter a pixel's return


class RefinerLoss(nn.Module):
    """A refiner's training computation, as the single `forward` that accelerate wraps.

    multiplier: the Lagrange multiplier of the constraint on colorfulness, which is the reward for a Lab unit of chroma.
    Dual ascent raises it while refined colorings are paler than the constraint asks, and lowers it while they are more
    colorful: see `update_multiplier`.
    """

    def __init__(self, refiner: Refiner, config: RefineConfig, distance: FeatureDistance | None = None):
        """distance: required if config.feature_weight is not 0."""
        super().__init__()
        self.refiner, self.config = refiner, config
        self.distances = (distance,)  # in a tuple, so that it is neither trained nor part of the state
        self.reach = nn.Conv2d(1, 1, NEIGHBORHOOD, padding=NEIGHBORHOOD // 2, bias=False)
        nn.init.dirac_(self.reach.weight)  # starts with the pixel alone
        self.register_buffer("multiplier", torch.tensor(config.multiplier))
        # Moving averages before and after refining; averaging their ratio would be unstable near gray.
        self.register_buffer("vivid", torch.zeros(2))

    def forward(self, batch: Batch, ab: Tensor, noise: Tensor, greedy: bool) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss, and the terms to log.

        ab: (B, 2, H, W) in [-1, 1], the generator's coloring of the batch. noise: (steps, B, H/2, W/2), uniform in
        [0, 1), for sampling the actions. greedy: the supervised loss instead of actor-critic.
        """
        refiner, config = self.refiner, self.config
        truth, ab, weights = halve(batch.ab), halve(ab), refiner.bilateral_weights(halve(batch.L))
        rewards = Rewards(refiner, truth, weights, config.consistency_weight, config.squared_weight)
        context = refiner.context(batch.stages, batch.L, ab, batch.rows, batch.columns)
        (distance,), slope = self.distances, None
        if config.feature_weight:
            with torch.no_grad():
                true_features = distance.features(batch.L, batch.ab)
        taken, received, values, losses, entropies = [], [], [], [], []
        for step in range(refiner.config.steps):
            outcomes = refiner.apply_each_action(ab, weights)
            logits, target, value = refiner(context, ab, outcomes, step)
            log_policy = logits.log_softmax(dim=1)
            policy = log_policy.exp()
            with torch.no_grad():
                if config.feature_weight:
                    slope = config.feature_weight * distance.slope(batch.L, ab, true_features)
                reward = rewards(outcomes, self.multiplier, slope)
                actions = draw(policy, noise[step])
                ab = select_action(outcomes, actions)
            entropies.append(-(policy * log_policy).sum(dim=1).mean())
            if greedy:
                utility = rewards.utility(color.denormalize_ab(target), rewards.truth, self.multiplier, 1, slope)
                received.append((policy.detach() * reward).sum(dim=1).mean())
                losses.append(-(policy * reward).sum(dim=1).mean() - utility.mean())
            else:
                taken.append(log_policy.gather(1, actions[:, None]))
                received.append(reward.gather(1, actions[:, None]))
                values.append(value)
        entropy = torch.stack(entropies).mean()
        terms = {"entropy": entropy.detach()}
        if greedy:
            loss = torch.stack(losses).mean()
            terms["reward"] = torch.stack(received).mean()
        else:
            policy_loss, value_loss = self._actor_critic(taken, received, values)
            loss = policy_loss + config.value_weight * value_loss
            terms |= {"reward": torch.stack(received).mean(), "value_error": value_loss.detach()}
        return loss - config.entropy_weight * entropy, terms

    def _actor_critic(self, taken: list[Tensor], received: list[Tensor], values: list[Tensor]) -> tuple[Tensor, Tensor]:
        """The policy loss and the value loss.

        taken: log probabilities of the actions taken at each step of the rollout. received: their rewards. values: the
        states' values.
        """
        policy_loss, value_loss = [], []
        for step, (log_probability, reward, value) in enumerate(zip(taken, received, values, strict=True)):
            returns = reward
            if step + 1 < len(values):
                returns = reward + self.config.discount * self.reach(values[step + 1].detach())
            advantage = (returns - value).detach()
            policy_loss.append(-(log_probability * advantage).mean())
            value_loss.append((returns - value).square().mean())
        return torch.stack(policy_loss).mean(), torch.stack(value_loss).mean()

    @torch.no_grad()
    def update_multiplier(self, batch: Batch, ab: Tensor, accelerator: Accelerator) -> dict[str, Tensor]:
        """Refine the batch by the most probable actions, as in inference, and take a step of dual ascent on the
        multiplier. Returns the terms to log."""
        refiner = self.refiner
        refiner.eval()
        truth, before, weights = halve(batch.ab), halve(ab), refiner.bilateral_weights(halve(batch.L))
        context = refiner.context(batch.stages, batch.L, before, batch.rows, batch.columns)
        *_, (after, _) = refiner.rollout(context, before, weights, refiner.config.steps)
        refiner.train()
        lightness = color.denormalize_L(halve(batch.L))
        vivid = [
            colorfulness(color.lab_to_srgb(torch.cat([lightness, color.denormalize_ab(x)], dim=1)).clamp(0, 1)).mean()
            for x in (before, after)
        ]
        error = [color_difference(*map(color.denormalize_ab, (x, truth))).mean() for x in (before, after)]
        measured = accelerator.reduce(torch.stack([*vivid, *error]).float(), "mean")
        self.vivid.lerp_(measured[:2], NEWEST_SHARE)
        kept, error_kept = self.vivid[1] / self.vivid[0], measured[3] / measured[2]
        self.multiplier += self.config.multiplier_rate * (self.config.colorfulness - kept)
        self.multiplier.clamp_(0, 1)
        return {"colorfulness_kept": kept, "error_kept": error_kept, "multiplier": self.multiplier.clone()}


def draw(policy: Tensor, noise: Tensor) -> Tensor:
    """Sample actions (B, h, w) from probabilities `policy` (B, A, h, w) with uniform `noise` (B, h, w) in [0, 1)."""
    return (policy.cumsum(dim=1) < noise[:, None]).sum(dim=1).clamp_max(policy.shape[1] - 1)


def noise_of(step: int, config: RefineConfig, part: slice, device: torch.device) -> Tensor:
    """One process's noise for sampling the actions of `step`, (steps, B, crop/2, crop/2), from seed and step alone."""
    side = config.crop // 2
    shape = (config.agent_steps, config.batch_size, side, side)
    return torch.rand(shape, generator=epoch_generator(config.seed + 2, step))[:, part].to(device)
