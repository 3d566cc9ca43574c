"""What the pages say exists: links lead somewhere, commands and flags are there, functions stand where it is said."""

import ast
import functools
import inspect
import io
import re
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from test_imports import BESIDE, BOTTOM, FOLDERS

from chromagan.__main__ import parse_args
from chromagan.colorizer import Colorizer
from chromagan.hub.checkpoints import refined_by_default
from chromagan.network.decoders import DECODERS
from docs import make_picture
from train.training.options import LOG_AXIS, PRESETS, TrainConfig
from train.training.refine_options import RefineConfig

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted({
    ROOT / "README.md", ROOT / "ARCHITECTURE.md", ROOT / "checkpoints" / "README.md", ROOT / "train" / "LOG.md",
    *(ROOT / "docs").glob("*.md"),
})  # fmt: skip
OF_OTHERS = {  # flags of accelerate, and of hf jobs
    "--flavor", "--timeout", "--attempts", "--secrets",
    "--multi_gpu", "--num_processes", "--num_machines", "--mixed_precision", "--dynamo_backend", "--machine_rank",
    "--main_process_ip", "--main_process_port", "--quiet",
}  # fmt: skip


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


@functools.cache
def flags() -> set[str]:
    """Every flag that a parser of this project knows."""
    options = [*fields(TrainConfig), *fields(RefineConfig)]
    known = {f"--{field.name.replace('_', '-')}" for field in options}
    known |= {f"--no-{flag[2:]}" for flag in known}
    for path in [each for top in ("chromagan", "train", "docs") for each in (ROOT / top).rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "add_argument":
                texts = (argument.value for argument in node.args if isinstance(argument, ast.Constant))
                known |= {text for text in texts if text.startswith("--")}
    return known


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "LOG.md"], ids=name_of)
def test_commands_and_flags_are_there(page):
    text = page.read_text(encoding="utf-8")
    used = set(re.findall(r"(?<![\w-])--[a-z][\w-]*", text))
    assert used <= flags() | OF_OTHERS | {"--help"}, used - flags()
    for script in re.findall(r"(?<![\w/])(?:train|tests|docs|chromagan)/[\w/]+\.py", text):
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
    assert "An epoch, `--all` or a decoder that `general`\nlacks is the study's" in page
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
