"""What a metrics.json says: measures over all photos of a data set or the colored ones, some with their intervals.

A measure is a number, or {"value", "low", "high"} with the ends of its 95 % interval, which may be null. What a file of
another form lacks was not measured: nothing here raises.
"""

from typing import Any


def measures_of(metrics: dict, subset: str = "colored") -> dict[str, Any]:
    """All that was measured over the photos of a subset, "all" or "colored", by name; {} where nothing was."""
    measures = metrics.get(subset)
    return measures if isinstance(measures, dict) else {}


def value_of(metrics: dict, name: str, subset: str = "colored") -> float | None:
    """The number of a measure over the photos of a subset; None where it was not measured."""
    return number_of(measures_of(metrics, subset).get(name))


def interval_of(metrics: dict, name: str, subset: str = "colored") -> tuple[float, float] | None:
    """The ends of a measure's 95 % interval; None where it has none."""
    return ends_of(measures_of(metrics, subset).get(name))


def number_of(measure: Any) -> float | None:
    """The number of a measure, with or without an interval."""
    value = measure.get("value") if isinstance(measure, dict) else measure
    return value if isinstance(value, int | float) else None


def ends_of(measure: Any) -> tuple[float, float] | None:
    """The ends of the interval of a measure."""
    ends = [number_of(measure.get(end)) for end in ("low", "high")] if isinstance(measure, dict) else [None]
    return None if None in ends else tuple(ends)
