import math

import pytest
import torch
from torch import nn

from chromagan.network import losses


class LinearCritic(nn.Module):
    """Patch scores whose sum is slope * <direction, ab>, with a unit direction: the gradient's norm is the slope."""

    def __init__(self, slope, shape):
        super().__init__()
        direction = torch.randn(shape, dtype=torch.float64)
        self.weight = slope * direction / direction.norm()

    def forward(self, L, ab):
        products = (self.weight * ab).sum(dim=1, keepdim=True)
        return nn.functional.avg_pool2d(products, 8, divisor_override=1)  # a score for each 8x8 patch


def pair(batch=3, size=32):
    torch.manual_seed(0)
    return [torch.rand(batch, c, size, size, dtype=torch.float64) for c in (1, 2, 2)]


@pytest.mark.parametrize("slope", [0.0, 1.0, 3.0])
def test_penalty_of_a_linear_critic_in_closed_form(slope):
    """(slope - 1)^2: the gradient is that of the sum of the 16 patch scores. Their mean gives (slope/16 - 1)^2."""
    L, ab, fake = pair()
    critic = LinearCritic(slope, (2, 32, 32))
    penalty = losses.gradient_penalty(critic, L, ab, fake, torch.rand(3, 1, 1, 1, dtype=torch.float64), explicit=False)
    assert penalty.item() == pytest.approx((slope - 1) ** 2, abs=1e-9)


def test_penalty_is_taken_at_the_mixture_with_L_shared():
    L, ab, fake = pair(batch=2)
    seen = {}

    def critic(L_given, mixed):
        seen["L"], seen["mixed"] = L_given, mixed
        return mixed.square().sum(dim=1, keepdim=True) / 2

    mix = torch.tensor([0.25, 1.0], dtype=torch.float64).view(2, 1, 1, 1)
    penalty = losses.gradient_penalty(critic, L, ab, fake, mix, explicit=False)
    assert torch.equal(seen["L"], L)
    assert torch.allclose(seen["mixed"][0], 0.25 * ab[0] + 0.75 * fake[0]) and torch.allclose(seen["mixed"][1], ab[1])
    norms = torch.stack([seen["mixed"][i].norm() for i in range(2)])  # the gradient of |x|^2 / 2 is x
    assert penalty.item() == pytest.approx(((norms - 1) ** 2).mean().item())


def test_penalty_can_be_differentiated_again():
    L, ab, fake = pair()
    weight = torch.tensor(3.0, dtype=torch.float64, requires_grad=True)
    fixed = LinearCritic(1.0, (2, 32, 32))
    penalty = losses.gradient_penalty(
        lambda L, ab: weight * fixed(L, ab), L, ab, fake, torch.full((3, 1, 1, 1), 0.5), explicit=False
    )
    penalty.backward()
    assert weight.grad.item() == pytest.approx(2 * (3 - 1))  # d/dw (w - 1)^2


def test_color_loss_is_in_8_bit_lab_over_255():
    """A miss of 25.5 Lab units in both channels is 0.1, squared 0.01."""
    L = torch.zeros(1, 1, 4, 4)
    _, ab = losses.loss_units(L, torch.zeros(1, 2, 4, 4))
    _, ab_pred = losses.loss_units(L, torch.full((1, 2, 4, 4), 25.5 / 110))
    assert losses.color_loss(ab_pred, ab).item() == pytest.approx(0.01, rel=1e-5)


def test_loss_units_of_black_white_and_neutral():
    L, ab = losses.loss_units(torch.tensor([-1.0, 1.0]), torch.tensor([0.0, 1.0]))
    assert L.tolist() == [0, 1]
    assert ab.tolist() == pytest.approx([128 / 255, 238 / 255])


def test_class_loss_against_a_hand_value():
    """KL((0.5, 0.5) || (0.8, 0.2)) = 0.5 ln(0.5/0.8) + 0.5 ln(0.5/0.2), summed over classes, averaged over images."""
    logits = torch.tensor([[math.log(0.8), math.log(0.2)], [5.0, 5.0]]) + 3  # a shift of logits changes nothing
    target = torch.tensor([[0.5, 0.5], [0.5, 0.5]])
    expected = (0.5 * math.log(0.5 / 0.8) + 0.5 * math.log(0.5 / 0.2)) / 2  # the second image has none
    assert losses.class_loss(logits, target).item() == pytest.approx(expected, rel=1e-5)


def test_class_loss_takes_zero_probabilities():
    logits = torch.zeros(1, 4, requires_grad=True)
    loss = losses.class_loss(logits, torch.tensor([[1.0, 0, 0, 0]]))
    loss.backward()
    assert loss.item() == pytest.approx(math.log(4)) and logits.grad.isfinite().all()


def test_signs_of_the_wasserstein_terms():
    fake, real = torch.full((2, 1, 4, 4), 1.0), torch.full((2, 1, 4, 4), 3.0)
    assert losses.wasserstein_loss(fake, real).item() == -2  # good for the critic: it tells them apart
    assert losses.adversarial_loss(fake).item() == -1  # better for the generator, the higher its score


@pytest.mark.parametrize("mean", [0.0, 3.0, 14.0, 30.0])
def test_color_pivot_makes_sure_colors_vivid_and_unsure_ones_gray(mean):
    """Closed form: where colors of mean chroma m are plausible, the loss is least at (m^2 + sqrt(m^4 + 8 k m^2)) / 2k
    with k = pivot + 2, of the mean's hue: found here by descent, among colors that scatter around the mean."""
    pivot, hue = 14.0, torch.tensor([0.6, -0.8], dtype=torch.float64)
    scatter = torch.tensor([[20.0, 5], [-20, -5], [7, -9], [-7, 9]], dtype=torch.float64)
    plausible = (losses.GRAY + (mean * hue + scatter) / 255).view(4, 2, 1, 1)
    ab_pred = torch.full((1, 2, 1, 1), losses.GRAY + 1e-3, dtype=torch.float64, requires_grad=True)
    descent = torch.optim.LBFGS([ab_pred], max_iter=200, tolerance_grad=1e-13, line_search_fn="strong_wolfe")

    def closure():
        descent.zero_grad()
        loss = 1e4 * losses.color_loss(ab_pred.expand(4, 2, 1, 1), plausible, pivot)
        loss.backward()
        return loss

    descent.step(closure)
    chroma = (mean**2 + math.sqrt(mean**4 + 8 * (pivot + 2) * mean**2)) / (2 * (pivot + 2))
    found = 255 * (ab_pred.detach() - losses.GRAY).flatten()
    torch.testing.assert_close(found, chroma * hue, atol=0.03, rtol=0)
