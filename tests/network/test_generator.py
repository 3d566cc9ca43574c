import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional as F

from chromagan.hub.model import CheckpointError, ChromaGAN
from chromagan.network.config import ModelConfig
from chromagan.network.decoders import DECODERS
from chromagan.network.generator import Generator
from chromagan.network.layers import ConvReluNorm, Merge


@pytest.fixture(scope="module")
def paper():
    return ChromaGAN(ModelConfig.preset("paper", "transposed"))


def lite(decoder="transposed", **changes):
    torch.manual_seed(0)
    return ChromaGAN(replace(ModelConfig.preset("lite", decoder), **changes))


def with_classes(model, L):
    fused, flat = model.fuse(model.stages(L), L)
    return model.decoder(fused), model.class_head(flat)


@pytest.mark.parametrize("decoder", DECODERS)
def test_lite_colors_any_multiple_of_32(decoder):
    model = lite(decoder).eval()
    for size in ((224, 224), (96, 160), (32, 64)):
        ab_pred, logits = with_classes(model, torch.rand(2, 1, *size))
        assert ab_pred.shape == (2, 2, *size) and ab_pred.abs().max() <= 1
        assert logits.shape == (2, 1000)
    with pytest.raises(ValueError, match="multiples of 32, got 224x230"):
        model(torch.rand(1, 1, 224, 230))


def test_paper_is_built_whole(paper):
    mid = sum(p.numel() for part in (paper.merge, paper.mid) for p in part.parameters())
    assert mid == sum(9 * i * o + 3 * o for i, o in ((512, 512), (512, 256)))
    assert paper.global_dense[0].in_features == 7 * 7 * 512
    assert [layer.out_features for layer in paper.global_dense] == [1024, 512, 256]
    assert [layer.out_features for layer in paper.class_head] == [4096, 4096, 1000]
    ab_pred, logits = with_classes(paper.eval(), torch.rand(1, 1, 224, 224))
    assert ab_pred.shape == (1, 2, 224, 224) and logits.shape == (1, 1000)
    with pytest.raises(ValueError, match="takes 224x224 images only, got 112x224"):
        paper(torch.rand(1, 1, 112, 224))


def test_forward_is_color_of_stages():
    model = lite().eval()
    L = torch.rand(1, 1, 64, 64)
    assert torch.equal(model(L), model.color(model.stages(L), L))


def test_convolution_relu_and_batch_norm_in_the_references_order():
    """A negative sum becomes 0, which is 1 below a mean without variance, and Keras divides by sqrt(0 + 1e-3)."""
    conv, _, norm = layers = ConvReluNorm(1, 1).eval()
    nn.init.zeros_(conv.weight), nn.init.constant_(conv.bias, -5)
    norm.running_mean.fill_(1), norm.running_var.fill_(0)
    torch.testing.assert_close(layers(torch.rand(1, 1, 2, 2)), torch.full((1, 1, 2, 2), -(1000**0.5)))


def test_the_first_of_several_maps_determines_the_size():
    with pytest.raises(ValueError, match="the first map's stride must be at most 8, got 16"):
        Merge([16, 8], [5, 4], 7)


def test_merging_is_a_1x1_convolution_of_all_maps_at_stride_8():
    """The second implementation: space-to-depth and bilinear interpolation first, then one convolution."""
    torch.manual_seed(0)
    merge = Merge([1, 4, 8, 16, 32], [1, 3, 4, 5, 6], 7).double()
    maps = [
        torch.rand(2, channels, 64 // stride, 96 // stride, dtype=torch.float64)
        for stride, channels in zip((1, 4, 8, 16, 32), (1, 3, 4, 5, 6))
    ]
    fine = [F.pixel_unshuffle(maps[0], 8), F.pixel_unshuffle(maps[1], 2), maps[2]]
    coarse = [F.interpolate(each, size=(8, 12), mode="bilinear") for each in maps[3:]]
    weight = torch.cat([conv.weight for conv in merge.convs], dim=1)
    expected = F.conv2d(torch.cat(fine + coarse, dim=1), weight, merge.convs[0].bias)
    torch.testing.assert_close(merge(maps), expected)
    assert sum(conv.bias is not None for conv in merge.convs) == 1
    bound = weight.shape[1] ** -0.5  # the initial weights are those of one convolution
    assert weight.abs().max() <= bound and weight.std().item() == pytest.approx(bound / 3**0.5, rel=0.05)

    # Of a window the fine maps are cut beforehand, the coarse ones within.
    rows, columns = torch.tensor([[2, 3, 4], [5, 6, 7]]), torch.tensor([[0, 1], [10, 11]])
    cut_maps = [
        torch.stack([each[i, :, k * r[0] : k * (r[-1] + 1), k * c[0] : k * (c[-1] + 1)]
                     for i, (r, c) in enumerate(zip(rows.tolist(), columns.tolist()))])
        for each, k in zip(maps[:3], (8, 2, 1))
    ]  # fmt: skip
    windows = merge([*cut_maps, *maps[3:]], rows, columns)
    for i, (r, c) in enumerate(zip(rows.tolist(), columns.tolist())):
        torch.testing.assert_close(windows[i], expected[i, :, r[0] : r[-1] + 1, c[0] : c[-1] + 1])


@pytest.mark.parametrize("preset", ["lite", "paper"])
def test_a_gradient_reaches_every_parameter(preset):
    size = 64  # the `paper` preset's layers at 224 take half a minute
    model = (
        lite() if preset == "lite" else ChromaGAN(replace(ModelConfig.preset("paper", "transposed"), image_size=size))
    )
    model.train()
    torch.manual_seed(1)
    ab_pred, logits = with_classes(model, torch.rand(2, 1, size, size))
    ((ab_pred * torch.randn_like(ab_pred)).mean() + logits.square().mean()).backward()
    without = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
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


@pytest.mark.parametrize(
    "preset, reached", [("lite", {"class_head"}), ("paper", {"class_head", "global_map", "trunk"})]
)
def test_what_the_class_term_trains(preset, reached):
    """docs/training.md says so: in `lite` the head reads the frozen trunk."""
    generator = Generator(ModelConfig.preset(preset, "depthwise"))
    generator.trunk.requires_grad_(preset == "paper")
    _, flat = generator.fuse(generator.stages(torch.zeros(2, 1, 224, 224)), torch.zeros(2, 1, 224, 224))
    generator.class_head(flat).square().mean().backward()
    assert {name.split(".")[0] for name, p in generator.named_parameters() if p.grad is not None} == reached


@pytest.mark.parametrize("shape", [(1, 3, 64, 64), (1, 64, 64), (64, 1, 64), (64, 64)])
def test_another_shape_is_named(shape):
    with pytest.raises(ValueError, match=r"L must have the shape \(B, 1, H, W\), got"):
        Generator(ModelConfig.preset("lite"))(torch.zeros(shape))
