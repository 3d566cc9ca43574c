import json
from dataclasses import asdict

import pytest

from chromagan.network.config import PRESETS, ModelConfig
from chromagan.network.refiner import RefinerConfig


@pytest.mark.parametrize("name", PRESETS)
def test_survives_json(name):
    config = ModelConfig.preset(name, "depthwise")
    assert ModelConfig.from_dict(json.loads(json.dumps(asdict(config)))) == config


@pytest.mark.parametrize(
    "change, message",
    [
        ({"decoder": "none"}, "unknown decoder 'none'; choose from original"),
        ({"version": 99}, "version 99"),
        ({"layers": 3}, "unknown keys in the config: layers"),
        ({"image_size": 100}, "multiple of 32"),
        ({"global_strides": [2]}, "differ in length"),
        ({"image_size": 16384}, "at most 8192 channels and 1024 pixels a side"),
        ({"global_dense": [256, 10**6]}, "at most 8192 channels and 1024 pixels a side"),
    ],
)
def test_nonsense_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        ModelConfig.from_dict(asdict(ModelConfig()) | change)


@pytest.mark.parametrize(
    "kind, key, value, expected",
    [
        (ModelConfig, "image_size", "224", "a whole number, got '224'"),
        (ModelConfig, "image_size", 224.0, "a whole number, got 224.0"),
        (ModelConfig, "num_classes", True, "a whole number, got True"),
        (ModelConfig, "num_classes", None, "a whole number, got None"),
        (ModelConfig, "lightness", 1, "true or false, got 1"),
        (ModelConfig, "decoder", ["original"], r"a string, got \['original'\]"),
        (ModelConfig, "mid_channels", 128, "whole numbers, got 128"),
        (ModelConfig, "mid_channels", [128, "128"], r"whole numbers, got \[128, '128'\]"),
        (ModelConfig, "version", "2", "a whole number, got '2'"),
        (RefinerConfig, "steps", "6", "a whole number, got '6'"),
        (RefinerConfig, "delta", "3", "a number, got '3'"),
    ],
)
def test_values_of_another_type_are_named(kind, key, value, expected):
    with pytest.raises(ValueError, match=f"^{key} in the config should be {expected}$"):
        kind.from_dict(asdict(kind()) | {key: value})
    assert RefinerConfig.from_dict({"delta": 3}).delta == 3


def test_unknown_preset_lists_the_known():
    with pytest.raises(ValueError, match="unknown preset 'tiny'; choose from paper, lite"):
        ModelConfig.preset("tiny")
