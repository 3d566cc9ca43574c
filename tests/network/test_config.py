import json
from dataclasses import asdict

import pytest

from chromagan.network.config import PRESETS, ModelConfig


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


def test_unknown_preset_lists_the_known():
    with pytest.raises(ValueError, match="unknown preset 'tiny'; choose from paper, lite"):
        ModelConfig.preset("tiny")
