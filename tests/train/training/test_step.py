"""One training step: what moves, in which direction, and that what makes it fast does not change it."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from accelerate import Accelerator
from torch import nn

from chromagan.hub.model import ChromaGAN
from chromagan.network import losses
from chromagan.network.config import ModelConfig
from chromagan.network.critic import Critic
from chromagan.network.decoders import DECODERS
from chromagan.network.folding import DoublingConv2d
from train.benchmarks.counting import Flops
from train.training import step as step_module
from train.training.batches import Batch, Batches
from train.training.options import PRESETS, TrainConfig
from train.training.step import (
    CriticLoss,
    GeneratorForward,
    Networks,
    Optimizers,
    autocast,
    part,
    prepare,
    resolve_precision,
    set_learning_rates,
    train_step,
    update_average,
)
from train.training.watching import TrainingError


def config(**changes):
    defaults = dict(
        decoder="compact", data=["d"], output_dir="o", crop=64, critic_crop=64, batch_size=4, critic_width=4,
        precision="fp32", train_trunk=True,
    )  # fmt: skip
    return TrainConfig(**defaults | changes)


@pytest.fixture(scope="module")
def accelerator():
    return Accelerator(cpu=True)


def networks(options, accelerator, lr=1e-3):
    torch.manual_seed(0)
    generator = ChromaGAN(options.model)
    torch.manual_seed(1)
    nets, _ = prepare(generator.train(), Critic(options.critic_width), options, accelerator)
    optimizers = Optimizers(
        generator=torch.optim.Adam(nets.generator.parameters(), lr, betas=(0.5, 0.999)),
        critic=torch.optim.Adam(nets.critic.parameters(), lr, betas=(0.5, 0.999)),
    )
    return nets, optimizers


def made_batch(count=4, size=32, **changes):
    torch.manual_seed(2)
    L = nn.functional.interpolate(torch.rand(count, 1, 8, 8), size=size, mode="bilinear") * 2 - 1
    cells = torch.arange(size // 8).expand(count, -1)
    values = dict(
        L=L, ab=torch.cat([0.3 * L + 0.1, -0.4 * L], dim=1),  # colors that the lightness tells
        stages=None, rows=cells, columns=cells,
        class_target=torch.eye(1000)[[3, 5, 3, 5][:count]], mix=torch.rand(count, 1, 1, 1),
    )  # fmt: skip
    return Batch(**values | changes)


def weights(module):
    return [p.detach().clone() for p in module.parameters()]


def test_one_step_moves_every_network(accelerator):
    options = config()
    nets, optimizers = networks(options, accelerator)
    before = weights(nets.generator), weights(nets.critic)
    terms = train_step(made_batch(), nets, optimizers, options, accelerator, norms=True)
    assert set(terms) == {
        "color", "adversarial", "semantic", "wasserstein", "penalty", "color_grad_norm", "adversarial_grad_norm",
    }  # fmt: skip
    assert all(term.isfinite() and term.ndim == 0 and not term.requires_grad for term in terms.values())
    for old, net in zip(before, (nets.generator, nets.critic), strict=True):
        unmoved = [n for (n, p), o in zip(net.named_parameters(), old, strict=True) if torch.equal(p, o)]
        assert [n for n in unmoved if n != "critic.convs.4.bias"] == []
    assert all(p.requires_grad for p in nets.critic.parameters())


def test_a_parameter_that_takes_no_part_is_named_with_several_processes(accelerator):
    """Torch would end the next step, with its number; in one process it stays as it is."""
    options = config()
    nets, optimizers = networks(options, accelerator)
    several = SimpleNamespace(num_processes=2, backward=torch.Tensor.backward, unwrap_model=lambda net: net)
    train_step(made_batch(), nets, optimizers, options, several)
    nets.generator.generator.spare = nn.Linear(2, 2)
    train_step(made_batch(), nets, optimizers, options, accelerator)
    with pytest.raises(TrainingError, match=r"^parameter spare\.weight and 1 more took no part in a step, as"):
        train_step(made_batch(), nets, optimizers, options, several)


def test_the_adversarial_term_alone_moves_the_generator_toward_higher_scores(accelerator):
    """Fails for a critic called under no_grad or on detached colors, and for one with its sign turned."""
    options = config(class_weight=0.0, adversarial_weight=1e6)
    nets, optimizers = networks(options, accelerator, lr=3e-4)
    optimizers.critic = torch.optim.SGD(nets.critic.parameters(), lr=0.0)  # held, so that scores compare
    decoder_before = weights(nets.generator.generator.decoder)
    scores = [-train_step(made_batch(), nets, optimizers, options, accelerator)["adversarial"] for _ in range(8)]
    assert not any(torch.equal(a, b) for a, b in zip(decoder_before, weights(nets.generator.generator.decoder)))
    assert scores[-1] > scores[0]


def test_the_critic_learns_to_tell_true_colors_from_the_generators(accelerator):
    options = config()
    nets, optimizers = networks(options, accelerator)
    optimizers.generator = torch.optim.SGD(nets.generator.parameters(), lr=0.0)
    gaps = [train_step(made_batch(), nets, optimizers, options, accelerator)["wasserstein"] for _ in range(12)]
    assert gaps[-1] < gaps[0]


def test_the_two_gradient_norms_are_those_at_ab_pred(accelerator):
    options = config(color_loss="squared", color_pivot=0.0)
    nets, optimizers = networks(options, accelerator)
    batch = made_batch()
    ab_pred, _ = nets.generator(batch.L, None, batch.rows, batch.columns)
    terms = train_step(batch, nets, optimizers, options, accelerator, norms=True)
    _, miss = losses.loss_units(batch.L, ab_pred - batch.ab)
    by_hand = 2 * (miss - 128 / 255).detach() / miss.numel()  # gradient of the mean squared error
    assert terms["color_grad_norm"].item() == pytest.approx(by_hand.norm().item(), rel=1e-4)
    L, ab_pred = losses.loss_units(batch.L, ab_pred.detach())
    score = nets.critic.critic(L, ab_pred.requires_grad_()).mean()  # of the critic just updated
    (by_hand,) = torch.autograd.grad(options.adversarial_weight * score, ab_pred)
    assert terms["adversarial_grad_norm"].item() == pytest.approx(by_hand.norm().item(), rel=1e-4)


def test_one_batch_overfits(accelerator):
    options = config(adversarial_weight=0.01)  # on so small a window the term is some ten times stronger than at 224
    nets, optimizers = networks(options, accelerator, lr=2e-3)
    batch = made_batch(2)
    with torch.no_grad():  # a frozen trunk's features: the rest has to learn it
        stages = nets.generator.generator.trunk.eval()(batch.L)
    batch = made_batch(2, stages=stages)
    first, *_, last = (train_step(batch, nets, optimizers, options, accelerator) for _ in range(160))
    assert last["color"] < 0.25 * first["color"]  # a difference; its square is a sixteenth
    assert last["semantic"] < 0.1 * first["semantic"]


def plain_step(batch, nets, optimizers, options):
    """A step as the paper has it: a forward of the generator for each update, and the critic differentiated twice."""

    def colored():
        ab_pred, class_logits = nets.generator(batch.L, batch.stages, batch.rows, batch.columns)
        return losses.loss_units(batch.L, ab_pred)[1], class_logits

    critic = nets.critic.critic
    L, ab = losses.loss_units(batch.L, batch.ab)
    with torch.no_grad():
        fake, _ = colored()
    wasserstein = critic(L, fake).mean() - critic(L, ab).mean()
    mixed = (batch.mix * ab + (1 - batch.mix) * fake).requires_grad_()
    (gradient,) = torch.autograd.grad(critic(L, mixed).sum(), mixed, create_graph=True)
    penalty = (gradient.flatten(1).norm(dim=1) - 1).square().mean()
    optimizers.critic.zero_grad()
    (wasserstein + options.penalty_weight * penalty).backward()
    optimizers.critic.step()

    critic.requires_grad_(False)
    ab_pred, class_logits = colored()
    color = losses.color_loss(ab_pred, ab, options.color_loss, options.color_pivot)
    adversarial = -critic(L, ab_pred).mean()
    semantic = losses.class_loss(class_logits, batch.class_target)
    optimizers.generator.zero_grad()
    (color + options.adversarial_weight * adversarial + options.class_weight * semantic).backward()
    optimizers.generator.step()
    critic.requires_grad_(True)
    return dict(color=color, adversarial=adversarial, semantic=semantic, wasserstein=wasserstein, penalty=penalty)


@pytest.mark.parametrize("plain", ["step", "memory format", "upsampling", "adam"])
def test_what_makes_a_step_fast_does_not_change_it(plain, accelerator, monkeypatch):
    """The losses and the weights after two steps are those of the plain way, to rounding."""
    options, batch, results = config(decoder="original", lr=1e-3, weight_decay=0.0), made_batch(), []
    for way in ("fast", plain):
        if way == "upsampling":
            monkeypatch.setattr(step_module, "fold_upsampling_for_training", lambda generator: None)
        torch.manual_seed(0)
        generator = ChromaGAN(options.model)
        for module in generator.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()  # a second forward would count twice in the running statistics; not what is tested
        nets, optimizers = prepare(generator, Critic(4), options, accelerator)
        if way == "memory format":
            for net in (nets.generator, nets.critic):
                net.to(memory_format=torch.contiguous_format)
        if way == "adam":
            rates = (nets.generator, options.lr), (nets.critic, options.critic_lr)
            optimizers = Optimizers(*(torch.optim.Adam(net.parameters(), lr, betas=(0.5, 0.999)) for net, lr in rates))
        if plain != "adam":  # Adam's first steps are signs, and turn rounding into whole steps
            optimizers = Optimizers(*(torch.optim.SGD(net.parameters(), 0.01) for net in (nets.generator, nets.critic)))
        with torch.no_grad():
            nets.critic.critic.convs[0].weight.mul_(5)  # so that the critic matters
        for _ in range(2):
            if way == "step":
                terms = plain_step(batch, nets, optimizers, options)
            else:
                terms = train_step(batch, nets, optimizers, options, accelerator)
        results.append((terms, weights(nets.generator) + weights(nets.critic)))
    (fast, fast_weights), (expected, expected_weights) = results
    for name in expected:
        assert fast[name].item() == pytest.approx(expected[name].item(), rel=1e-3, abs=1e-6), name
    for a, b in zip(fast_weights, expected_weights, strict=True):
        assert (a - b).norm() <= 1e-4 * b.norm() + 1e-6


def test_compiled_generator_takes_the_same_step(accelerator, monkeypatch):
    """Traced and differentiated ahead of time as on a GPU; only the generation of code, which takes minutes, is not."""
    compiled, original = [], nn.Module.compile

    def compile_without_code(module):
        compiled.append(type(module))
        original(module, backend="aot_eager")

    monkeypatch.setattr(nn.Module, "compile", compile_without_code)
    results = []
    for compile in ("on", "off"):
        options = config(compile=compile)
        nets, optimizers = networks(options, accelerator)
        batch = made_batch(size=64)
        with torch.no_grad():
            stages = nets.generator.generator.trunk.eval()(batch.L)
        results.append(train_step(replace(batch, stages=stages), nets, optimizers, options, accelerator))
    assert compiled == [GeneratorForward]
    for name, value in results[0].items():
        assert value.item() == pytest.approx(results[1][name].item(), rel=1e-3, abs=1e-6), name


def test_networks_are_prepared_for_speed(accelerator):
    nets, _ = networks(config(decoder="original"), accelerator)
    assert sum(isinstance(module, DoublingConv2d) for module in nets.generator.generator.decoder.modules()) == 2
    for net in (nets.generator, nets.critic):
        kernels = [p for p in net.parameters() if p.ndim == 4]
        assert all(kernel.is_contiguous(memory_format=torch.channels_last) for kernel in kernels)
        assert not all(kernel.is_contiguous() for kernel in kernels)


def test_dropped_channels_are_as_if_the_trunk_had_not_found_them(accelerator):
    generator = networks(config(train_trunk=False), accelerator)[0].generator.eval()
    batch = made_batch(2, 64)
    with torch.no_grad():
        stages = generator.generator.trunk(batch.L)
        counts = [stage.shape[1] for stage in stages]
        for stage in stages:
            stage[1, ::2] = 0
        expected = generator(batch.L, stages, batch.rows, batch.columns)
        masks = torch.ones(2, sum(counts))
        masks[1] = torch.cat([torch.arange(count) % 2 for count in counts])
        found = generator(batch.L, generator.generator.trunk(batch.L), batch.rows, batch.columns, masks)
    for one, other in zip(found, expected, strict=True):
        assert one.equal(other) and not one[1].equal(one[0])


def test_bfloat16_keeps_the_penalty(accelerator):
    """Convolutions in bfloat16, the norm in float32: within a hundredth, and with a gradient for every kernel."""
    torch.manual_seed(0)
    critic = CriticLoss(Critic(16))
    L, ab, ab_pred = torch.rand(2, 1, 64, 64), torch.rand(2, 2, 64, 64), torch.rand(2, 2, 64, 64)
    exact = critic(L, ab, ab_pred, torch.rand(2, 1, 1, 1))[1]
    torch.manual_seed(0)
    critic = CriticLoss(Critic(16))
    L, ab, ab_pred = torch.rand(2, 1, 64, 64), torch.rand(2, 2, 64, 64), torch.rand(2, 2, 64, 64)
    with autocast(torch.device("cpu"), "bf16"):
        half = critic(L, ab, ab_pred, torch.rand(2, 1, 1, 1))[1]
    assert half.dtype == torch.float32 and half.item() == pytest.approx(exact.item(), rel=0.01)
    half.backward()
    assert all(conv.weight.grad.abs().sum() > 0 for conv in critic.critic.convs)


def test_a_step_in_bfloat16_is_near_the_one_in_float32(accelerator):
    terms = {}
    for precision in ("fp32", "bf16"):
        options = config(precision=precision)
        nets, optimizers = networks(options, accelerator)
        batch, found = made_batch(size=64), set()
        nets.generator.generator.decoder.register_forward_hook(lambda *passed, found=found: found.add(passed[2].dtype))
        with torch.no_grad():  # a frozen trunk's features, as a run keeps them: they are no part of the step
            stages = nets.generator.generator.trunk.eval()(batch.L)
        terms[precision] = train_step(replace(batch, stages=stages), nets, optimizers, options, accelerator)
        assert found == {{"fp32": torch.float32, "bf16": torch.bfloat16}[precision]}
        assert all(p.dtype == torch.float32 for p in nets.generator.parameters())
    for name in ("color", "semantic", "penalty"):
        assert terms["bf16"][name].item() == pytest.approx(terms["fp32"][name].item(), rel=0.05), name


def test_precision_is_resolved_to_what_the_hardware_has(monkeypatch):
    assert resolve_precision("fp32", torch.device("cpu")) == "fp32"
    assert resolve_precision("bf16", torch.device("cpu")) == "bf16"
    assert resolve_precision("auto", torch.device("mps")) == "fp32"
    for fast, expected in ((torch.bfloat16, "bf16"), (torch.float32, "fp32")):
        monkeypatch.setattr(step_module, "fast_dtype", lambda device, fast=fast: fast)
        assert resolve_precision("auto", torch.device("cpu")) == expected


@pytest.mark.parametrize("plain, bound", [(False, 175), (True, None)])
def test_gflop_of_a_whole_paper_step(plain, bound, accelerator):
    """At 224, original decoder, teacher kept: at most 175 an image. Counted on meta tensors, which hold no numbers."""
    options = config(preset="paper", **PRESETS["paper"], decoder="original")
    with torch.device("meta"):
        generator, critic = ChromaGAN(ModelConfig.preset("paper", "original")).train().to("meta"), Critic(64)
        L, ab = torch.empty(1, 1, 224, 224), torch.empty(1, 2, 224, 224)
        target, mix, cells = torch.empty(1, 1000), torch.empty(1, 1, 1, 1), torch.empty(1, 28, dtype=torch.long)
    nets = Networks(GeneratorForward(generator), CriticLoss(critic))
    optimizers = Optimizers(*(torch.optim.SGD(net.parameters(), 0.0) for net in (generator, critic)))
    with Flops() as counted:
        batch = Batch(L, ab, None, cells, cells, target, mix)
        if plain:
            plain_step(batch, nets, optimizers, options)
        else:
            train_step(batch, nets, optimizers, options, accelerator)
    gflop = counted.total / 1e9
    if plain:
        assert 252 - 31 - 4 < gflop < 252 - 31 + 4  # the plain way's 252 without its teacher's 30.9
    else:
        assert 160 < gflop <= bound


@pytest.mark.parametrize("share", [0.5, 0.1, 1 / 3])
def test_average_of_weights_is_as_old_as_said(share):
    """Closed form: of weights that are 1, 2, ..., n behind steps 1, 2, ..., n, the average is exactly (1 - share) n."""
    model, average = nn.BatchNorm1d(1).double(), nn.BatchNorm1d(1).double()
    nn.init.zeros_(average.weight)
    for step in range(1, 200):
        with torch.no_grad():
            model.weight.fill_(step), model.running_mean.fill_(2 * step), model.num_batches_tracked.fill_(step)
        update_average(average.state_dict(), model.state_dict(), share, step)
        assert average.weight.item() == pytest.approx((1 - share) * step, rel=1e-12)
        assert average.running_mean.item() == pytest.approx(2 * (1 - share) * step, rel=1e-12)
        assert average.num_batches_tracked == step


def test_random_places_take_the_grid_out_of_the_critics_gradient():
    """On a flat picture the gradient at ab repeats every 8 pixels, the product of the critic's strides, and would pull
    any decoder of that grid into the same pattern. Its mean over all places of the critic's window has none."""
    torch.manual_seed(0)
    critic, size, side = Critic(2).double(), 240, 232
    ab = torch.full((1, 2, size, size), 0.5, dtype=torch.float64, requires_grad=True)
    L = torch.full((1, 1, size, size), 0.4, dtype=torch.float64)

    def gradient(corner, side=side):
        scores = critic(part(L, corner, side), part(ab, corner, side))
        return torch.autograd.grad(scores.sum(), ab)[0][0, :, 104:136, 104:136]  # out of reach of the borders' padding

    fixed = gradient((0, 0), size)
    torch.testing.assert_close(fixed[:, 8:], fixed[:, :-8])
    placed = [gradient((top, left)) for top in range(8) for left in range(8)]
    mean = torch.stack(placed).mean(dim=0)
    assert mean.std(dim=(1, 2)).max() < 1e-9 < 0.1 * fixed.std(dim=(1, 2)).min()


def test_every_place_of_the_critics_window_is_drawn_and_again_the_same():
    options = config(critic_crop=56)
    lab, target = torch.zeros(4, 64, 64, 3), torch.zeros(4, 8)
    batches = [Batches(lab, options.batch_spec, torch.device("cpu"), target) for _ in range(2)]
    drawn = [[b(step, slice(0, 4)).corner for step in range(1500)] for b in batches]
    assert drawn[0] == drawn[1] and set(drawn[0]) == {(top, left) for top in range(9) for left in range(9)}
    whole = Batches(lab, config(critic_crop=64).batch_spec, torch.device("cpu"), target)
    assert whole(0, slice(0, 4)).corner == (0, 0)


def test_weight_decay_shrinks_matrices_and_leaves_vectors(accelerator):
    options = config(weight_decay=0.5, lr=0.01)
    generator, critic = ChromaGAN(options.model), Critic(4)
    _, optimizers = prepare(generator, critic, options, accelerator)
    before = weights(generator), weights(critic)
    for net in (generator, critic):
        for p in net.parameters():
            p.grad = torch.zeros_like(p)
    optimizers.generator.step(), optimizers.critic.step()
    for old, new in zip(before[0], generator.parameters(), strict=True):
        torch.testing.assert_close(new, old * (1 - 0.005) if old.ndim > 1 else old)
    assert all(torch.equal(*pair) for pair in zip(before[1], critic.parameters(), strict=True))


@pytest.mark.parametrize("decoder", DECODERS)
def test_gflop_of_a_window_of_the_lite_recipe(decoder, accelerator):
    """At most 1.9 with every term of the defaults. Counted on meta tensors, which hold no numbers."""
    options = TrainConfig(decoder=decoder, data=["d"], output_dir="o")
    side, whole, cells = options.crop, options.model.image_size, options.crop // 8
    with torch.device("meta"):
        generator, critic = ChromaGAN(options.model).train().to("meta"), Critic(options.critic_width)
        strides, channels = generator.trunk.strides, generator.trunk.channels
        stages = [
            torch.empty(2, count, *2 * [(side if stride <= 8 else whole) // stride])
            for count, stride in zip(channels, strides, strict=True)
        ]
        where = torch.empty(2, cells, dtype=torch.long)
        batch = Batch(
            torch.empty(2, 1, side, side), torch.empty(2, 2, side, side), stages, where, where,
            torch.empty(2, 1000), torch.empty(2, 1, 1, 1), torch.empty(2, sum(channels)),
        )  # fmt: skip
    generator.trunk.requires_grad_(False)
    trained = [p for p in generator.parameters() if p.requires_grad]
    nets = Networks(GeneratorForward(generator), CriticLoss(critic))
    optimizers = Optimizers(torch.optim.SGD(trained, 0.0), torch.optim.SGD(critic.parameters(), 0.0))
    with Flops() as counted:
        train_step(batch, nets, optimizers, options, accelerator)
    assert 0.3 < counted.total / 2 / 1e9 <= 1.9


def test_learning_rates_fall_with_the_root_of_the_steps():
    accelerator = Accelerator(cpu=True)
    options = config(lr=1.0, critic_lr=0.5, lr_hold=100)
    _, optimizers = networks(options, accelerator)
    for step, factor in ((0, 1), (99, 1), (399, 1 / 2), (9_999, 1 / 10)):
        set_learning_rates(optimizers, options, step)
        assert optimizers.generator.param_groups[-1]["lr"] == pytest.approx(factor)
        assert optimizers.critic.param_groups[-1]["lr"] == pytest.approx(factor / 2)
    set_learning_rates(optimizers, config(lr=1.0, lr_hold=0), 10_000)
    assert optimizers.generator.param_groups[-1]["lr"] == 1
