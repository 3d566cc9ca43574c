import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from chromagan.hub.model import CheckpointError, ChromaGAN
from chromagan.network.config import ModelConfig
from chromagan.network.decoders import DECODERS


@pytest.fixture(scope="module")
def paper():
    return ChromaGAN(ModelConfig.preset("paper", "transposed"))


def lite(decoder="transposed", **changes):
    torch.manual_seed(0)
    return ChromaGAN(replace(ModelConfig.preset("lite", decoder), **changes))


def with_classes(model, L):
    merged, flat = model.features(L)
    return model.color(merged, flat), model.class_head(flat)


@pytest.mark.parametrize("decoder", DECODERS)
def test_lite_colors_any_multiple_of_16(decoder):
    model = lite(decoder).eval()
    for size in ((224, 224), (96, 160), (16, 48)):
        ab_pred, logits = with_classes(model, torch.rand(2, 1, *size))
        assert ab_pred.shape == (2, 2, *size) and ab_pred.abs().max() <= 1
        assert logits.shape == (2, 1000)
    with pytest.raises(ValueError, match="multiples of 16, got 224x230"):
        model(torch.rand(1, 1, 224, 230))


def test_paper_is_built_whole(paper):
    assert sum(p.numel() for p in paper.mid.parameters()) == sum(9 * i * o + 3 * o for i, o in ((512, 512), (512, 256)))
    assert paper.global_dense[0].in_features == 7 * 7 * 512
    assert [layer.out_features for layer in paper.global_dense] == [1024, 512, 256]
    assert [layer.out_features for layer in paper.class_head] == [4096, 4096, 1000]
    ab_pred, logits = with_classes(paper.eval(), torch.rand(1, 1, 224, 224))
    assert ab_pred.shape == (1, 2, 224, 224) and logits.shape == (1, 1000)
    with pytest.raises(ValueError, match="takes 224x224 images only, got 112x224"):
        paper(torch.rand(1, 1, 112, 224))


def test_forward_is_color_of_features():
    model = lite().eval()
    L = torch.rand(1, 1, 64, 64)
    assert torch.equal(model(L), model.color(*model.features(L)))


@pytest.mark.parametrize("preset", ["lite", "paper"])
def test_a_gradient_reaches_every_parameter(preset, paper):
    model = paper if preset == "paper" else lite()
    model.train()
    torch.manual_seed(1)
    size = model.config.image_size if preset == "paper" else 96
    ab_pred, logits = with_classes(model, torch.rand(2, 1, size, size))
    ((ab_pred * torch.randn_like(ab_pred)).mean() + logits.square().mean()).backward()
    without = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    model.zero_grad(set_to_none=True)
    assert without == []


def test_decoders_start_from_the_same_rest():
    """Under one seed the five differ in nothing but the decoder."""
    states = [lite(decoder).state_dict() for decoder in DECODERS]
    for name, tensor in states[0].items():
        if not name.startswith("decoder."):
            assert all(torch.equal(tensor, other[name]) for other in states[1:]), name


def test_without_class_head_colors_the_same():
    model = lite().eval()
    bare = model.without_class_head()
    assert bare.class_head is None and bare.config.num_classes == 0 and not bare.training
    L = torch.rand(1, 1, 64, 64)
    assert torch.equal(bare(L), model(L))


def test_hub_mixin_round_trip_is_bit_exact(tmp_path):
    model = lite("pixelshuffle", num_classes=0).train()
    model(torch.rand(4, 1, 64, 64))  # so that the running statistics are not the initial ones
    model.eval().save_pretrained(tmp_path)
    again = ChromaGAN.from_pretrained(tmp_path)
    assert again.config == model.config and not again.training
    L = torch.rand(2, 1, 64, 96)
    assert torch.equal(again(L), model(L))


@pytest.mark.parametrize("damage", ["missing tensor", "extra tensor", "unknown key", "pickle only"])
def test_loading_is_strict(tmp_path, damage):
    lite("compact", num_classes=0).save_pretrained(tmp_path)
    weights, config = tmp_path / "model.safetensors", tmp_path / "config.json"
    tensors = load_file(weights)
    if damage == "missing tensor":
        tensors.pop("decoder.1.bias")
    if damage == "extra tensor":
        tensors["decoder.99.bias"] = torch.zeros(1)
    save_file(tensors, weights)
    if damage == "unknown key":
        config.write_text(json.dumps(json.loads(config.read_text()) | {"layers": 3}))
    if damage == "pickle only":
        weights.rename(tmp_path / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match="cannot be used") as error:
        ChromaGAN.from_pretrained(tmp_path)
    assert "\n" not in str(error.value)
