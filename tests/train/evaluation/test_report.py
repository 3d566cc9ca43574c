import json
from importlib import import_module

import pyarrow as pa
import pytest
from markupsafe import Markup
from pyarrow import parquet

from chromagan.data_sets.splits import DataError
from chromagan.hub.checkpoints import SHIPPED
from train.evaluation.rendering import TEMPLATES
from train.evaluation.report import NEEDED, heading, paragraph, plot, table, write_report
from train.evaluation.results_table import markdown_table

BAD = "<img src=x onerror='alert(1)'> & \"more\""
SHOWN = "&lt;img src=x onerror='alert(1)'&gt; &amp; \"more\""  # the same in Markdown


def rendered(name, tmp_path):
    blocks = [
        heading(BAD), paragraph(BAD), table(["name", BAD], [[BAD, "1"]]),
        plot(tmp_path / "figures" / "cost.png", "<svg><path/></svg>", BAD, tmp_path),
        {"kind": "picture", "path": "figures/a b.png", "caption": BAD, "data": "data:,", "width": 1, "height": 2},
    ]  # fmt: skip
    return TEMPLATES.get_template(name).render(title=BAD, blocks=blocks)


def test_names_cannot_put_markup_into_the_page(tmp_path):
    """A data set, a class or a reason may be called anything; the figures' SVG is ours."""
    page = rendered("report.html", tmp_path)
    assert page.count(str(Markup.escape(BAD))) == 9 and BAD not in page and "onerror='" not in page
    assert "<svg><path/></svg>" in page and 'alt="&lt;img' in page


def test_markdown_has_every_block_once_with_blank_lines_between(tmp_path):
    text = rendered("report.md", tmp_path)
    assert text.splitlines() == [
        f"# {SHOWN}", "", f"## {SHOWN}", "", SHOWN, "", f"| name | {SHOWN} |", "| --- | --: |", f"| {SHOWN} | 1 |", "",
        f"![{SHOWN}](figures/cost.png)", "", SHOWN, "", f"![{SHOWN}](figures/a%20b.png)", "", SHOWN,
    ]  # fmt: skip
    assert text.endswith(f"{SHOWN}\n")


def test_cells_cannot_make_columns_rows_or_markup():
    table = markdown_table(["a|b", "c"], [["x|y\n| z", "`<b>` & [1]"]])
    assert table.splitlines() == [
        "| a\\|b | c |", "| --- | --: |", "| x\\|y \\| z | \\`&lt;b&gt;\\` &amp; \\[1\\] |",
    ]  # fmt: skip


def test_a_folder_of_no_evaluation_is_named(tmp_path):
    with pytest.raises(DataError, match=r"metrics.json was not written by train/evaluate.py: it lacks 'left_out'"):
        write_report(SHIPPED / "compact" / "epoch-3")
    (tmp_path / "metrics.json").write_text(json.dumps(dict.fromkeys(NEEDED)))
    (tmp_path / "per_image.parquet").write_text("hello")
    with pytest.raises(DataError, match=r"per_image.parquet was not written by train/evaluate.py"):
        write_report(tmp_path)


@pytest.mark.parametrize("script", ["report", "evaluate"])
def test_help_is_there_without_docstrings(monkeypatch, capsys, script):
    """Python leaves them out with PYTHONOPTIMIZE=2."""
    module = import_module(f"train.{script}")
    monkeypatch.setattr(module, "__doc__", None)
    with pytest.raises(SystemExit) as ended:
        module.parse_args(["--help"])
    assert ended.value.code == 0 and "options:" in capsys.readouterr().out


def test_without_a_finished_evaluation_there_is_no_report(tmp_path):
    for name in ("metrics.json", "per_image.parquet"):
        with pytest.raises(DataError, match=rf"no finished evaluation \(no {name}\): run train/evaluate.py first"):
            write_report(tmp_path)
        (tmp_path / name).write_text(json.dumps(dict.fromkeys(NEEDED)))


def test_a_decoder_that_is_no_longer_there_is_named(tmp_path):
    """As a student's own, measured and then taken out again."""
    about = dict.fromkeys(NEEDED) | {"checkpoints": [{"decoder": "mine", "epoch": 3}]}
    (tmp_path / "metrics.json").write_text(json.dumps(about))
    row = {"image": [0], "label": [None], "colored": [True], "decoder": ["mine"], "epoch": [3], "ciede2000": [9.0]}
    parquet.write_table(pa.table(row), tmp_path / "per_image.parquet")
    with pytest.raises(DataError, match="has measurements of mine, which chromagan/network/decoders.py does not have"):
        write_report(tmp_path)
