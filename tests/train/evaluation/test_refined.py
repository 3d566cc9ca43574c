"""Refined twins: measured beside the unrefined colorings, and their paired differences."""

import numpy as np
import pytest
from test_evaluate import run

from chromagan import ChromaGANError
from chromagan.hub.checkpoints import list_checkpoints
from train.evaluate import parse_args
from train.evaluation.networks import Entry, checkpoint_entry
from train.evaluation.refined import refined_results, refined_rows, refined_twins


def test_differences_are_paired_and_of_the_colored_photos():
    entry, twin = Entry("compact", 3, "a"), Entry("compact", 3, "b", refiner="s", steps=5)
    chroma = np.array([0.0, 10.0, 20.0, 30.0])  # the first is gray
    before = {"ciede2000": np.array([99.0, 10.0, 12.0, 14.0]), "spots": np.array([9.0, 1.0, 2.0, 3.0]),
              "false_red": np.array([0.5, 0.01, 0.02, 0.03]), "top1": np.array([1.0, 1.0, 0.0, np.nan])}  # fmt: skip
    after = before | {"ciede2000": before["ciede2000"] - 1, "spots": np.zeros(4), "top1": np.array([1, 1, 1, np.nan])}
    tables = {e: columns | {"chroma_truth": chroma} for e, columns in ((entry, before), (twin, after))}
    (result,) = refined_results(tables, {entry: twin})
    assert (result["decoder"], result["epoch"], result["steps"], result["images"]) == ("compact", 3, 5, 3)
    assert result["before"]["ciede2000_mean"] == 12
    assert result["difference"]["ciede2000_mean"] == {"value": -1, "low": -1, "high": -1, "photos": 3}
    assert result["difference"]["spots"]["value"] == -2 and result["difference"]["top1"]["photos"] == 2
    header, (row,) = refined_rows([result])
    assert row[:3] == ["compact", "3", "5"] and row[header.index("CIEDE2000")] == "12.00, -1.00 (-1.00 to -1.00)"
    assert row[header.index("false red, share")].startswith("0.0200, +0.0000 (")
    assert row[header.index("top-1")].startswith("0.500, +0.500 (")


@pytest.mark.parametrize(
    "flags, steps", [([], 0), (["--refine", "0"], 0), (["--refine", "3"], 3), (["--refine"], None)]
)
def test_steps_to_refine(flags, steps):
    assert parse_args(["--source", "s", "--data", "d", "--output-dir", "o", *flags]).refine == steps


def test_fewer_steps_than_none_are_refused(capsys):
    with pytest.raises(SystemExit):
        parse_args(["--source", "s", "--data", "d", "--output-dir", "o", "--refine", "-1"])
    assert "--refine: must be a whole number, 0 or more, got -1" in capsys.readouterr().err


def test_the_script_measures_refined_twins(refined_source, data, tmp_path):
    found = run(refined_source, data, tmp_path, "--limit", "2", "--refine", "1")
    assert [(r["decoder"], r["epoch"], r["steps"]) for r in found["refined"]] == [
        ("compact", 0, 1), ("compact", 3, 1), ("depthwise", 0, 1)
    ]  # fmt: skip
    assert all(r["difference"]["ciede2000_mean"]["value"] != 0 for r in found["refined"])
    assert len(found["checkpoints"]) == 3  # what others read is as it was
    assert "## Refined" in (tmp_path / "report.md").read_text()


def test_a_refiner_that_is_asked_for_must_be_there(refined_source, source):
    for folder, steps, message in ((source, None, "has no refiner"), (refined_source, 7, "takes 0 to 2 steps, got 7")):
        entries = [checkpoint_entry(each) for each in list_checkpoints(folder)[:1]]
        with pytest.raises(ChromaGANError, match=message):
            refined_twins(entries, folder, steps)
    (twin,) = refined_twins(entries, refined_source, None).values()
    assert twin.steps == 2 and twin.name.endswith(", refined") and twin.digest != entries[0].digest
