"""Launched with two processes by test_train.py: one step of theirs has the gradients of one process's whole batch."""

import copy
import sys
from pathlib import Path
from types import SimpleNamespace

import torch
from accelerate import Accelerator
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from chromagan.hub.model import ChromaGAN
from chromagan.network.critic import Critic
from train.training.batch_norm import GlobalBatchNorm
from train.training.batches import Batch
from train.training.options import TrainConfig
from train.training.step import CriticLoss, GeneratorForward, Networks, Optimizers, prepare, train_step


def gradients(generator, critic, nets, batch, config, accelerator):
    """One step of plain descent with tiny steps, so that the critic's update hardly shows in the generator's."""
    optimizers = Optimizers(*(torch.optim.SGD(net.parameters(), 1e-12) for net in (generator, critic)))
    terms = train_step(batch, nets, optimizers, config, accelerator, norms=True)
    named = [*generator.named_parameters(), *critic.named_parameters()]
    return {name: p.grad.clone() for name, p in named if p.grad is not None}, terms


def norms_of_ones_own(half):
    """Batch norms that lack something take the statistics of both halves, too, for three steps."""
    for lacking in (dict(affine=False), dict(track_running_stats=False), dict(momentum=None)):
        alone = nn.Sequential(nn.BatchNorm2d(3, **lacking))
        shared = copy.deepcopy(alone)
        GlobalBatchNorm.convert(shared)
        for _ in range(3):
            whole = torch.rand(4, 3, 5, 5)
            torch.testing.assert_close(shared(whole[half]), alone(whole)[half])
        for ours, theirs in zip(shared.buffers(), alone.buffers(), strict=True):
            torch.testing.assert_close(ours, theirs)


def main():
    accelerator = Accelerator()
    assert accelerator.num_processes == 2
    config = TrainConfig(
        decoder="depthwise", data=["d"], output_dir="o", crop=64, critic_crop=56, batch_size=4, critic_width=4,
        precision="fp32", train_trunk=True,
    )  # fmt: skip
    torch.manual_seed(0)
    generator, critic = ChromaGAN(config.model).train(), Critic(4)
    alone = ChromaGAN(config.model).train()
    alone.load_state_dict(generator.state_dict())
    critic_alone = Critic(4)
    critic_alone.load_state_dict(critic.state_dict())
    torch.set_default_dtype(torch.float64)
    cells = torch.arange(8).expand(4, -1)
    batch = Batch(
        L=torch.rand(4, 1, 64, 64) * 2 - 1, ab=torch.rand(4, 2, 64, 64) - 0.5, stages=None, rows=cells, columns=cells,
        class_target=torch.rand(4, 1000).softmax(dim=1), mix=torch.rand(4, 1, 1, 1),
    )  # fmt: skip
    half = slice(2 * accelerator.process_index, 2 * accelerator.process_index + 2)
    mine = Batch(*(v[half] if isinstance(v, torch.Tensor) else v for v in vars(batch).values()))

    # In float64: a trunk of fifty layers turns float32's rounding into thousandths of its first kernels' gradient.
    for net in (generator, critic, alone, critic_alone):
        net.double()
    nets, _ = prepare(generator, critic, config, accelerator)
    shared, terms = gradients(generator, critic, nets, mine, config, accelerator)
    terms = {name: accelerator.reduce(term, "mean") for name, term in terms.items()}

    single = SimpleNamespace(num_processes=1, backward=torch.Tensor.backward, unwrap_model=lambda net: net)
    plain = Networks(GeneratorForward(alone), CriticLoss(critic_alone))
    whole, whole_terms = gradients(alone, critic_alone, plain, batch, config, single)
    assert set(shared) == set(whole) and len(shared) > 50
    for name, gradient in whole.items():
        error = (shared[name] - gradient).norm() / (gradient.norm() + 1e-7)
        assert error < 1e-4, (name, float(error))
    for name, term in whole_terms.items():
        torch.testing.assert_close(terms[name], term, rtol=1e-4, atol=1e-6)
    for (name, ours), theirs in zip(generator.named_buffers(), alone.buffers(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5, msg=name)
    assert sum(name.endswith("_grad_norm") for name in terms) == 2
    assert any(isinstance(module, nn.BatchNorm2d) for module in alone.decoder.modules())
    norms_of_ones_own(half)
    accelerator.print("the gradients are equal")
    accelerator.end_training()


main()
