"""One training step of a refiner: a rollout of several steps over colorings of a frozen generator, and what it teaches.

At first (`greedy`) it is supervised: the aim learns to be the color that is worth most, and since what every action
would earn at once is known, the policy is raised along the exact gradient of what it earns. Then it learns from what it
does: advantage actor-critic (Mnih et al. 2016) with a value of every pixel's state, and the values of its neighbors'
next states (reward-map convolution, Furuta et al. 2020).
"""

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from chromagan.imaging import color
from chromagan.measures.metrics import colorfulness
from chromagan.network.losses import color_difference
from chromagan.network.refiner import Refiner, halve, take
from train.training.batches import Batch, epoch_generator
from train.training.refine_options import RefineConfig
from train.training.rewards import FeatureDistance, Rewards

MEMORY = 0.05  # share of the newest batch in the mean colorfulness that moves the price
NEIGHBORHOOD = 9  # side, in the refiner's pixels, over which next values count for a pixel's return


class RefinerLoss(nn.Module):
    """What a refiner computes in training, as the one `forward` that accelerate wraps.

    price: what a Lab unit of chroma is worth now. It rises while refined colorings are paler than those before, and
    falls while they are more colorful (dual ascent on that constraint): see `settle`.
    """

    def __init__(self, refiner: Refiner, config: RefineConfig, distance: FeatureDistance | None = None):
        """distance: needed where config.feature_weight is not 0."""
        super().__init__()
        self.refiner, self.config = refiner, config
        self.distances = (distance,)  # in a tuple: no part of what is trained and kept
        self.reach = nn.Conv2d(1, 1, NEIGHBORHOOD, padding=NEIGHBORHOOD // 2, bias=False)
        nn.init.dirac_(self.reach.weight)  # at first, of every neighborhood the pixel alone
        self.register_buffer("price", torch.tensor(config.price))
        self.register_buffer("vivid", torch.zeros(2))  # before and after refining; a share alone has no mean near gray

    def forward(self, batch: Batch, ab: Tensor, noise: Tensor, greedy: bool) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss, and what is logged of it.

        ab: (B, 2, H, W) in [-1, 1], the generator's coloring of the batch. noise: (steps, B, H/2, W/2), uniform in
        [0, 1], draws the actions. greedy: which of the two ways to learn.
        """
        refiner, config = self.refiner, self.config
        truth, ab, likeness = halve(batch.ab), halve(ab), refiner.likeness(halve(batch.L))
        rewards = Rewards(refiner, truth, likeness, config.consistency_weight, config.large_weight)
        context = refiner.context(batch.stages, batch.L, ab, batch.rows, batch.columns)
        (distance,), slope = self.distances, None
        if config.feature_weight:
            with torch.no_grad():
                true_features = distance.features(batch.L, batch.ab)
        taken, earned, values, losses, entropies = [], [], [], [], []
        for step in range(refiner.config.steps):
            outcomes = refiner.outcomes(ab, likeness)
            logits, aim, value = refiner(context, ab, outcomes, step)
            log_policy = logits.log_softmax(dim=1)
            policy = log_policy.exp()
            with torch.no_grad():
                if config.feature_weight:
                    slope = config.feature_weight * distance.slope(batch.L, ab, true_features)
                reward = rewards(outcomes, self.price, slope)
                actions = draw(policy, noise[step])
                ab = take(outcomes, actions)
            entropies.append(-(policy * log_policy).sum(dim=1).mean())
            if greedy:
                aimed = rewards.worth(color.denormalize_ab(aim), rewards.truth, self.price, 1, slope)
                earned.append((policy.detach() * reward).sum(dim=1).mean())
                losses.append(-(policy * reward).sum(dim=1).mean() - aimed.mean())
            else:
                taken.append(log_policy.gather(1, actions[:, None]))
                earned.append(reward.gather(1, actions[:, None]))
                values.append(value)
        entropy = torch.stack(entropies).mean()
        terms = {"entropy": entropy.detach()}
        if greedy:
            loss = torch.stack(losses).mean()
            terms["reward"] = torch.stack(earned).mean()
        else:
            policy_loss, value_loss = self._actor_critic(taken, earned, values)
            loss = policy_loss + config.value_weight * value_loss
            terms |= {"reward": torch.stack(earned).mean(), "value_error": value_loss.detach()}
        return loss - config.entropy_weight * entropy, terms

    def _actor_critic(self, taken: list[Tensor], earned: list[Tensor], values: list[Tensor]) -> tuple[Tensor, Tensor]:
        """The policy's loss and the value's, of log probabilities, rewards and values of all steps."""
        policy_loss, value_loss = [], []
        for step, (log_probability, reward, value) in enumerate(zip(taken, earned, values, strict=True)):
            returns = reward
            if step + 1 < len(values):
                returns = reward + self.config.discount * self.reach(values[step + 1].detach())
            advantage = (returns - value).detach()
            policy_loss.append(-(log_probability * advantage).mean())
            value_loss.append((returns - value).square().mean())
        return torch.stack(policy_loss).mean(), torch.stack(value_loss).mean()

    @torch.no_grad()
    def settle(self, batch: Batch, ab: Tensor, accelerator: Accelerator) -> dict[str, Tensor]:
        """Refine the batch as users will, by the most probable actions, and move the price; what is logged of it."""
        refiner = self.refiner
        refiner.eval()
        truth, before, likeness = halve(batch.ab), halve(ab), refiner.likeness(halve(batch.L))
        context = refiner.context(batch.stages, batch.L, before, batch.rows, batch.columns)
        *_, (after, _) = refiner.rollout(context, before, likeness, refiner.config.steps)
        refiner.train()
        lightness = color.denormalize_L(halve(batch.L))
        vivid = [
            colorfulness(color.lab_to_srgb(torch.cat([lightness, color.denormalize_ab(x)], dim=1)).clamp(0, 1)).mean()
            for x in (before, after)
        ]
        error = [color_difference(*map(color.denormalize_ab, (x, truth))).mean() for x in (before, after)]
        measured = accelerator.reduce(torch.stack([*vivid, *error]).float(), "mean")
        self.vivid.lerp_(measured[:2], MEMORY)
        kept, error_kept = self.vivid[1] / self.vivid[0], measured[3] / measured[2]
        self.price += self.config.price_rate * (self.config.colorfulness - kept)
        self.price.clamp_(0, 1)
        return {"colorfulness_kept": kept, "error_kept": error_kept, "price": self.price.clone()}


def draw(policy: Tensor, noise: Tensor) -> Tensor:
    """Actions (B, h, w) of probabilities `policy` (B, A, h, w), by uniform `noise` (B, h, w) in [0, 1)."""
    return (policy.cumsum(dim=1) < noise[:, None]).sum(dim=1).clamp_max(policy.shape[1] - 1)


def noise_of(step: int, config: RefineConfig, part: slice, device: torch.device) -> Tensor:
    """What draws the actions of `step`: (steps, B, crop/2, crop/2), of seed and step alone, those of one process."""
    side = config.crop // 2
    shape = (config.agent_steps, config.batch_size, side, side)
    return torch.rand(shape, generator=epoch_generator(config.seed + 2, step))[:, part].to(device)
