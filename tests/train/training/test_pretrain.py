"""What all decoders share, trained once: what it learns, what is kept, what it leaves alone."""

import copy

import pytest
import torch

from chromagan.hub.model import ChromaGAN
from chromagan.network import losses
from chromagan.network.config import ModelConfig
from chromagan.network.decoders import DECODERS
from train.training.batches import Batches, frozen_trunk, normalized_lab
from train.training.options import TrainConfig
from train.training.pretrain import pretrained
from train.training.step import prepare, set_learning_rates, window_features

CPU = torch.device("cpu")


def config(tmp_path, **changes):
    defaults = dict(decoder="compact", batch_size=4, pretrain_epochs=8, precision="fp32")
    defaults |= dict(cache_dir=str(tmp_path), consistency_weight=0.0)
    return TrainConfig(data="d", output_dir="o", **defaults | changes)


def network(decoder="compact"):
    torch.manual_seed(0)
    return ChromaGAN(ModelConfig.preset("lite", decoder))


@pytest.fixture(scope="module")
def images():
    """Photos of one color each, four red and four blue, that a network can tell by their lightness."""
    red, blue = (torch.tensor(color)[:, None, None].expand(3, 224, 224) for color in ((220, 60, 40), (20, 20, 120)))
    return torch.stack([red, blue] * 4).to(torch.uint8)


def batches_of(images, generator, options):
    targets = torch.eye(1000)[torch.arange(len(images)) % 2]  # the teacher tells red from blue
    trunk = None if options.train_trunk else frozen_trunk(generator.trunk, CPU)
    return Batches(normalized_lab(images, CPU), targets, None, options, CPU, trunk=trunk)


def test_it_learns_what_the_teacher_says_and_keeps_it(images, tmp_path):
    generator, options = network(), config(tmp_path)
    before = copy.deepcopy(generator.state_dict())
    batches = batches_of(images, generator, options)
    weights = pretrained(generator, images, batches, options, CPU)
    assert all(torch.equal(value, before[name]) for name, value in generator.state_dict().items())  # left as it was
    assert set(weights) == {name for name in before if not name.startswith(("trunk.", "decoder."))}

    def semantic(model):
        batch = batches(0, slice(0, 4))
        with torch.no_grad():
            _, flat = window_features(model.train(), batch.stages, batch.rows, batch.columns)
            return losses.class_loss(model.class_head(flat), batch.class_target).item()

    trained = network()
    trained.load_state_dict(before | weights)
    assert semantic(trained) < 0.5 * semantic(network())

    files = list(tmp_path.glob("pretrained-*.safetensors"))
    assert len(files) == 1
    again = pretrained(generator, images, None, options, CPU)  # read, not computed: there are no batches
    assert all(torch.equal(weights[name], again[name]) for name in weights)
    for changed in (config(tmp_path, pretrain_epochs=1), config(tmp_path, seed=1, pretrain_epochs=1)):
        pretrained(generator, images, batches, changed, CPU)
    assert len(list(tmp_path.glob("pretrained-*.safetensors"))) == 3


def test_all_decoders_begin_with_the_same(images, tmp_path):
    generator = network()
    options = config(tmp_path, pretrain_epochs=1)
    first = pretrained(generator, images, batches_of(images, generator, options), options, CPU)
    for decoder in DECODERS:
        weights = pretrained(network(decoder), images, None, config(tmp_path, decoder=decoder, pretrain_epochs=1), CPU)
        assert all(torch.equal(first[name], weights[name]) for name in first)
    assert len(list(tmp_path.glob("*.safetensors"))) == 1


def test_the_teachers_word_on_the_colors_is_heard_in_the_second_half(images, tmp_path):
    class Counting(torch.nn.Module):
        """Wants photos whose lightest and darkest channel are alike."""

        seen = 0

        def logits(self, srgb):
            Counting.seen += 1
            assert srgb.shape == (1, 3, 224, 224)  # one photo in four, whole
            return torch.stack([srgb.amin(dim=1), srgb.amax(dim=1)], dim=1).mean(dim=(2, 3)) * 100

    colors = {}
    for weight in (0.0, 1.0):
        generator, options = network(), config(tmp_path, consistency_weight=weight, pretrain_epochs=3)
        lab, target = normalized_lab(images, CPU), torch.full((len(images), 2), 0.5)
        trunk = frozen_trunk(generator.trunk, CPU)
        batches = Batches(lab, torch.eye(1000)[:8], None, options, CPU, None, trunk, target)
        teacher = Counting() if weight else None
        weights = pretrained(generator, images, batches, options, CPU, teacher)
        generator.load_state_dict(generator.state_dict() | weights, strict=True)
        batch = batches(0, slice(0, 4))
        with torch.no_grad():
            colors[weight] = generator.fuse(*window_features(generator.eval(), batch.stages, batch.rows, batch.columns))
    assert Counting.seen == 3  # of six steps
    assert not torch.allclose(colors[0.0], colors[1.0], atol=1e-3)
    assert len(list(tmp_path.glob("pretrained-*.safetensors"))) == 2


def test_it_is_a_function_of_the_seed_and_takes_no_random_number(images, tmp_path):
    generator, results = network(), []
    for folder in ("one", "two"):
        options = config(tmp_path / folder, pretrain_epochs=1)
        torch.manual_seed(len(results))
        state = torch.get_rng_state()
        results.append(pretrained(generator, images, batches_of(images, generator, options), options, CPU))
        assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(results[0][name], results[1][name]) for name in results[0])


def test_a_trunk_that_trains_later_stays_as_it_is_here(images, tmp_path):
    generator, options = network(), config(tmp_path, train_trunk=True, pretrain_epochs=1)
    batches = batches_of(images, generator, options)
    weights = pretrained(generator, images, batches, options, CPU)
    frozen = config(tmp_path / "frozen", pretrain_epochs=1)
    expected = pretrained(generator, images, batches_of(images, generator, frozen), frozen, CPU)
    assert all(torch.equal(weights[name], expected[name]) for name in expected)
    assert batches.trunk is None  # the run's own batches show the trunk no more than before


def test_pretrained_layers_have_a_rate_of_their_own(tmp_path):
    from accelerate import Accelerator

    from chromagan.network.critic import Critic

    for epochs, expected in ((1, [0.25, 1.0]), (0, [1.0, 1.0])):
        options = config(tmp_path, pretrain_epochs=epochs, pretrained_lr=0.25, lr=1.0, lr_hold=100)
        generator = network()
        _, optimizers = prepare(generator, Critic(4), options, Accelerator(cpu=True))
        assert sum(len(group["params"]) for group in optimizers.generator.param_groups) == sum(
            parameter.requires_grad for parameter in generator.parameters()
        )
        set_learning_rates(optimizers, options, step=399)
        assert [group["lr"] for group in optimizers.generator.param_groups] == [0.5 * share for share in expected]
        assert [group["lr"] for group in optimizers.critic.param_groups] == [0.5 * options.critic_lr]
