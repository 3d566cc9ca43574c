"""A decoder of one's own, from its first step to its colors: what it computes stays what its class says."""

from dataclasses import replace

import pytest
import torch
from accelerate import Accelerator
from made_decoders import MADE, LayersOfAList, Shared
from PIL import Image

from chromagan.__main__ import main
from chromagan.colorizer import Colorizer
from chromagan.errors import ChromaGANError
from chromagan.hub.checkpoints import find_checkpoint, load_checkpoint, save_checkpoint
from chromagan.hub.model import ChromaGAN
from chromagan.network.config import ModelConfig
from chromagan.network.critic import Critic
from chromagan.network.decoders import DECODERS
from chromagan.network.folding import fold
from train.evaluation.networks import Entry, Networks
from train.train import build_networks
from train.training.options import TrainConfig
from train.training.step import prepare, update_average
from train.training.watching import TrainingError


@pytest.fixture
def own(monkeypatch):
    """A network with the given decoder in place of `compact`, whose batch norms have seen something."""

    def build(decoder) -> ChromaGAN:
        monkeypatch.setitem(DECODERS, "compact", replace(DECODERS["compact"], build=decoder))
        torch.manual_seed(0)
        model = ChromaGAN(ModelConfig.preset("lite", "compact")).without_class_head()
        model.freeze_trunk()
        with torch.no_grad():
            model.decoder.train()(torch.rand(4, 128, 4, 4))
        return model.eval()

    return build


@pytest.mark.parametrize("decoder", MADE)
def test_trained_saved_loaded_and_folded_it_computes_the_same(decoder, own, tmp_path):
    model = own(decoder)
    L = 2 * torch.rand(1, 1, 64, 96) - 1
    with torch.no_grad():
        expected = model(L)
        assert expected.shape == (1, 2, 64, 96) and expected.std() > 1e-3
        options = TrainConfig(decoder="compact", data=["d"], output_dir="o", precision="fp32", critic_width=4)
        prepare(model, Critic(4), options, Accelerator(cpu=True))  # folds for training, in place
        torch.testing.assert_close(model.eval()(L), expected, atol=1e-5, rtol=1e-4)

        save_checkpoint(model, tmp_path / "compact" / "epoch-1")
        loaded = load_checkpoint(find_checkpoint(tmp_path, "compact"))
        torch.testing.assert_close(loaded(L), expected, atol=3e-3, rtol=0)  # stored in half precision
        torch.testing.assert_close(fold(loaded)(L), loaded(L), atol=1e-4, rtol=0)
    photo = Image.new("L", (80, 64), 90)
    assert Colorizer.from_pretrained(tmp_path, "compact", device="cpu")(photo).size == (80, 64)


def test_a_tensor_with_several_names_is_averaged_once(own):
    model = own(Shared)
    bias = model.decoder[3].bias.data_ptr()
    tied = [name for name, tensor in model.state_dict().items() if tensor.data_ptr() == bias]
    assert len(tied) == 4
    average, new = ({name: t.clone() for name, t in model.state_dict().items()} for _ in range(2))
    for state, value in ((average, 0.0), (new, 1.0)):
        shared = torch.full((8,), value)
        state |= dict.fromkeys(tied, shared)
    update_average(average, new, share=0.5, step=3)  # decay 3 / (1 + 3)
    torch.testing.assert_close(average[tied[0]], torch.full((8,), 0.25))


@pytest.mark.parametrize("layers, found", [((2, 3, 4), "(1, 3, 64, 64)"), ((2, 2, 2), "(1, 2, 32, 32)")])
def test_an_output_of_another_shape_is_one_line_before_training(monkeypatch, layers, found):
    channels, _, doublings = layers[1], *layers[::2]

    def build():
        return torch.nn.Sequential(
            torch.nn.Conv2d(128, channels, 1), torch.nn.Upsample(scale_factor=8 if doublings == 4 else 4)
        )

    monkeypatch.setitem(DECODERS, "compact", replace(DECODERS["compact"], build=build))
    monkeypatch.setattr(ChromaGAN, "load_imagenet", lambda model: None)
    with pytest.raises(TrainingError) as error:
        build_networks(TrainConfig(decoder="compact", data=["d"], output_dir="o", crop=64, critic_crop=64))
    assert str(error.value) == f"decoder compact returns {found} for a window of (1, 2, 64, 64)"


def test_a_network_that_returns_nan_colors_nothing_black(own, tmp_path):
    class Undefined(LayersOfAList):
        def forward(self, x):
            return super().forward(x) if self.training else super().forward(x) * torch.nan

    model = own(Undefined)
    with pytest.raises(ChromaGANError, match="decoder compact returns NaN or infinity"):
        Colorizer(model, "cpu")(Image.new("L", (64, 64), 90))
    with pytest.raises(ChromaGANError, match="compact, epoch 3 returns NaN or infinity"), torch.no_grad():
        list(
            Networks({Entry("compact", 3, ""): model}, torch.device("cpu")).colorize([torch.full((1, 1, 64, 64), 50.0)])
        )


def test_a_layer_that_onnx_does_not_have_is_one_line(own, tmp_path, capsys):
    class Pooled(LayersOfAList):
        def forward(self, x):
            return super().forward(x + torch.nn.functional.adaptive_avg_pool2d(x, 3).mean())

    save_checkpoint(own(Pooled), tmp_path / "compact" / "epoch-1")
    output = tmp_path / "network.onnx"
    assert main(["export", "--source", str(tmp_path), "-o", str(output)]) == 1 and not output.exists()
    said = capsys.readouterr()
    (line,) = said.err.splitlines()
    assert line.startswith("chromagan: this network has layers that cannot be exported to ONNX: ") and not said.out
