"""The order of the layers: what stands lower never imports what stands higher (ARCHITECTURE.md)."""

import ast
import tomllib
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from chromagan.network.decoders import DECODERS

ROOT = Path(__file__).resolve().parent.parent

# Each may import those before it: these modules, then the folders. "" is the modules beside the folders.
BOTTOM = ["errors", "programs", "atomic", "device"]
FOLDERS = ["imaging", "measures", "network", "hub", "data_sets", "", "command_line", "demo"]
BESIDE = ["data", "colorizer"]
PACKAGE = {
    ".".join(path.relative_to(ROOT / "chromagan").with_suffix("").parts): path
    for path in (ROOT / "chromagan").rglob("*.py")
}

# Of train/: a folder never imports a script, and evaluation may import nothing of training.
TRAIN = {"training": {"training"}, "evaluation": {"evaluation"}, "benchmarks": {"training", "evaluation", "benchmarks"}}


NOT_FOR_THE_DEMO = {"datasets", "accelerate", "matplotlib", "skimage", "pytest", "playwright"}


def imports(path: Path) -> set[str]:
    """Dotted names of everything that a file imports, inside functions too."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
    return names


def level(module: str) -> int:
    """The place of a module of the package in the order of imports; ValueError for one that has none."""
    if module in BOTTOM:
        return BOTTOM.index(module)
    if module == "__main__":
        return len(BOTTOM) + len(FOLDERS)
    folder, _, name = module.rpartition(".")
    assert folder or name in (*BESIDE, "__init__"), f"{module}: say where it stands"
    return len(BOTTOM) + FOLDERS.index(folder)


def imported(module: str) -> set[str]:
    """The modules of the package that a module of it imports, without those that this loads on the way."""
    names = {name.removeprefix("chromagan.") for name in imports(PACKAGE[module]) if name.startswith("chromagan.")}
    return names & PACKAGE.keys()


@pytest.mark.parametrize("module", PACKAGE)
def test_lower_never_imports_higher(module):
    higher = {name for name in imported(module) if level(name) > level(module)}
    assert not higher, f"{module} imports {higher}"


def test_no_module_imports_itself_by_way_of_others():
    order = list(TopologicalSorter({module: imported(module) for module in PACKAGE}).static_order())  # or CycleError
    assert order.index("imaging.color") < order.index("colorizer") < order.index("__init__")


@pytest.mark.parametrize("folder", TRAIN)
def test_the_folders_of_train_never_import_a_script(folder):
    for path in (ROOT / "train" / folder).glob("*.py"):
        used = {name.split(".")[1] for name in imports(path) if name.startswith("train.")}
        assert used <= TRAIN[folder], f"{path} imports {used - TRAIN[folder]}"


def test_no_script_imports_another():
    for path in (ROOT / "train").glob("*.py"):
        used = {name.split(".")[1] for name in imports(path) if name.startswith("train.")}
        assert used <= set(TRAIN), f"{path} imports {used - set(TRAIN)}"


def test_an_installed_copy_has_every_file_of_the_package():
    """What is no module is named in pyproject.toml: styles, scripts and templates."""
    patterns = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    named = {path for package, globs in patterns.items() for glob in globs for path in folder_of(package).glob(glob)}
    files = {path for path in (ROOT / "chromagan").rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    assert {path for path in files if path.suffix != ".py"} == named and len(named) > 5


def test_the_bounds_of_an_installed_copy_are_those_that_are_tested():
    text = "\n".join((ROOT / name).read_text() for name in ("requirements.txt", "requirements-dev.txt"))
    tested = {line.split("#")[0].strip() for line in text.splitlines()}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    optional = [each for group in project["optional-dependencies"].values() for each in group]
    assert {*project["dependencies"], *optional} <= tested


def folder_of(package: str) -> Path:
    return ROOT.joinpath(*package.split("."))


def test_the_library_knows_neither_training_nor_demo():
    for path in PACKAGE.values():
        roots = {name.split(".")[0] for name in imports(path)}
        assert not roots & ({"train", "app"} if path.parent.name == "demo" else {"train", "app", "gradio"}), path


@pytest.mark.parametrize(
    "path",
    [path for name, path in PACKAGE.items() if not name.startswith("demo.")]
    + [path for path in (ROOT / "train").rglob("*.py") if path.name != "batch_norm.py"],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_timm_is_imported_only_where_a_network_is_built(path):
    """It takes as long as torch: `list`, `--help` and a wrong flag would wait for it."""
    first = [node for node in ast.parse(path.read_text()).body if isinstance(node, ast.Import | ast.ImportFrom)]
    assert not any(name in ast.unparse(node) for node in first for name in ("timm", "training.batch_norm"))


def test_the_demo_runs_on_requirements_txt_alone():
    """Top-level imports of everything that app.py loads stay inside requirements.txt."""
    for path in [ROOT / "app.py", *PACKAGE.values()]:
        top_level = ast.parse(path.read_text()).body
        roots = {alias.name.split(".")[0] for node in top_level if isinstance(node, ast.Import) for alias in node.names}
        roots |= {node.module.split(".")[0] for node in top_level if isinstance(node, ast.ImportFrom)}
        assert not roots & NOT_FOR_THE_DEMO, path


def lines_that_tell_decoders_apart(source: str) -> list[int]:
    """Of comparisons that a name of DECODERS stands in, however deep, and of patterns that it is matched with."""
    lines = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Compare | ast.pattern):
            lines += [
                part.lineno for part in ast.walk(node) if isinstance(part, ast.Constant) and part.value in DECODERS
            ]
    return lines


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("decoder == 'original'", True),
        ("'original' != decoder", True),
        ("decoder in ('original', 'compact')", True),
        ("decoder not in {*others, 'original'}", True),
        ("match decoder:\n    case 'original':\n        pass", True),
        ("match decoder, epoch:\n    case ('compact' | 'original', 0):\n        pass", True),
        ("decoder in DECODERS", False),
        ("build_decoder('original')", False),
        ("match decoder:\n    case 'none' | None:\n        build_decoder('original')", False),
    ],
)
def test_a_name_of_a_decoder_in_a_condition_is_found(source, found):
    assert bool(lines_that_tell_decoders_apart(source)) == found


def test_no_decoder_is_named_in_a_condition():
    """A sixth decoder is one class and one line: no name of DECODERS is ever compared with."""
    for path in [ROOT / "app.py", *PACKAGE.values(), *(ROOT / "train").rglob("*.py")]:
        assert not lines_that_tell_decoders_apart(path.read_text()), path
