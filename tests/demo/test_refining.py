"""The refiner in the demo: its steps, and the map of the pixels' actions."""

import re
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from chromagan.demo import source as demo_source
from chromagan.demo.api import Api
from chromagan.demo.refining import ACTION_COLORS, action_picture, action_shares
from chromagan.demo.service import DemoService, Options, RequestError
from chromagan.demo.source import CheckpointSource
from chromagan.demo.tabs import Tabs
from chromagan.hub import repositories
from chromagan.hub.checkpoints import CheckpointError
from chromagan.hub.publish import publish
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
    assert "Step 2 of 2" in views[2] and "legend" not in views[0]
    shares = [int(share) for share in re.findall(r"(\d+) %", views[2])]
    assert 95 <= sum(shares) <= 105 and min(shares) > 0  # what no pixel did is not listed
    assert "Step 1: actions" in refining.refine(photo, "compact", "3", 1, "actions", *Options())
    with pytest.raises(RequestError, match="step must be between 0 and 2, got 3"):
        refining.refine(photo, "compact", "3", 3, "coloring", *Options())
    for step, words in (("x", "step 'x' is not a whole number"), ([], r"step \[\] is not"), (None, "got None")):
        with pytest.raises(RequestError, match=words):
            refining.refine(photo, "compact", "3", step, "coloring", *Options())


def test_a_refined_coloring_is_the_last_step_and_says_so(refining, photo):
    plain, refined = (refining.colorize(photo, "compact", "3", *Options(refined=on)) for on in (False, True))
    assert "Compact, epoch 3, refined" in refined[0] and "refined" not in plain[0]
    service, checkpoint = refining.service, plain[2].checkpoint
    loaded, rollout = service.load(photo), service.shipped.rollout(service.load(photo), checkpoint)
    assert torch.equal(service.shipped.predict(loaded, checkpoint, refined=True).ab, rollout[-1].ab)
    assert not torch.equal(rollout[0].ab, rollout[-1].ab)
    files = [refining.colorized_file(state) for *_, state in (plain, refined)]
    assert [path.name for path in files] == ["harbor-compact-epoch-3.png", "harbor-compact-epoch-3-refined.png"]
    assert files[0].read_bytes() != files[1].read_bytes()
    for refine, expected in (("yes", files[1]), ("no", files[0]), ("default", files[0])):  # it is a study
        by_program = Api(refining).colorize(photo, "compact", 3, refine=refine)
        assert np.array_equal(np.asarray(Image.open(by_program)), np.asarray(Image.open(expected)))
    with pytest.raises(RequestError, match="refine must be one of default, yes, no, got 'maybe'"):
        Api(refining).colorize(photo, "compact", 3, refine="maybe")


def test_coloring_goes_on_without_a_refiner_that_cannot_be_used(refined_source, source, tmp_path, capsys, photo):
    folder = shutil.copytree(refined_source, tmp_path / "study")
    (folder / "refiner" / "model.safetensors").write_bytes(b"torn")
    tabs = Tabs(DemoService(str(folder), str(folder), tmp_path / "files"))
    assert tabs.service.shipped.refiner is None
    assert "damaged or truncated" in capsys.readouterr().err
    stage, _, state = tabs.colorize(photo, "compact", "3", *Options(refined=True))
    assert "refined" not in stage and not state.options.refined
    with pytest.raises(CheckpointError, match="have no refiner"):
        tabs.refine(photo, "compact", "3", 1, "coloring", *Options())
    assert CheckpointSource(source).refiner is None and not capsys.readouterr().err


def test_a_refiner_that_the_hub_does_not_give_this_time_is_asked_for_again(
    refined_source, source, server, monkeypatch, capsys
):
    for folder, to in ((refined_source, "someone/study"), (source, "someone/plain")):
        publish(folder, to, say=lambda line: None)
    download, asked, busy = repositories.download, [], [True]

    def from_a_busy_hub(repo, *arguments, **options):
        if not repo.endswith("-refiner"):
            return download(repo, *arguments, **options)
        asked.append(repo)
        if busy[0]:
            raise repositories.HubError("the Hub is busy")
        return download(repo, *arguments, **options)

    monkeypatch.setattr(repositories, "download", from_a_busy_hub)
    now = [1000.0]
    monkeypatch.setattr(demo_source.time, "monotonic", lambda: now[0])
    study = CheckpointSource("someone/study")
    for _ in range(2):  # it waits before it asks again
        assert study.refiner is None and len(asked) == 1
    assert "the refiner of 'someone/study' is out of reach: the Hub is busy; coloring" in capsys.readouterr().err
    busy[0], now[0] = False, 1000 + demo_source.RETRY_SECONDS
    assert study.refiner is not None and study.refiner.config.steps == 2
    asked.clear()
    plain = CheckpointSource("someone/plain")
    assert plain.refiner is None and asked == ["someone/plain-refiner"] and not capsys.readouterr().err
    now[0] += 10 * demo_source.RETRY_SECONDS
    assert plain.refiner is None and len(asked) == 1  # there is none
