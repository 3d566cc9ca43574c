"""The verdicts on the claims as plain data, the content of claims.json, for the report, the READMEs and the demo."""

import numpy as np

from chromagan.measures.color_groups import TRAITS
from train.evaluation.comparison import Comparison, newest
from train.evaluation.intervals import number
from train.evaluation.judging import CANNOT_TELL, Verdict, label
from train.evaluation.paper_table import measured_table


def claims_report(study: Comparison, verdicts: list[Verdict]) -> dict:
    """{"claims": [a line for each claim], "counts": {verdict: claims}, "table_1": ..., "quartiles": [...]}.

    A line is a `claim_line` of one of `verdicts`, which come from `judging.judge`; table_1 is from
    `paper_table.measured_table`.
    """
    lines = [claim_line(verdict) for verdict in verdicts]
    counts = {}
    for line in lines:
        counts[line["verdict"]] = counts.get(line["verdict"], 0) + 1
    return {"claims": lines, "counts": counts, "table_1": measured_table(study), "quartiles": quartile_table(study)}


def claim_line(verdict: Verdict) -> dict:
    """{"id", "subject", "label", "section", "words", "verdict", "epoch", "photos", "evidence", "needs", "shows",
    "contradicts", "beside", "parts"}.

    evidence: a sentence for each question; questions that lack the same thing share one. shows, contradicts: indices in
    the data of the photos that support and contradict the claim most, or None. parts: the numbers behind the sentences.
    beside: the same comparison at other epochs than the paper's, {"stand_ins": {paper's epoch: source's}, and the keys
    of a line}, or None. It is not a verdict on the claim.
    """
    claim = verdict.claim
    line = {
        "id": claim.id, "subject": claim.subject, "label": label(claim.subject), "section": claim.section,
        "words": claim.words, "verdict": verdict.verdict, "epoch": verdict.epoch, "photos": verdict.photos,
        "evidence": list(dict.fromkeys(f.evidence() for f in verdict.findings)), "needs": verdict.needs,
        "shows": verdict.shows, "contradicts": verdict.contradicts,
        "parts": [
            {
                "measure": f.question.measure, "direction": f.question.direction, "least": f.question.least,
                "verdict": f.verdict,
                "differences": [
                    {"to": d.to, "value": number(d.value), "low": number(d.low), "high": number(d.high),
                     "photos": d.photos}
                    for d in f.differences
                ],
            }
            for f in verdict.findings
        ],
        "beside": None,
    }  # fmt: skip
    if verdict.verdict == CANNOT_TELL and verdict.instead:
        line["beside"] = {"stand_ins": {str(e): own for e, own in verdict.stand_ins}} | claim_line(verdict.instead)
    return line


def quartile_table(study: Comparison, column: str = "ciede2000") -> list[dict]:
    """Means of `column` over quarters of the photos by each trait, lowest first, at the newest shared epoch.

    [{"trait", "decoder", "epoch", "means": [4], "photos": [4], "spread": highest minus lowest mean}]
    """
    rows = []
    for trait in TRAITS:
        for decoder, entry in newest(study.columns).items():
            own = study.columns[entry]
            if trait not in own or column not in own:
                continue
            quarters = [own[column][mask] for mask in study.quartiles(trait)]
            quarters = [values[np.isfinite(values)] for values in quarters]
            means = [float(values.mean()) if len(values) else np.nan for values in quarters]
            rows.append({
                "trait": trait, "decoder": decoder, "epoch": entry[1], "means": [number(mean) for mean in means],
                "photos": [len(values) for values in quarters], "spread": number(np.ptp(means)),
            })  # fmt: skip
    return rows
