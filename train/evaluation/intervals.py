"""Means and medians over photos with their 95 % intervals, by a paired bootstrap over the photos.

Every entry is resampled with the same draws, so that entries are compared on the same photos.
"""

import numpy as np

from chromagan.measures.color_groups import ColorGroups
from chromagan.measures.metrics import GRAY_CHROMA
from chromagan.measures.transitions import Transitions

RESAMPLES = 1000


def draws(photos: int) -> np.ndarray | None:
    """How often each photo is drawn in each resample, (RESAMPLES, photos); None for fewer than two photos."""
    if photos < 2:
        return None
    rng = np.random.default_rng(0)
    return np.stack([np.bincount(rng.integers(photos, size=photos), minlength=photos) for _ in range(RESAMPLES)])


def mean_samples(values: np.ndarray, counts: np.ndarray | None) -> np.ndarray | None:
    """The bootstrap distribution (RESAMPLES,) of the mean of the finite `values` (N,); None for fewer than two."""
    finite = np.isfinite(values)
    if counts is None or finite.sum() < 2:
        return None
    counts = np.asarray(counts, np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        return (counts @ np.where(finite, values, 0)) / (counts @ finite.astype(np.float64))


def interval(value: float, samples: np.ndarray | None) -> dict | None:
    """{value, low, high}: the central 95 % of `samples`; ends are None without samples. None if there is no value."""
    if not np.isfinite(value):
        return None
    if samples is None:
        return {"value": number(value), "low": None, "high": None}
    low, high = np.nanquantile(samples, [0.025, 0.975])
    return {"value": number(value), "low": number(low), "high": number(high)}


def number(value: float) -> float | None:
    """`value` for JSON: rounded to six decimals; None if it is not finite."""
    return round(float(value), 6) if np.isfinite(value) else None


def mean_interval(values: np.ndarray, counts: np.ndarray | None) -> dict | None:
    """Mean over the finite values with its interval, and their number as `photos`; None if there are none."""
    finite = values[np.isfinite(values)]
    if not len(finite):
        return None
    return interval(finite.mean(), mean_samples(values, counts)) | {"photos": len(finite)}


def median_interval(values: np.ndarray, counts: np.ndarray | None) -> dict | None:
    """Median with its interval. Infinite values count as the largest."""
    if not len(values) or not np.isfinite(np.median(values)):
        return None
    if counts is None:
        return interval(np.median(values), None)
    order = np.argsort(values)
    drawn = counts[:, order].cumsum(axis=1)
    middle = [(drawn > rank).argmax(axis=1) for rank in ((len(values) - 1) // 2, len(values) // 2)]
    ends = values[order][np.stack(middle)]
    with np.errstate(invalid="ignore"):
        return interval(np.median(values), ends.mean(axis=0))


MEANS = {  # name in metrics.json: column
    "psnr_mean": "psnr",
    "ssim": "ssim",
    "ciede2000_mean": "ciede2000",
    "ciede2000_p95": "ciede2000_p95",
    "ciede2000_near": "ciede2000_near",
    "ciede2000_elsewhere": "ciede2000_elsewhere",
    "cdr": "cdr",
    "colorfulness": "colorfulness",
    "top1": "top1",
    "top1_of_ten": "top1_of_ten",
    "lpips": "lpips",
    # Measures for the paper's claims. A photo without the pixels that one looks at is not counted.
    **{
        name: name
        for name in (*ColorGroups.NAMES, *Transitions.NAMES, "border_excess", "border_stripes", "false_red", "spots")
    },
}


def summarize(per_image: dict[str, np.ndarray], **about) -> dict:
    """The content of a metrics.json: means with intervals, over all photos and over the colored ones.

    per_image: columns (N,): those of MEANS that were measured, and `chroma_truth` and `colorfulness_truth` of the true
    photos. about: the first entries.
    """
    colored = per_image["chroma_truth"] >= GRAY_CHROMA
    subsets = {"all": np.ones(len(colored), bool), "colored": colored}
    return {
        **about,
        "images": len(colored),
        **{name: _summary({k: v[kept] for k, v in per_image.items()}) for name, kept in subsets.items()},
    }


def _summary(columns: dict[str, np.ndarray]) -> dict:
    photos = len(columns["psnr"])
    drawn = draws(photos)
    counts = None if drawn is None else drawn.astype(np.float64)  # integer products take ten times as long
    result = {"images": photos}
    result |= {name: mean_interval(columns[c], counts) for name, c in MEANS.items() if c in columns}
    result["psnr_median"] = median_interval(columns["psnr"], drawn)
    # A gray photo left gray is exact: its PSNR is infinite and excluded from the mean.
    result["psnr_infinite"] = int(np.isinf(columns["psnr"]).sum())
    truth, change = columns["colorfulness_truth"], columns["colorfulness"] - columns["colorfulness_truth"]
    result["colorfulness_truth"] = mean_interval(truth, counts)
    total = truth.sum()
    result["colorfulness_ratio"] = number(columns["colorfulness"].sum() / total) if total > 0 else None
    # The two published differences. The first is published without its sign: below 0 is paler than the truth.
    result["colorfulness_difference_of_means"] = mean_interval(change, counts)
    result["colorfulness_mean_of_differences"] = mean_interval(np.abs(change), counts)
    return result
