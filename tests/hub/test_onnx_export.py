"""ONNX files, run by onnxruntime as a program without this package would."""

import importlib.util
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from made_photos import made_photo
from PIL import Image

from chromagan.__main__ import main
from chromagan.hub.checkpoints import find_checkpoint, load_checkpoint
from chromagan.hub.refiners import load_refiner
from chromagan.imaging import color
from chromagan.network.config import ModelConfig
from chromagan.network.refiner import halve

ROOT = Path(__file__).resolve().parents[2]
onnxruntime = pytest.importorskip("onnxruntime")


@pytest.fixture(scope="module")
def exported(source, tmp_path_factory):
    path = tmp_path_factory.mktemp("onnx") / "compact.onnx"
    assert main(["export", "--source", str(source), "--decoder", "compact", "--epoch", "3", "-o", str(path)]) == 0
    return path


@pytest.mark.parametrize("shape", [(1, 224, 224), (2, 160, 288), (1, 32, 64)])
def test_any_size_and_batch_equals_torch(source, exported, shape):
    L = 100 * np.random.default_rng(0).random((shape[0], 1, *shape[1:]), dtype=np.float32)
    (ab,) = onnxruntime.InferenceSession(exported).run(None, {"L": L})
    model = load_checkpoint(find_checkpoint(source, "compact", 3))
    expected = color.denormalize_ab(model(color.normalize_L(torch.from_numpy(L)))).detach()
    np.testing.assert_allclose(ab, expected, atol=1e-3)
    assert np.abs(ab).max() > 0.1


def test_the_file_says_what_it_is(exported):
    session = onnxruntime.InferenceSession(exported)
    facts = session.get_modelmeta().custom_metadata_map
    assert (facts["decoder"], facts["epoch"]) == ("compact", "3")
    assert ModelConfig.from_dict(json.loads(facts["config"])).decoder == "compact"
    assert [(i.name, i.shape) for i in session.get_inputs()] == [("L", ["batch", 1, "height", "width"])]
    assert [path.name for path in exported.parent.iterdir()] == [exported.name]  # nothing left beside it


def test_the_documented_numpy_program_runs(exported, tmp_path, monkeypatch):
    """The usage that docs/coloring.md shows, word for word, colors a photo like the package does."""
    text = (ROOT / "docs" / "coloring.md").read_text(encoding="utf-8")
    (program,) = re.findall(r"```python\n(import numpy as np\nimport onnxruntime.*?)```", text, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    made_photo(0, 150, 320).save("photo.jpg", quality=95)
    (tmp_path / "compact.onnx").write_bytes(exported.read_bytes())
    exec(program, {})  # our own page
    before, after = (np.asarray(Image.open(name).convert("RGB")) / 255 for name in ("photo.jpg", "colored.png"))
    assert before.shape == after.shape
    L = [color.srgb_to_L(torch.from_numpy(image).movedim(-1, 0)) for image in (before, after)]
    assert (L[0] - L[1]).abs().median() < 0.5  # no gamut compression there
    assert (after.max(axis=2) - after.min(axis=2)).mean() > 0.002  # in color


def test_bad_input_is_one_line(source, exported, tmp_path, capsys, monkeypatch):
    def line(*arguments):
        assert main(["export", "--source", str(source), *map(str, arguments)]) == 1
        (text,) = capsys.readouterr().err.splitlines()
        return text

    assert "must end with .onnx" in line("-o", tmp_path / "model.pt")
    assert "already exists: --overwrite replaces it" in line("-o", exported)
    assert "compact has no epoch 9" in line("-o", tmp_path / "a.onnx", "--epoch", "9")
    assert line("-o", exported / "a.onnx").endswith(f"{exported} is a file, not a folder")
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "onnx" else found(name, *rest))
    assert line("-o", tmp_path / "a.onnx") == "chromagan: ONNX export needs onnx: pip install onnx"
    assert not list(tmp_path.iterdir())


def test_a_step_of_the_refiner_equals_torchs(refined_source, source, tmp_path, capsys):
    """Two steps one after the other, of another size than it was traced with; rounding may tip a pixel or two."""
    path = tmp_path / "step.onnx"
    assert main(["export", "--source", str(refined_source), "--refiner", "-o", str(path)]) == 0
    assert "one step of the refiner" in capsys.readouterr().out
    model = load_checkpoint(find_checkpoint(refined_source, "compact", 3))
    refiner = load_refiner(refined_source, model.config)
    L = torch.rand(2, 1, 96, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        stages = model.stages(2 * L - 1)
        ab = model.color(stages, 2 * L - 1)
        expected = [each for each, _ in refiner.steps(stages, 2 * L - 1, ab, 2)]
    before = color.denormalize_ab(halve(ab)).numpy()
    session, present = onnxruntime.InferenceSession(path), before
    for step in (0, 1):
        given = {"L": 100 * L.numpy(), "before": before, "ab": present, "step": np.array(step)}
        present, actions = session.run(["next", "actions"], given)
        off = np.abs(present - color.denormalize_ab(expected[step]).numpy()).max(axis=1) > 0.01
        assert off.mean() < 0.01 and actions.shape == off.shape and len(np.unique(actions)) > 1
    assert main(["export", "--source", str(source), "--refiner", "-o", str(tmp_path / "none.onnx")]) == 1
    assert "has no refiner" in capsys.readouterr().err
