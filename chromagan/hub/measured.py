"""Reads a metrics.json: measures over all photos of a data set or the colored ones, some with intervals.

A measure is a number, or {"value", "low", "high"} with the ends of its 95 % interval, which may be null. Anything that
is missing or of another form counts as not measured: nothing here raises.
"""

import math
from typing import Any

from chromagan.measures.catalog import measure_called

# Recorded in place of a split's name if the data have none of that name: a network may be trained on these photos.
NO_SPLIT = "no validation split"
# What is shown of refined colorings.
REFINED = ("ciede2000_mean", "ciede2000_near", "false_red", "spots", "colorfulness", "top1", "lpips")


def measures_of(metrics: dict, subset: str = "colored") -> dict[str, Any]:
    """All measures over a subset of the photos, "all" or "colored", by name; {} if there are none."""
    measures = metrics.get(subset)
    return measures if isinstance(measures, dict) else {}


def value_of(metrics: dict, name: str, subset: str = "colored") -> float | None:
    """The value of a measure over a subset of the photos; None if it was not measured."""
    return number_of(measures_of(metrics, subset).get(name))


def interval_of(metrics: dict, name: str, subset: str = "colored") -> tuple[float, float] | None:
    """The ends of a measure's 95 % interval; None if it has none."""
    return ends_of(measures_of(metrics, subset).get(name))


def split_of(metrics: dict) -> str:
    """The name of the split that was measured, or NO_SPLIT; "" if it is not recorded."""
    split = metrics.get("split")
    return split if isinstance(split, str) else ""


def named_split(metrics: dict) -> str | None:
    """The name of the split that was measured; None if it is not recorded, or the data had none."""
    split = split_of(metrics)
    return None if split in ("", NO_SPLIT) else split


def photos_of(metrics: dict) -> str:
    """The photos that were measured, in words: "validation photos", or "photos (no validation split)"."""
    name = named_split(metrics)
    return f"{name} photos" if name else _remarked("photos", metrics)


def place_of(metrics: dict, data: str) -> str:
    """Where they are from, in words: "the validation split of birds", or "birds (no validation split)"."""
    name = named_split(metrics)
    return f"the {name} split of {data}" if name else _remarked(data, metrics)


def _remarked(words: str, metrics: dict) -> str:
    """`words`, with the remark that there was no split if that is recorded."""
    return f"{words} ({NO_SPLIT})" if split_of(metrics) else words


def number_of(measure: Any) -> float | None:
    """The value of a measure, with or without an interval."""
    value = measure.get("value") if isinstance(measure, dict) else measure
    try:
        return value if isinstance(value, int | float) and math.isfinite(value) else None
    except OverflowError:  # a whole number beyond the floats
        return None


def ends_of(measure: Any) -> tuple[float, float] | None:
    """The ends of the interval of a measure."""
    ends = [number_of(measure.get(end)) for end in ("low", "high")] if isinstance(measure, dict) else [None]
    return None if None in ends else tuple(ends)


def refined_table(rows: list[dict]) -> tuple[list[str], list[list[str]]]:
    """Headings, and for each row the cells below them: of REFINED, those that any row has.

    rows: `refined` of a metrics.json, a dict {"before": {name: measure}, "difference": {name: measure}} each. A cell
    has the value before and its change with the 95 % interval: "8.77, +0.00 (-0.04 to +0.04)".
    """
    used = [name for name in REFINED if any(value_of(row, name, "difference") is not None for row in rows)]

    def cell(row: dict, name: str) -> str:
        before, change = value_of(row, name, "before"), value_of(row, name, "difference")
        if before is None or change is None:
            return "–"
        measure = measure_called(name)
        return f"{measure.text(before)}, {measure.text(change, interval_of(row, name, 'difference'), signed=True)}"

    return [measure_called(name).heading for name in used], [[cell(row, name) for name in used] for row in rows]
