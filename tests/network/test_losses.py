import math

import numpy as np
import pytest
import torch
from torch import nn

from chromagan.measures.metrics import ciede2000
from chromagan.network import losses


class AutogradCritic(nn.Module):
    """A critic that autograd differentiates."""

    def ab_gradient(self, L, ab):
        mixed = ab.detach().requires_grad_()
        return torch.autograd.grad(self(L, mixed).sum(), mixed, create_graph=True)[0]


class LinearCritic(AutogradCritic):
    """Patch scores whose sum is slope * <direction, ab>, with a unit direction: the gradient's norm is the slope."""

    def __init__(self, slope, shape):
        super().__init__()
        direction = torch.randn(shape, dtype=torch.float64)
        self.weight = slope * direction / direction.norm()

    def forward(self, L, ab):
        products = (self.weight * ab).sum(dim=1, keepdim=True)
        return nn.functional.avg_pool2d(products, 8, divisor_override=1)  # a score for each 8x8 patch


def test_chroma_can_be_differentiated_at_gray():
    a, b = (torch.tensor(values, requires_grad=True) for values in ([3.0, 0.0], [4.0, 0.0]))
    found = losses.chroma(a, b)
    torch.testing.assert_close(found, torch.tensor([5.0, 0.0]), atol=0.011, rtol=0)
    for gradient, expected in zip(torch.autograd.grad(found.sum(), (a, b)), ([0.6, 0.0], [0.8, 0.0]), strict=True):
        torch.testing.assert_close(gradient, torch.tensor(expected), atol=1e-3, rtol=0)


def pair(batch=3, size=32):
    torch.manual_seed(0)
    return [torch.rand(batch, c, size, size, dtype=torch.float64) for c in (1, 2, 2)]


@pytest.mark.parametrize("slope", [0.0, 1.0, 3.0])
def test_penalty_of_a_linear_critic_in_closed_form(slope):
    """(slope - 1)^2: the gradient is that of the sum of the 16 patch scores. Their mean gives (slope/16 - 1)^2."""
    L, ab, fake = pair()
    critic = LinearCritic(slope, (2, 32, 32))
    penalty = losses.gradient_penalty(critic, L, ab, fake, torch.rand(3, 1, 1, 1, dtype=torch.float64))
    assert penalty.item() == pytest.approx((slope - 1) ** 2, abs=1e-9)


def test_penalty_is_taken_at_the_mixture_with_L_shared():
    L, ab, fake = pair(batch=2)
    seen = {}

    class Bowl(AutogradCritic):
        def forward(self, L_given, mixed):
            seen["L"], seen["mixed"] = L_given, mixed
            return mixed.square().sum(dim=1, keepdim=True) / 2

    mix = torch.tensor([0.25, 1.0], dtype=torch.float64).view(2, 1, 1, 1)
    penalty = losses.gradient_penalty(Bowl(), L, ab, fake, mix)
    assert torch.equal(seen["L"], L)
    assert torch.allclose(seen["mixed"][0], 0.25 * ab[0] + 0.75 * fake[0]) and torch.allclose(seen["mixed"][1], ab[1])
    norms = torch.stack([seen["mixed"][i].norm() for i in range(2)])  # the gradient of |x|^2 / 2 is x
    assert penalty.item() == pytest.approx(((norms - 1) ** 2).mean().item())


def test_penalty_can_be_differentiated_again():
    L, ab, fake = pair()
    critic = LinearCritic(1.0, (2, 32, 32))
    direction = critic.weight
    weight = torch.tensor(3.0, dtype=torch.float64, requires_grad=True)
    critic.weight = weight * direction
    losses.gradient_penalty(critic, L, ab, fake, torch.full((3, 1, 1, 1), 0.5)).backward()
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


def test_the_color_difference_is_near_ciede2000():
    choose = torch.Generator().manual_seed(0)
    L = torch.full((1, 1, 100, 100), 50.0)
    one = 25 * torch.randn(1, 2, 100, 100, generator=choose)
    other = one + 10 * torch.randn(1, 2, 100, 100, generator=choose)
    exact = ciede2000(torch.cat([L, one], dim=1), torch.cat([L, other], dim=1))
    near = losses.color_difference(one, other)
    assert torch.corrcoef(torch.stack([exact.flatten(), near.flatten()]))[0, 1] > 0.97
    assert (near - exact).abs().mean() < 0.1 * exact.mean()
    torch.testing.assert_close(near, losses.color_difference(other, one))
    assert losses.color_difference(one, one).max() < 2e-3
    gray = torch.zeros(1, 2, 2, 2, requires_grad=True)
    losses.color_difference(gray, torch.zeros(1, 2, 2, 2)).sum().backward()
    assert gray.grad.isfinite().all()


def test_the_color_difference_of_two_colors_of_one_hue_is_ciede2000():
    """What it leaves out needs a difference of hue."""
    hue, (strong, weak) = torch.linspace(0, 6.2, 20).double(), 100 * torch.rand(2, 20, 20).double() + 1
    one, other = (chroma * torch.stack([hue.cos(), hue.sin()])[None, ..., None] for chroma in (strong, weak))
    L = torch.full_like(one[:, :1], 50)
    exact = ciede2000(torch.cat([L, one], dim=1), torch.cat([L, other], dim=1))
    torch.testing.assert_close(losses.color_difference(one, other), exact.view(1, 20, 20), atol=2e-3, rtol=1e-4)


def test_the_color_difference_is_ciede2000_at_hues_where_t_is_1():
    """Of vivid colors, 8 degrees apart, whose hues are far from the blues that R_T rotates."""
    L, pairs = torch.full((1, 1, 4, 3), 50.0), []
    for side in (-4, 4):
        hue = torch.tensor([17.4, 115.6, 177.8, 320.0]).add(side).deg2rad()
        pairs.append(torch.stack([hue.cos(), hue.sin()])[None, ..., None] * torch.tensor([60.0, 80.0, 100.0]))
    exact = ciede2000(*(torch.cat([L, ab], dim=1) for ab in pairs))
    torch.testing.assert_close(losses.color_difference(*pairs), exact, atol=0, rtol=2e-3)


def nearest_color(plausible, kind, pivot=0.0):
    """Where the color loss against several plausible colors, a and b (N, 2), is least: found by descent."""
    truth = (losses.GRAY + plausible / 255).view(-1, 2, 1, 1)
    ab_pred = torch.full((1, 2, 1, 1), losses.GRAY + 1e-2, dtype=torch.float64, requires_grad=True)
    descent = torch.optim.LBFGS([ab_pred], max_iter=400, tolerance_grad=1e-13, line_search_fn="strong_wolfe")

    def closure():
        descent.zero_grad()
        loss = 1e4 * losses.color_loss(ab_pred.expand(len(truth), 2, 1, 1), truth, kind, pivot)
        loss.backward()
        return loss

    descent.step(closure)
    return 255 * (ab_pred.detach() - losses.GRAY).flatten()


@pytest.mark.parametrize("likely", [3.0, 14.0, 30.0])
def test_color_pivot_makes_vivid_what_most_colors_are(likely):
    """Closed form: where three of five plausible colors are one of chroma m, the difference is least at its hue
    and the chroma c of (pivot + 2) c^3 = m^3 (c + 2), whatever the two others are."""
    pivot, hue = 14.0, torch.tensor([0.6, -0.8], dtype=torch.float64)
    plausible = torch.stack([likely * hue] * 3 + [torch.zeros(2), likely * hue.flip(0)])
    chroma = np.roots([pivot + 2, 0, -(likely**3), -2 * likely**3]).real.max()
    torch.testing.assert_close(nearest_color(plausible, "difference", pivot), chroma * hue, atol=0.1, rtol=0)


@pytest.mark.parametrize("likely", [3.0, 14.0, 30.0])
def test_color_pivot_makes_vivid_what_colors_are_on_average(likely):
    """Closed form: where the mean of the plausible colors has a chroma m, the squared error is least at its hue
    and the chroma c of (pivot + 2) c^2 = m^2 (c + 2)."""
    pivot, hue = 14.0, torch.tensor([0.6, -0.8], dtype=torch.float64)
    plausible = torch.stack([1.5 * likely * hue, 0.5 * likely * hue])
    chroma = np.roots([pivot + 2, -(likely**2), -2 * likely**2]).real.max()
    torch.testing.assert_close(nearest_color(plausible, "squared", pivot), chroma * hue, atol=0.1, rtol=0)


def test_what_most_colors_are_may_be_gray():
    """The squared error takes the mean of three grays and two vivid colors."""
    plausible = torch.tensor([[0.0, 0], [0, 0], [0, 0], [40, 30], [40, 30]], dtype=torch.float64)
    for pivot in (0.0, 14.0):
        color = nearest_color(plausible, "difference", pivot)
        torch.testing.assert_close(color, torch.zeros(2).double(), atol=0.1, rtol=0)
    torch.testing.assert_close(nearest_color(plausible, "squared"), plausible.mean(dim=0), atol=0.01, rtol=0)
