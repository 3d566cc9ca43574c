from types import SimpleNamespace

import pytest
import timm
import torch

from chromagan.imaging import color
from chromagan.network.trunk import GrayInput, PretrainedWeightsError, Trunk, build_teacher, imagenet_classifier
from train.evaluation.classifier import CLASSIFIER

LITE = "tf_efficientnet_lite0"


def test_vgg_trunk_is_conv4_3_at_stride_8():
    trunk = Trunk("vgg16.tv_in1k", (3,))
    assert (trunk.channels, trunk.strides) == ([512], [8])
    assert sum(p.numel() for p in trunk.parameters()) == 7_635_264
    (features,) = trunk(torch.zeros(1, 1, 64, 96))
    assert features.shape == (1, 512, 8, 12)
    assert features.min() >= 0  # behind conv4_3's relu


def test_lite_trunk_gives_four_stages():
    trunk = Trunk(LITE, (1, 2, 3, 4))
    stages = trunk(torch.zeros(1, 1, 64, 96))
    assert [tuple(stage.shape) for stage in stages] == [(1, 24, 16, 24), (1, 40, 8, 12), (1, 112, 4, 6), (1, 320, 2, 3)]
    assert (trunk.channels, trunk.strides) == ([24, 40, 112, 320], [4, 8, 16, 32])


def test_stages_without_stride_8_are_refused():
    with pytest.raises(ValueError, match=r"strides \[16, 32\], none of them 8"):
        Trunk(LITE, (3, 4))


def test_gray_input_is_standardized_as_the_network_was_trained():
    middle = color.normalize_L(color.srgb_to_L(torch.full((1, 3, 1, 1), 0.25)))
    assert torch.allclose(GrayInput(LITE)(middle), torch.full((1, 3, 1, 1), (0.25 - 0.5) / 0.5), atol=1e-5)
    expected = (torch.tensor([0.25]) - torch.tensor([0.485, 0.456, 0.406])) / torch.tensor([0.229, 0.224, 0.225])
    assert torch.allclose(GrayInput("vgg16.tv_in1k")(middle).flatten(), expected, atol=1e-5)


@pytest.mark.parametrize("name", [LITE, CLASSIFIER])
def test_packaged_imagenet_weights_know_a_cat(name):
    """The real check of the mapping: a wrong order of tensors loads as well, but sees noise."""
    from skimage import data

    cat = torch.from_numpy(data.chelsea()[:300, 75:375].copy()).movedim(-1, 0)[None].float() / 255
    cat = torch.nn.functional.interpolate(cat, size=(224, 224), mode="bilinear", antialias=True)
    top5 = build_teacher(name)(color.normalize_L(color.srgb_to_L(cat)))[0].topk(5).indices.tolist()
    assert set(top5) & {281, 282, 283, 285}  # tabby, tiger, Persian, Egyptian cat


def test_trunk_takes_the_classifiers_weights():
    trunk = Trunk(LITE, (2, 3))
    trunk.load_imagenet(LITE)
    whole = imagenet_classifier(LITE).state_dict()
    for name, tensor in trunk.net.state_dict().items():
        assert torch.equal(tensor, whole[name.removeprefix("model.")]), name


def test_teacher_cannot_be_put_into_training_mode():
    teacher = build_teacher(LITE).train()
    assert not any(module.training for module in teacher.modules())
    assert not any(p.requires_grad for p in teacher.parameters())
    L = torch.rand(2, 1, 64, 64)
    first, second = teacher(L), teacher(L)  # dropout would make these differ
    assert torch.equal(first, second)
    assert torch.allclose(first.sum(dim=1), torch.ones(2), atol=1e-5)


def test_a_teacher_of_other_classes_is_one_line(monkeypatch):
    few = SimpleNamespace(num_classes=10)
    monkeypatch.setattr("chromagan.network.trunk.imagenet_classifier", lambda name: few)
    with pytest.raises(PretrainedWeightsError, match="the teacher somebody has 10 classes, not 1000"):
        build_teacher("somebody")


def test_weights_that_cannot_be_had_are_one_line(monkeypatch):
    def offline(*args, pretrained=False, **kwargs):
        raise ConnectionError("no route to host")

    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(PretrainedWeightsError, match="ImageNet weights of vgg16.tv_in1k could not be fetched"):
        imagenet_classifier("vgg16.tv_in1k")


def test_the_teachers_distributions_may_be_learned_from():
    """Not inference tensors, which a loss cannot be differentiated through."""
    assert not build_teacher(LITE)(torch.rand(1, 1, 64, 64)).is_inference()
