import pytest
import torch
from torch import nn
from torch.nn import functional as F

from chromagan.network import losses
from chromagan.network.critic import Critic


def test_layers_and_score_map():
    critic = Critic()
    shapes = [(conv.in_channels, conv.out_channels, conv.stride[0]) for conv in critic.convs]
    assert shapes == [(3, 64, 2), (64, 128, 2), (128, 256, 2), (256, 512, 1), (512, 1, 1)]
    assert critic(torch.rand(1, 1, 224, 224), torch.rand(1, 2, 224, 224)).shape == (1, 1, 28, 28)
    assert not any(isinstance(module, nn.BatchNorm2d | nn.InstanceNorm2d) for module in critic.modules())


def test_equals_the_layers_written_out():
    """ "Same" padding as TensorFlow defines it, slope 0.3, nothing behind the last convolution."""
    torch.manual_seed(0)
    critic = Critic(width=4)
    L, ab = torch.rand(2, 1, 32, 32), torch.rand(2, 2, 32, 32)
    x = torch.cat([L, ab], dim=1)
    for number, conv in enumerate(critic.convs):
        size, stride = x.shape[-1], conv.stride[0]
        missing = max((-(-size // stride) - 1) * stride + 4 - size, 0)
        before, behind = missing // 2, missing - missing // 2
        x = F.conv2d(F.pad(x, (before, behind, before, behind)), conv.weight, conv.bias, stride)
        x = x if number == 4 else torch.where(x > 0, x, 0.3 * x)
    assert torch.allclose(critic(L, ab), x, atol=1e-6)


def test_scores_are_unbounded():
    critic = Critic(width=4)
    with torch.no_grad():
        critic.convs[-1].bias.fill_(1e4)
    assert critic(torch.rand(1, 1, 32, 32), torch.rand(1, 2, 32, 32)).min() > 9e3


def test_images_of_a_batch_do_not_mix():
    torch.manual_seed(0)
    critic = Critic(width=4)
    L, ab = torch.rand(3, 1, 32, 32), torch.rand(3, 2, 32, 32)
    alone = torch.cat([critic(L[i : i + 1], ab[i : i + 1]) for i in range(3)])
    assert torch.allclose(critic(L, ab), alone, atol=1e-6)


def test_a_gradient_reaches_every_parameter_through_loss_and_penalty():
    torch.manual_seed(0)
    critic = Critic(width=4)
    L, ab, fake = torch.rand(2, 1, 32, 32), torch.rand(2, 2, 32, 32), torch.rand(2, 2, 32, 32)
    penalty = losses.gradient_penalty(critic, L, ab, fake, torch.rand(2, 1, 1, 1))
    penalty.backward()
    for name, parameter in critic.named_parameters():
        if name.endswith("weight"):  # the score's gradient does not depend on the last bias, nor smoothly on the others
            assert parameter.grad.abs().sum() > 0, name
    critic.zero_grad()
    losses.wasserstein_loss(critic(L, fake), critic(L, ab)).backward()
    assert all(p.grad.abs().sum() > 0 for name, p in critic.named_parameters() if name != "convs.4.bias")
    assert critic.convs[4].bias.grad.abs().sum() < 1e-6  # it moves real and fake alike


@pytest.mark.parametrize("size", [(64, 64), (32, 48)])
def test_the_explicit_gradient_is_autograds_and_so_is_its_own_gradient(size):
    torch.manual_seed(0)
    critic = Critic(width=6).double()
    L, ab, fake = (torch.rand(3, channels, *size, dtype=torch.float64) for channels in (1, 2, 2))
    mixed = ab.clone().requires_grad_(True)
    (expected,) = torch.autograd.grad(critic(L, mixed).sum(), mixed)
    assert torch.allclose(critic.ab_gradient(L, ab), expected, rtol=1e-10, atol=1e-14)

    mix, kernels = torch.rand(3, 1, 1, 1, dtype=torch.float64), [conv.weight for conv in critic.convs]
    explicit = losses.gradient_penalty(critic, L, ab, fake, mix)
    mixed = (mix * ab + (1 - mix) * fake).requires_grad_()
    (gradient,) = torch.autograd.grad(critic(L, mixed).sum(), mixed, create_graph=True)
    twice = (gradient.flatten(1).norm(dim=1) - 1).square().mean()
    assert explicit.item() == pytest.approx(twice.item(), rel=1e-12)
    for ours, autograds in zip(*(torch.autograd.grad(value, kernels) for value in (explicit, twice)), strict=True):
        assert torch.allclose(ours, autograds, rtol=1e-9, atol=1e-14)
