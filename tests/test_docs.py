"""What the pages say exists: links lead somewhere, commands and flags are there, functions stand where it is said."""

import argparse
import ast
import contextlib
import inspect
import io
import re
import shlex
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from accelerate.commands.launch import launch_command_parser
from PIL import Image
from test_imports import BESIDE, BOTTOM, FOLDERS

from chromagan.__main__ import parse_args
from chromagan.colorizer import Colorizer
from chromagan.hub.checkpoints import refined_by_default
from chromagan.network.decoders import DECODERS
from docs import make_picture
from train import benchmark, evaluate, job, report, study
from train.training.options import LOG_AXIS, PRESETS, TrainConfig, parse_config
from train.training.refine_options import parse_config as parse_refine_config

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted({
    ROOT / "README.md", ROOT / "ARCHITECTURE.md", ROOT / "checkpoints" / "README.md", ROOT / "train" / "LOG.md",
    *(ROOT / "docs").glob("*.md"),
})  # fmt: skip


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def rows(page: Path) -> list[list[str]]:
    """The cells of every line of a page's tables, heads included, rules left out."""
    lines = page.read_text(encoding="utf-8").splitlines()
    tables = [line for line in lines if line.startswith("|") and not set(line) <= set("|-: ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in tables]


def anchors(page: Path) -> set[str]:
    """Of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)]+)\)", page.read_text(encoding="utf-8")):
        if target.startswith("https://"):
            continue
        file, _, anchor = target.partition("#")
        path = (page.parent / file).resolve() if file else page
        assert path.exists(), f"{name_of(page)}: {target}"
        assert not anchor or anchor in anchors(path), f"{name_of(page)}: {target}"


def defined(path: Path) -> set[str]:
    """Names of the functions and classes of a module, of methods as Class.method."""
    body = ast.parse(path.read_text(encoding="utf-8")).body
    names = {node.name for node in body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    return names | {
        f"{node.name}.{part.name}"
        for node in body
        if isinstance(node, ast.ClassDef)
        for part in node.body
        if isinstance(part, ast.FunctionDef)
    }


def test_the_architecture_names_functions_where_they_are():
    found = 0
    for cells in rows(ROOT / "ARCHITECTURE.md"):
        if len(cells) == 3 and cells[2].endswith(".py`"):
            names, path = re.findall(r"`([^`]+)`", cells[1]), ROOT / cells[2].strip("`")
            assert names and set(names) <= defined(path), f"{cells[2]}: {set(names) - defined(path)}"
            found += len(names)
    assert found > 40


def test_the_architecture_lists_the_folders_in_the_order_of_imports():
    listed = [re.findall(r"`([\w.]+)/?`", cells[0]) for cells in rows(ROOT / "ARCHITECTURE.md") if len(cells) == 2]
    beside = [f"{module}.py" for module in BESIDE]
    in_order = [*([f"{module}.py"] for module in BOTTOM), *([folder] if folder else beside for folder in FOLDERS)]
    assert [each for each in listed if each] == in_order


def study_options(argv: list[str]) -> None:
    _, flags = study.parse_args(argv)
    parse_config(["--decoder", "compact", *flags])


def job_options(argv: list[str]) -> None:
    _, flags = job.parse_args(argv)
    study_options(["--output-dir", "runs", *flags])


def no_options(argv: list[str]) -> None:
    argparse.ArgumentParser().parse_args(argv)


# What reads the arguments of each program. All end with SystemExit on a wrong one.
PROGRAMS = {
    "chromagan": parse_args,
    "train/train.py": parse_config,
    "train/refine.py": parse_refine_config,
    "train/study.py": study_options,
    "train/job.py": job_options,
    "train/evaluate.py": evaluate.parse_args,
    "train/report.py": report.parse_args,
    "train/benchmark.py": benchmark.parse_args,
    "tests/load_demo.py": no_options,
    "app.py": no_options,
}
ELIDED = {"train/train.py": ["--decoder", "compact", "--data", "D", "--output-dir", "O"]}  # where a page writes "..."
# Options in the log of recipes that have other names by now; what was run stays as it was.
RENAMED = {"--large-weight": "--squared-weight", "--price": "--multiplier", "--price-rate": "--multiplier-rate"}
OF_OTHERS = {"--flavor", "--machine_rank", "--quiet"}  # flags of hf jobs and of accelerate that are named in the text


def blocks_and_prose(page: Path) -> tuple[list[str], str]:
    """The lines of a page's code blocks without a language, which hold commands; the page without all its blocks."""
    text, fence = page.read_text(encoding="utf-8"), re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
    blocks = [block.replace("\\\n", " ") for language, block in fence.findall(text) if not language]
    return [line for block in blocks for line in block.splitlines()], fence.sub("", text)


STARTS = re.compile(r"(?:^|\| |^[A-Z_]+=\S* )((?:python|accelerate launch|hf jobs uv run) .*)")
COMMANDS = [
    (name_of(page), start[1]) for page in PAGES for line in blocks_and_prose(page)[0] if (start := STARTS.search(line))
]


def called(command: str) -> tuple[str, list[str]]:
    """The program of this project that a command starts, and its arguments."""
    words = shlex.split(command.partition(" > ")[0], comments=True)
    if words[0] == "accelerate":
        launch = launch_command_parser().parse_args(words[2:])
        program, argv = launch.training_script, launch.training_script_args
    else:
        at = words.index("train/job.py") if words[0] == "hf" else 2 if words[1] == "-m" else 1
        program, argv = words[at], words[at + 1 :]
    assert program in PROGRAMS, program
    return program, [each for word in argv for each in (ELIDED[program] if word == "..." else [word])]


@pytest.mark.parametrize("page, command", COMMANDS)
def test_commands_are_understood_by_their_programs(page, command):
    program, argv = called(command)
    PROGRAMS[program]([RENAMED.get(word, word) if page == "train/LOG.md" else word for word in argv])


def test_commands_of_every_kind_are_found_and_wrong_ones_refused():
    assert {called(command)[0] for _, command in COMMANDS} == PROGRAMS.keys()
    for wrong in (
        "accelerate launch train/train.py ... --no-lr 1",
        "python train/study.py --data D --output-dir O --no-data",
        "python -m chromagan list --decoder compact",
        "hf jobs uv run train/job.py --code C --output-dir O --data D --epoch 3",
        "python app.py --port 80",
    ):
        program, argv = called(wrong)
        with pytest.raises(SystemExit):
            PROGRAMS[program](argv)
    with pytest.raises(SystemExit):
        called("accelerate launch --multi-cpu train/train.py ...")


def flags_in(text: str) -> set[str]:
    return set(re.findall(r"(?<![\w-])--[a-z][\w-]*", text))


@pytest.fixture(scope="module")
def flags() -> set[str]:
    """Every flag that the --help of a program of this project shows, and OF_OTHERS."""
    commands = ("list", "colorize", "export", "publish", "space")
    helps = [(parse_args, [command]) for command in commands]
    helps += [(parser, []) for name, parser in PROGRAMS.items() if name != "chromagan"]
    shown = io.StringIO()
    for parser, command in helps:
        with contextlib.redirect_stdout(shown), pytest.raises(SystemExit):
            parser([*command, "--help"])
    return OF_OTHERS | flags_in(shown.getvalue())


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "LOG.md"], ids=name_of)  # which is history
def test_flags_and_scripts_are_there(page, flags):
    lines, prose = blocks_and_prose(page)
    used = flags_in("\n".join([prose, *(line.partition(" # ")[2] for line in lines)]))  # the rest is parsed above
    assert used <= flags, used - flags
    for script in re.findall(r"(?<![\w/])(?:train|tests|docs|chromagan)/[\w/]+\.py", page.read_text(encoding="utf-8")):
        assert (ROOT / script).is_file(), f"{name_of(page)}: {script}"


def test_the_tables_of_decoders_and_presets_are_the_codes():
    table = {cells[0].strip("`"): cells[-1] for cells in rows(ROOT / "README.md") if len(cells) == 3}
    listed = [name for name in DECODERS if name in table]  # the paper's; a sixth may stay out of it
    assert len(listed) >= 5 and all(table[name] == f"{DECODERS[name].num_params:,}" for name in listed)
    presets = {cells[0]: cells[1:] for cells in rows(ROOT / "docs" / "training.md") if len(cells) == 3}
    lite = {field.name: field.default for field in fields(TrainConfig)}
    for row, option in (
        ("window of a photo", "crop"),
        ("batch", "batch_size"),
        ("weight of L_g, the adversarial term", "adversarial_weight"),
        ("weight of L_s, the class term", "class_weight"),
        ("gradient penalty", "penalty_weight"),
        ("channels of the critic's first layer", "critic_width"),
    ):
        values = [lite[option], PRESETS["paper"].get(option, lite[option])]
        assert [cell.split()[0] for cell in presets[row]] == [f"{value:g}" for value in values], row
    numbers = re.search(r"the epochs ([\d, and]+) are saved", (ROOT / "docs" / "training.md").read_text("utf-8"))[1]
    assert tuple(map(int, re.findall(r"\d+", numbers))) == LOG_AXIS


def test_what_the_pages_say_colors_by_default_does():
    def chosen(*flags: str) -> tuple[str, bool]:
        args = parse_args(["colorize", "photo.jpg", "-o", "colored.jpg", *flags])
        assert args.refine is None
        return args.source, refined_by_default(args.source)

    readme, page = ((ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "docs/coloring.md"))
    assert "# also --decoder compact\n" in readme and chosen("--decoder", "compact") == ("general", True)
    assert 'Colorizer.from_pretrained("general", decoder="compact")' in readme  # beside it: "As colorize does"
    assert inspect.signature(Colorizer.from_pretrained).parameters["refine"].default is None
    assert "colored by `general`, at the recommended epoch, and refined" in page and chosen() == ("general", True)
    assert "for an epoch, for `--all` or for a\ndecoder that `general` lacks, the study colors it" in page
    assert chosen("--epoch", "3") == chosen("--all") == ("study", False)


def test_every_page_is_linked_from_the_readme():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert all(f"]({name_of(page)})" in text for page in PAGES if page != ROOT / "README.md")


def test_the_picture_is_a_png_below_its_limit():
    coarse = np.random.default_rng(0).integers(0, 256, (12, 18, 3), dtype=np.uint8)
    picture = Image.fromarray(coarse).resize((180, 120), Image.Resampling.BICUBIC)
    whole = make_picture.encoded(picture, 10_000_000)
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(whole))), np.asarray(picture))
    for share in (2, 6):
        smaller = make_picture.encoded(picture, len(whole) // share)
        assert len(smaller) <= len(whole) // share
        shown = Image.open(io.BytesIO(smaller)).convert("RGB").resize(picture.size, Image.Resampling.BICUBIC)
        assert np.abs(np.asarray(shown, int) - np.asarray(picture)).mean() < 12
    with pytest.raises(ValueError, match="larger than 100 bytes"):
        make_picture.encoded(picture, 100)
