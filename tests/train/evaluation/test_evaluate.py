"""train/evaluate.py: launched on one process and on two, resumed, and given less than it needs."""

import json
import os
import shutil
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from filelock import FileLock
from launching import launch
from made_photos import folder_of, made_photo
from PIL import Image
from pyarrow import parquet
from torch import nn

from chromagan.data import DataError
from chromagan.hub.checkpoints import CheckpointError, list_checkpoints
from chromagan.measures import colorings
from chromagan.network.config import ModelConfig
from chromagan.network.decoders import DECODERS
from train import evaluate as script
from train.evaluation import measuring as measure
from train.evaluation import readme, results, shards
from train.evaluation.classifier import CLASSIFIER, Classifier, imagenet_labels
from train.evaluation.networks import TRUTH, checkpoint_entry, load_networks
from train.evaluation.plots import COLORS
from train.evaluation.report import write_report
from train.report import parse_args as report_args
from train.training.watching import TrainingError

SCRIPT = "train/evaluate.py"
CPU = torch.device("cpu")


def run(source, data, out, *more):
    """The script in this process: a launch costs as much as all it measures here."""
    more = ["--size", "64", *more]
    script.main(script.parse_args(["--source", str(source), "--data", str(data), "--output-dir", str(out), *more]))
    text = (out / "metrics.json").read_text()
    assert "NaN" not in text and "Infinity" not in text
    return json.loads(text)


@pytest.fixture(scope="module")
def evaluated(source, data, tmp_path_factory):
    """The real script, launched, on one process."""
    out = tmp_path_factory.mktemp("report") / "one"
    flags = ("--source", source, "--data", data, "--output-dir", out, "--size", "64")
    result = launch(*flags, script=SCRIPT, processes=None)
    assert result.returncode == 0, result.stderr[-2000:]
    return out, result


def test_the_script_for_real(evaluated, source):
    out, result = evaluated
    found = json.loads((out / "metrics.json").read_text())
    assert [(entry["decoder"], entry["epoch"]) for entry in found["checkpoints"]] == [
        ("compact", 0), ("compact", 3), ("depthwise", 0)
    ]  # fmt: skip
    assert found["images"] == 20 and found["left_gray"]["colored"]["images"] == 19
    assert found["split"] == "validation"
    assert "| compact | 3 |" in result.stdout and "| left gray |" in result.stdout
    colored = found["checkpoints"][1]["colored"]
    for name in ("psnr_mean", "ssim", "ciede2000_mean", "ciede2000_near", "ciede2000_elsewhere", "cdr", "top1_of_ten"):
        assert colored[name]["low"] <= colored[name]["value"] <= colored[name]["high"], name
    assert colored["frechet"][CLASSIFIER] > 0
    assert found["truth"]["colored"]["ciede2000_mean"]["value"] == 0 and found["truth"]["colored"]["cdr"]["value"] == 1
    assert found["truth"]["all"]["psnr_infinite"] == 20 and found["left_gray"]["all"]["psnr_infinite"] == 1
    assert found["cost"]["decoders"]["compact"]["decoder"]["parameters"] == 92_834
    assert list_checkpoints(source)[0].metrics == {"epoch": 0}  # written only when asked to
    table = parquet.read_table(out / "per_image.parquet").to_pandas()
    assert len(table) == 20 * 5 and set(table.label) == {"n01440764", "n02102040"}
    mine = table[(table.decoder == "compact") & (table.epoch == 3) & table.colored]
    assert mine.ciede2000.mean() == pytest.approx(colored["ciede2000_mean"]["value"], abs=1e-6)
    for name in ("figure-3-compact", "figure-7-1", "boundaries-1", "successes", "failures", "epochs", "cost"):
        assert Image.open(out / "figures" / f"{name}.png").width > 200


def test_the_report_stands_alone_and_tells_the_claims(evaluated):
    page = (evaluated[0] / "report.html").read_text()
    markdown = (evaluated[0] / "report.md").read_text()
    assert 'src="http' not in page and "<link" not in page and "<script" not in page and "nan" not in markdown.lower()
    for text in ("Table 1, measured", "Very Poor", "Semantic differentiation capability", "claim by claim",
                 "vivid colors come out grayish", "needs the depth", "needs a trained epoch that all decoders have",
                 "cannot be tested", "Kendall", "LPIPS left out"):  # fmt: skip
        assert text in page or text not in markdown, text
        assert text in markdown or text == "LPIPS left out"
    for line in markdown.splitlines():
        if "](" in line:
            assert (evaluated[0] / line[line.index("](") + 2 : line.rindex(")")]).is_file()


def test_a_report_compares_only_what_is_there(evaluated, tmp_path, monkeypatch):
    """Of the paper's decoders only one, then none: a student's own under another name."""
    assert (evaluated[0] / "report.md").read_text().startswith("# Two decoders, measured\n")
    about = json.loads((evaluated[0] / "metrics.json").read_text())
    rows = parquet.read_table(evaluated[0] / "per_image.parquet").to_pandas()
    monkeypatch.setitem(DECODERS, "mine", DECODERS["compact"])
    monkeypatch.setitem(COLORS, "mine", COLORS["compact"])
    (tmp_path / "figures").mkdir()
    for name in ("compact", "mine"):
        own = [entry | {"decoder": name} for entry in about["checkpoints"] if entry["decoder"] == "compact"]
        cost = about["cost"] | {"decoders": {name: about["cost"]["decoders"]["compact"]}}
        (tmp_path / "metrics.json").write_text(json.dumps(about | {"checkpoints": own, "cost": cost}))
        table = rows[rows.decoder != "depthwise"].replace({"decoder": {"compact": name}})
        table.to_parquet(tmp_path / "per_image.parquet")
        write_report(tmp_path)
        markdown = (tmp_path / "report.md").read_text()
        assert markdown.startswith("# One decoder, measured\n") and "## Decoders against each other" not in markdown
        assert ("## Table 1, measured" in markdown) == (name == "compact")
        assert "CIEDE2000 over quarters" in markdown and f"| {name} | 3 |" in markdown
    (tmp_path / "metrics.json").write_text(json.dumps(about | {"checkpoints": []}))
    with pytest.raises(DataError, match="metrics.json has no mine at epoch 0"):
        write_report(tmp_path)


def test_numbers_are_the_same_on_two_processes(evaluated, source, data, tmp_path):
    flags = ("--source", source, "--data", data, "--output-dir", tmp_path, "--size", "64")
    result = launch(*flags, script=SCRIPT, processes=2)
    assert result.returncode == 0, result.stderr[-2000:]
    one, two = (json.loads((folder / "metrics.json").read_text()) for folder in (evaluated[0], tmp_path))
    assert one.keys() == two.keys()
    assert all(one[name] == two[name] for name in one if name != "cost")
    assert parquet.read_table(evaluated[0] / "per_image.parquet").equals(
        parquet.read_table(tmp_path / "per_image.parquet")
    )


def test_numbers_are_the_same_from_worker_processes(evaluated, source, data, tmp_path):
    """What one process does on a machine with several cores."""
    photos = script.PhotoSet(str(data), "validation", 64)
    labels = imagenet_labels(photos.labels, photos.class_names)
    entry = checkpoint_entry(list_checkpoints(source)[0])
    task = shards.MeasuringTask(photos, labels, (TRUTH, entry), tmp_path, True, CPU)
    shards.measure_shards(task, [range(16), range(16, 20)], cores=2, show=False)
    for path in tmp_path.iterdir():
        with np.load(path) as found, np.load(evaluated[0] / "measured" / path.name) as expected:
            assert sorted(found.files) == sorted(expected.files)
            assert all(np.array_equal(found[name], expected[name], equal_nan=True) for name in found.files)
    assert len(list(tmp_path.iterdir())) == 4


def test_a_run_that_was_cut_off_goes_on(evaluated, source, data, tmp_path, monkeypatch):
    """This one ends with an error again, but with a report: the source cannot be written to."""

    def read_only(*passed):
        raise OSError("the disk is read-only")

    monkeypatch.setattr(script, "write_into_source", read_only)
    out = tmp_path / "again"
    shutil.copytree(evaluated[0], out)
    kept = sorted((out / "measured").iterdir())
    assert len(kept) == 2 * 5
    kept[0].unlink()
    kept[1].write_bytes(kept[1].read_bytes()[:100])
    before = {path: path.stat().st_mtime_ns for path in kept[2:]}
    (out / "report.html").unlink()
    with pytest.raises(OSError, match="read-only"):
        run(source, data, out, "--write-metrics")
    found, expected = (json.loads((folder / "metrics.json").read_text()) for folder in (out, evaluated[0]))
    assert found["checkpoints"] == expected["checkpoints"] and (out / "report.html").is_file()
    assert before == {path: path.stat().st_mtime_ns for path in kept[2:]}
    assert sorted((out / "measured").iterdir()) == kept


def test_damaged_checkpoints_are_named_and_the_rest_is_measured(source, data, tmp_path, capsys, monkeypatch):
    broken = tmp_path / "source"
    shutil.copytree(source, broken)
    (broken / "compact" / "epoch-3" / "model.safetensors").write_bytes(b"no tensors")
    (broken / "depthwise" / "epoch-0" / "config.json").unlink()
    monkeypatch.setitem(script.NAMED_SOURCES, "study", broken)  # what is named is found, and written to, like a folder
    found = run("study", data, tmp_path / "out", "--limit", "2", "--write-metrics")
    assert [entry["epoch"] for entry in found["checkpoints"]] == [0] and len(found["damaged"]) == 2
    said = capsys.readouterr().err
    assert "epoch-3" in said and "depthwise" in said
    assert list_checkpoints(broken)[0].metrics["images"] == 2
    frame = list_checkpoints(broken)[0].metrics
    assert frame["left_gray"] == found["left_gray"]["colored"] and frame["truth"] == found["truth"]["colored"]
    section = readme.readme_section(broken, every=True)
    for row, there in (("left gray |", True), ("true colors |", True), ("compact | 0", True), ("compact | 3", False)):
        assert (f"| {row}" in section) == there
    for path in broken.rglob("model.safetensors"):
        path.write_bytes(b"")
    with pytest.raises(script.CheckpointError, match="none of the"):
        run(broken, data, tmp_path / "out")


def test_one_photo_has_no_intervals(source, tmp_path):
    photos = folder_of(tmp_path / "data", [made_photo(1)], ["cat"]) / "validation"
    found = run(source, photos, tmp_path / "out")
    assert found["split"] == "no validation split"  # its folder has none: it may have been trained on
    colored = found["checkpoints"][0]["colored"]
    assert colored["ciede2000_mean"]["value"] > 0 and colored["ciede2000_mean"]["low"] is None
    assert colored["top1"] is None and colored["frechet"][CLASSIFIER] is None
    assert any("top-1 left out" in reason for reason in found["left_out"])
    assert "nan" not in (tmp_path / "out" / "report.md").read_text().lower()


def test_a_network_of_one_size_is_not_measured_at_another():
    model = SimpleNamespace(config=ModelConfig.preset("paper"))
    script.check_size(model, 224)
    with pytest.raises(CheckpointError, match="it only takes images of 224 pixels: leave out --size 256"):
        script.check_size(model, 256)


def test_files_of_something_else_are_not_overwritten(evaluated, tmp_path):
    script.check_for_other_files(evaluated[0])
    (tmp_path / "measured").mkdir()  # of an evaluation that was cut off, or of something else
    script.check_for_other_files(tmp_path)
    shutil.copy(evaluated[0] / "metrics.json", tmp_path)  # what was measured may be deleted, the report may not
    script.check_for_other_files(tmp_path)
    for name, content in (("metrics.json", '{"accuracy": 1}'), ("report.md", "# Mine")):
        folder = tmp_path / name.replace(".", "-")
        (folder / "measured").mkdir(parents=True)
        (folder / name).write_text(content)
        with pytest.raises(OSError, match=f"holds {name}, not from an evaluation"):
            script.check_for_other_files(folder)


def test_two_evaluations_do_not_write_one_report(source, data, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    with FileLock(out / ".lock"):  # of another process
        with pytest.raises(TrainingError, match="is being written by another evaluation: give another --output-dir"):
            run(source, data, out)
        assert [path.name for path in out.iterdir()] == [".lock"]


def test_what_a_killed_evaluation_left_half_written_goes(evaluated, source, data, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(evaluated[0], out)
    half = [out / folder / ".it-0123456789abcdef.part" for folder in ("", "measured", "figures")]
    for path in half:
        path.touch()
    run(source, data, out)
    assert not [path for path in half if path.exists()]


def test_the_source_is_no_place_for_its_report(source, data):
    with pytest.raises(OSError, match="is the source of the checkpoints: give another folder"):
        run(source, data, source)


def test_a_decoder_whose_class_was_changed_is_measured_anew(source, monkeypatch):
    """With the same tensors: only `forward` is another."""
    (first, *_) = list_checkpoints(source)
    before, spec = checkpoint_entry(first).digest, DECODERS[first.decoder]
    assert checkpoint_entry(first).digest == before

    class Louder(spec.build):
        def forward(self, x):
            return 2 * super().forward(x)

    monkeypatch.setitem(DECODERS, first.decoder, replace(spec, build=Louder))
    assert checkpoint_entry(first).digest != before


def test_a_decoder_may_be_built_by_a_function(source, monkeypatch):
    """Its settings and the classes of its layers are known as well."""
    (first, *_) = list_checkpoints(source)
    spec, digests = DECODERS[first.decoder], set()

    class Scaled(nn.Module):
        def forward(self, x):
            return 2 * x

    class Doubled(Scaled):
        pass

    for layer in (nn.Upsample(scale_factor=2), nn.Upsample(scale_factor=2, mode="bicubic"), Scaled(), Doubled()):
        monkeypatch.setitem(DECODERS, first.decoder, replace(spec, build=partial(nn.Sequential, spec.build(), layer)))
        digests.add(checkpoint_entry(first).digest)
    assert len(digests) == 4


def test_a_class_of_any_bytes_has_a_name():
    photos = SimpleNamespace(labels=[0], class_names=[os.fsdecode(b"caf\xe9")])
    assert results.class_name(photos, 0) == "caf\ufffd"


def test_a_photo_without_a_class_is_of_none():
    photos = SimpleNamespace(labels=np.array([1, -1]), class_names=["cat", "dog"])
    assert [results.class_name(photos, index) for index in range(2)] == ["dog", None]
    photos.class_names = None
    assert [results.class_name(photos, index) for index in range(2)] == ["1", None]


def test_a_class_that_the_data_does_not_name_is_its_number():
    photos = SimpleNamespace(labels=np.array([0, 5]), class_names=["cat", "dog"])
    assert [results.class_name(photos, index) for index in range(2)] == ["cat", "5"]


def test_as_many_networks_are_held_at_once_as_fit_into_memory(source, refined_source, monkeypatch):
    """Each process holds all networks of a pass, each with its frozen trunk, whose file lies beside the decoders'."""
    entries = [checkpoint_entry(checkpoint) for checkpoint in list_checkpoints(source)]
    for entry, model in load_networks(entries, CPU).models.items():
        held = sum(tensor.numel() * tensor.element_size() for tensor in model.state_dict().values())
        assert script.network_bytes(entry) == pytest.approx(held, rel=0.1)
    twin = replace(entries[0], refiner=str(refined_source), steps=1)
    assert script.network_bytes(twin) > script.network_bytes(entries[0])
    monkeypatch.setattr(script, "MODEL_BYTES", 4 * max(map(script.network_bytes, entries)))
    assert [[len(group) for group in script.passes(entries, processes)] for processes in (1, 2, 4, 64)] == [
        [3], [2, 1], [1, 1, 1], [1, 1, 1]
    ]  # fmt: skip
    assert [shards.workers_for([range(1)] * count, 4, CPU) for count in (0, 3, 9)] == [1, 3, 4]
    assert shards.workers_for([range(1)] * 9, 4, torch.device("cuda")) == 1


def test_learned_measures_say_what_is_missing_and_run_where_it_is_there(source, tmp_path, monkeypatch):
    class Stub:
        name, column = "LPIPS", "lpips"

        def __init__(self, device):
            pass

        @classmethod
        def missing(cls):
            return None

        def __call__(self, image, truth):
            return (image - truth).abs().mean().item()

    class Features(Stub):
        name, column = "FID", None

        def __call__(self, image, truth):
            return image.mean(dim=(0, 2, 3)).numpy()

    for known in measure.LEARNED_MEASURES:
        reason = known.missing()
        assert reason is None or ("left out" in reason and "\n" not in reason)
    monkeypatch.setattr(measure, "LEARNED_MEASURES", (Stub, Features))
    monkeypatch.setattr(script, "LEARNED_MEASURES", (Stub, Features))
    found = run(source, folder_of(tmp_path / "data", [made_photo(s) for s in range(3)]), tmp_path / "out")
    colored = found["checkpoints"][0]["colored"]
    assert colored["lpips"]["value"] > 0 and found["truth"]["all"]["lpips"]["value"] == 0
    assert set(colored["frechet"]) == {CLASSIFIER, "FID"}
    page = (tmp_path / "out" / "report.md").read_text()
    assert "| top-1 ↑ | of ten ↑ | Fréchet ↓ | LPIPS ↓ | FID ↓ |" in page
    assert f"| {colored['lpips']['value']:.3f} | {colored['frechet']['FID']:.1f} |" in page


def test_a_classifier_that_was_missing_before_is_asked_now(source, tmp_path, monkeypatch):
    """What is kept of a run without it does not count, or its measures would be missing from every later report."""
    data, out = folder_of(tmp_path / "data", [made_photo(s) for s in range(2)]), tmp_path / "out"

    def missing(device):
        raise script.PretrainedWeightsError("no weights")

    with monkeypatch.context() as without:
        without.setattr(script, "Classifier", missing)
        found = run(source, data, out)
    assert found["classifier"] is None and found["checkpoints"][0]["colored"]["top1"] is None
    found = run(source, data, out)
    colored = found["checkpoints"][0]["colored"]
    assert found["classifier"] == CLASSIFIER and colored["top1"]["value"] >= 0
    assert CLASSIFIER in colored["frechet"]


def test_figures_of_an_earlier_evaluation_go(source, data, tmp_path):
    figures = tmp_path / "figures"
    figures.mkdir()
    (tmp_path / "measured").mkdir()
    (tmp_path / "measured" / "0-1.npz").touch()
    for name in ("figure-2-original", "figure-7-9", "boundaries-9", "notes"):
        made_photo(0).save(figures / f"{name}.png")
    run(source, data, tmp_path, "--limit", "2")
    names = {path.stem for path in figures.iterdir()}
    assert "notes" in names and not names & {"figure-2-original", "figure-7-9", "boundaries-9"}
    assert {"figure-3-compact", "figure-5-depthwise", "figure-7-1"} <= names  # numbered in the order of DECODERS
    assert (tmp_path / "report.md").read_text().count("Nine photos next to") == 2 * 2  # alt text and caption


def test_a_measure_that_is_new_is_taken_and_the_others_stay(evaluated, source, data, tmp_path, monkeypatch):
    out = tmp_path / "again"
    shutil.copytree(evaluated[0], out)
    before = {path: dict(np.load(path)) for path in (out / "measured").iterdir()}
    part = colorings.PARTS["border"]
    changed = replace(part, version=2, measure=lambda *both: {n: v + 1 for n, v in part.measure(*both).items()})
    monkeypatch.setitem(colorings.PARTS, "border", changed)
    monkeypatch.setattr(Classifier, "__call__", None)  # it has said all it can
    monkeypatch.setattr(colorings.Truth, "similarity", None)
    monkeypatch.setattr(script, "measure_shards", lambda task, shards, cores, show: list(map(task.measure, shards)))
    found = run(source, data, out)
    expected = json.loads((evaluated[0] / "metrics.json").read_text())
    own, old = (each["checkpoints"][0]["colored"] for each in (found, expected))
    for name in ("border_stripes", "border_excess"):
        assert own.pop(name)["value"] == pytest.approx(old.pop(name)["value"] + 1, abs=2e-6)
    assert own == old
    for path, arrays in before.items():
        now = dict(np.load(path))
        assert len(now) == len(arrays) + 1
        assert all(np.array_equal(now[name], array, equal_nan=True) for name, array in arrays.items())


def test_bad_input_is_one_line(source, tmp_path, capsys):
    flags = ("--source", tmp_path / "none", "--data", "d", "--output-dir", tmp_path / "o")
    result = launch(*flags, script=SCRIPT, processes=None)
    assert result.returncode == 1 and "Traceback" not in result.stderr
    assert "no folder" in result.stderr.strip().splitlines()[-1]
    gray = folder_of(tmp_path / "gray", [made_photo(seed).convert("L") for seed in range(2)])
    (tmp_path / "file").touch()
    for data, output, message in (
        (gray, tmp_path / "o", "all 2 photos of .* are gray: there is no color to measure"),
        (gray, tmp_path / "file", "file cannot be written to: .* is a file, not a folder"),
        (gray, "", "no folder is named to write to"),
    ):
        arguments = ["--source", source, "--data", data, "--output-dir", output]
        with pytest.raises((DataError, OSError), match=message):
            script.main(script.parse_args([*map(str, arguments)]))
    assert not (tmp_path / "o").exists()
    for wrong, message in ((["--size", "50"], "multiple of 32"), (["--limit", "0"], "1 or more")):
        with pytest.raises(SystemExit) as ended:
            script.parse_args(["--source", "s", "--data", "d", "--output-dir", "o", *wrong])
        assert ended.value.code == 2 and message in capsys.readouterr().err
    for wrong in ([], ["folder", "--readme"]):
        with pytest.raises(SystemExit) as ended:
            report_args(wrong)
        assert ended.value.code == 2
