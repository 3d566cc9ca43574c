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
        ({"image_size": 0}, "channels, strides and image_size must be at least 1"),
        ({"image_size": -224}, "channels, strides and image_size must be at least 1"),
        ({"fusion_channels": 0}, "channels, strides and image_size must be at least 1"),
        ({"global_channels": [64], "global_strides": [0]}, "channels, strides and image_size must be at least 1"),
        ({"num_classes": -1}, "num_classes at least 0"),
        ({"mid_channels": []}, "mid_channels is empty"),
        ({"trunk_stages": []}, r"trunk_stages must be ascending and at least 0, got \(\)"),
        ({"trunk_stages": [-1, 2]}, r"trunk_stages must be ascending and at least 0, got \(-1, 2\)"),
        ({"trunk_stages": [2, 1]}, r"trunk_stages must be ascending and at least 0, got \(2, 1\)"),
    ],
)
def test_nonsense_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        ModelConfig.from_dict(asdict(ModelConfig()) | change)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"trunk_stages": [2, 1, 3, 4]}, "trunk_stages must be ascending"),
        ({"trunk_stages": [1, 2]}, "trunk_stages, trunk_strides and trunk_channels differ in length"),
        ({"trunk_strides": [0, 8, 16, 32]}, "trunk_strides must be ascending powers of two, among them 8, got"),
        ({"trunk_strides": [3, 8, 16, 32]}, "trunk_strides must be ascending powers of two"),
        ({"trunk_strides": [8, 4, 16, 32]}, "trunk_strides must be ascending powers of two"),
        ({"trunk_strides": [1, 2, 4, 16]}, "among them 8"),
        ({"trunk_channels": [0, 40, 112, 320]}, "trunk_channels must be between 1 and 8192"),
        ({"trunk_channels": [24, 40, 112, 10**6]}, "trunk_channels must be between 1 and 8192"),
    ],
)
def test_nonsense_about_a_refiner_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        RefinerConfig.from_dict(asdict(RefinerConfig()) | change)


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
