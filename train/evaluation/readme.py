"""The READMEs' tables and the checkpoints' model cards, from the checkpoints' metrics.json and claims.json."""

import json
from pathlib import Path

from chromagan.atomic import replacing
from chromagan.data_sets.splits import DataError
from chromagan.hub.checkpoints import CheckpointError, list_checkpoints, recommended_of_each
from chromagan.hub.files import CARD_FILE, CLAIMS_FILE, read_json
from chromagan.hub.markdown import escaped
from chromagan.hub.model_card import model_card, refiner_card
from chromagan.hub.refiners import REFINER
from chromagan.hub.verdicts import VERDICTS, counts_in_words
from train.evaluation.judging import label
from train.evaluation.rendering import TEMPLATES
from train.evaluation.results_table import FIRST_COLUMNS, format_measure, results_table

ROOT = Path(__file__).resolve().parents[2]
README_MARKS = ("<!-- measured: start -->", "<!-- measured: end -->")
MEASURED_ON = ("data", "split", "size", "images", "fingerprint")  # equal for networks that can be compared
CLAIMS_MARKS = ("<!-- claims: start -->", "<!-- claims: end -->")


def readme_section(source: Path = ROOT / "checkpoints", every: bool = False) -> str:
    """The text between README_MARKS: a table of the checkpoints' metrics.json.

    every: show all measures of all epochs, not the first few of each decoder's recommended one. CheckpointError if
    nothing was measured, or not on the same photos.
    """
    checkpoints = list_checkpoints(source)
    if not every:
        checkpoints = recommended_of_each(checkpoints).values()
    results = [checkpoint.metrics for checkpoint in checkpoints]
    results = [result for result in results if "colored" in result]
    if not results:
        raise CheckpointError(f"no checkpoint in {str(source)!r} was measured: run train/evaluate.py --write-metrics")
    first = results[0]
    photos = {json.dumps([result.get(name) for name in MEASURED_ON]) for result in results}
    if len(photos) > 1:
        found = " and ".join(sorted(photos))
        raise CheckpointError(f"the checkpoints in {str(source)!r} were measured on different photos: {found}")
    if "left_gray" in first:  # the baseline
        results.insert(0, {"decoder": "left gray", "epoch": None, "colored": first["left_gray"]})
    if "truth" in first:  # the classifier's accuracy on the true colors is the upper bound
        results.append({"decoder": "true colors", "epoch": None, "colored": first["truth"]})
    measured_on = (
        f"the {first['colored']['images']:,} colored ones of {first['images']:,} photos of {escaped(first['data'])} "
        f"({escaped(first['split'])}) at {first['size']}×{first['size']}"
    )
    if not every:
        caption = "Each decoder at its recommended epoch (the most colorful within 1 % of its lowest CIEDE2000)"
        return f"{caption}, over {measured_on}.\n\n{results_table(results, columns=FIRST_COLUMNS)}"
    truth = format_measure("colorfulness", first["colored"]["colorfulness_truth"])
    classes = f"; {escaped(first['classifier'])} names the classes" if first.get("classifier") else ""
    caption = f"Every epoch, over {measured_on}; the true photos' colorfulness is {truth}{classes}."
    return f"{caption}\n\n{results_table(results)}"


def claims_section(source: Path = ROOT / "checkpoints", evidence: bool = False) -> str:
    """The text between CLAIMS_MARKS: the paper's Table 1 from the source's claims.json.

    evidence: add each claim with its verdict and the numbers behind it. CheckpointError if there are no verdicts.
    """
    try:
        claims = read_json(source / CLAIMS_FILE)
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"no verdicts in {str(source / CLAIMS_FILE)!r}: run train/evaluate.py --write-metrics ({error})"
        ) from error
    template = TEMPLATES.get_template("claims.md")
    counted = counts_in_words(claims["counts"])
    return template.render(**claims, counted=counted, words=VERDICTS, evidence=evidence, label=label).strip()


def update_readme(readme: Path, section: str, marks: tuple[str, str] = README_MARKS) -> None:
    """Put `section` between the marks of `readme`; DataError if it has none."""
    text = readme.read_text(encoding="utf-8")
    start, end = (text.find(mark) for mark in marks)
    if not 0 <= start < end:
        raise DataError(f"{readme} lacks the lines {marks[0]} and {marks[1]} that enclose the table")
    write_text(readme, f"{text[: start + len(marks[0])]}\n{section}\n{text[end:]}")


def write_cards(source: Path) -> None:
    """Write the model cards of each decoder in `source`, at its recommended epoch, and of the source's own refiner, if
    any, as README.md in their folders."""
    checkpoints = list_checkpoints(source)
    for decoder, recommended in recommended_of_each(checkpoints).items():
        own = [checkpoint for checkpoint in checkpoints if checkpoint.decoder == decoder]
        write_text(source / decoder / CARD_FILE, str(model_card(recommended, None, own)))
    if (source / REFINER).is_dir():
        write_text(source / REFINER / CARD_FILE, str(refiner_card(source / REFINER, source.name)))


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically."""
    with replacing(path) as part:
        part.write_text(text, encoding="utf-8")
