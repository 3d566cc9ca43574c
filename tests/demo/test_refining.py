"""The refiner in the demo: its steps, and the map of what pixels did."""

import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from chromagan.demo.refining import ACTION_COLORS, action_picture, action_shares
from chromagan.demo.service import DemoService, Options, RequestError
from chromagan.demo.source import CheckpointSource
from chromagan.demo.tabs import Tabs
from chromagan.hub.checkpoints import CheckpointError
from chromagan.network.refiner import ACTIONS


def test_the_map_has_a_color_for_every_action():
    assert tuple(ACTION_COLORS) == ACTIONS and len(set(ACTION_COLORS.values())) == len(ACTIONS)
    actions = torch.tensor([[0, 1], [2, 0]])
    picture = np.asarray(action_picture(actions, Image.new("L", (4, 4), 100)))
    assert (picture[0, 0] == 50).all() and (picture[3, 3] == 50).all()  # left alone: the photo, dimmed
    assert picture[0, 3].tolist() == [round(0.75 * c + 12.5) for c in ACTION_COLORS["redder"]]
    assert action_shares(actions)[:3] == [("leave", 0.5), ("redder", 0.25), ("greener", 0.25)]


@pytest.fixture(scope="module")
def refining(refined_source, tmp_path_factory):
    return Tabs(DemoService(str(refined_source), str(refined_source), tmp_path_factory.mktemp("files")))


def test_steps_and_actions_are_shown(refining, photo):
    views = [refining.refine(photo, "compact", "3", step, "coloring", *Options()) for step in (0, 1, 2)]
    assert "Step 2 of 2" in views[2] and "legend" not in views[0] and views[2].count("%") >= len(ACTIONS)
    assert "Step 1: actions" in refining.refine(photo, "compact", "3", 1, "actions", *Options())
    with pytest.raises(RequestError, match="step must be between 0 and 2, got 3"):
        refining.refine(photo, "compact", "3", 3, "coloring", *Options())


def test_coloring_goes_on_without_a_refiner_that_cannot_be_used(refined_source, source, tmp_path, capsys, photo):
    folder = shutil.copytree(refined_source, tmp_path / "study")
    (folder / "refiner" / "model.safetensors").write_bytes(b"torn")
    tabs = Tabs(DemoService(str(folder), str(folder), tmp_path / "files"))
    assert tabs.service.shipped.refiner is None
    assert "damaged or cut short" in capsys.readouterr().err
    assert tabs.colorize(photo, "compact", "3", *Options())
    with pytest.raises(CheckpointError, match="have no refiner"):
        tabs.refine(photo, "compact", "3", 1, "coloring", *Options())
    assert CheckpointSource(source).refiner is None and not capsys.readouterr().err
