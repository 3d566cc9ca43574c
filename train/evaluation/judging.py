"""Verdicts on the paper's claims, all by one rule."""

from dataclasses import dataclass, replace
from statistics import NormalDist

import numpy as np

from chromagan.hub.verdicts import CANNOT_TELL, CONTRADICTED, STANDS, UNDECIDED
from chromagan.measures.catalog import Measure, measure_called
from chromagan.network.decoders import DECODERS
from train.evaluation.claims import CLAIMS, Claim
from train.evaluation.comparison import LEAST_PHOTOS, Comparison, Difference
from train.evaluation.questions import Answer, CannotTellError, Question

LAST_EPOCH, FIRST_EPOCH = 900, 300  # the last and first trained epochs that the paper shows


@dataclass(frozen=True)
class Finding:
    """The answer to one question of a claim."""

    question: Question
    verdict: str
    differences: tuple[Difference, ...] = ()
    needs: str = ""  # what is missing if the question cannot be decided

    def evidence(self) -> str:
        """One line: the reading, the measure and each difference with its interval, or what is missing."""
        measure = measure_called(self.question.measure)
        if self.needs:
            return self.needs
        least = f", by {self.question.least:g} at least" if self.question.least else ""
        unit = f" in {measure.unit}" if measure.unit else ""
        found = "; ".join(f"{format_difference(d, measure)} against {d.to}" for d in self.differences)
        return f"{self.question.reading}: {measure.title}{unit}{least}, {found}"


@dataclass(frozen=True)
class Verdict:
    """The verdict on a claim. epoch: at which the subject was judged; None if only costs were compared."""

    claim: Claim
    verdict: str
    findings: tuple[Finding, ...]
    epoch: int | None = None
    photos: int | None = None  # the fewest that a difference rests on
    shows: int | None = None  # index in the data of the photo that supports the claim most
    contradicts: int | None = None  # index of the photo that contradicts it most
    pictured: str = ""  # the measure by which those two were found
    instead: "Verdict | None" = None  # the same comparison at epochs that stand in for the paper's; not a verdict on it
    stand_ins: tuple[tuple[int, int], ...] = ()  # (the paper's epoch, its stand-in)

    @property
    def needs(self) -> str:
        """What is missing if the claim cannot be decided; "" otherwise."""
        return "; ".join(dict.fromkeys(finding.needs for finding in self.findings if finding.needs))


def format_difference(difference: Difference, measure: Measure) -> str:
    """A difference in a measure as text, with its interval if it has one."""
    ends = None if difference.photos is None or np.isnan(difference.low) else (difference.low, difference.high)
    return measure.text(difference.value, ends, signed=True)


def judge(study: Comparison, claims: tuple[Claim, ...] = CLAIMS) -> list[Verdict]:
    """The verdict on each of `claims`, in their order, over the colored photos.

    stands           every difference that tests the claim is on the claim's side with its whole interval
    contradicted     one is on the other side with its whole interval, widened for their number (Bonferroni)
    undecided        neither: intervals extend to both sides
    cannot be told   a measure, a decoder or an epoch is missing, or fewer than LEAST_PHOTOS photos have the measure

    The sides meet at a question's `least`: a difference that is surely too small to see contradicts the claim that it
    is seen. The intervals are over photos and do not include the variation between runs of the same decoder.
    A claim about epoch 300 is not decided from another epoch. If epochs that it names are missing, the same comparison
    at available epochs is shown next to the verdict, in `instead`.
    """
    return [_judge_with_stand_ins(study, claim) for claim in claims]


def conjunction(verdicts: list[str]) -> str:
    """The verdict on claims joined by "and": one that is contradicted contradicts them all."""
    return next((word for word in (CONTRADICTED, CANNOT_TELL, UNDECIDED) if word in verdicts), STANDS)


def verdict_on(question: Question, differences: list[Difference], tests: int) -> str:
    """Whether differences are beyond `question.least` in its direction.

    tests: the number of sampled differences that test the claim. All of them must stand, so chance does not help a
    claim; but any one contradicts it, and among many one may be on the wrong side by chance.
    """
    sign = {"higher": 1, "lower": -1}[question.direction]
    normal = NormalDist()
    widened = normal.inv_cdf(1 - 0.025 / max(tests, 1)) / normal.inv_cdf(0.975)
    verdicts = []
    for difference in differences:
        value = sign * difference.value - question.least
        low, high = sorted((sign * difference.low - question.least, sign * difference.high - question.least))
        against = value + widened * (high - value) < 0 or (difference.photos is None and high == 0)
        verdicts.append(STANDS if low > 0 else CONTRADICTED if against else UNDECIDED)
    return conjunction(verdicts)


def _judge_with_stand_ins(study: Comparison, claim: Claim) -> Verdict:
    def as_named(epoch: int) -> int:
        if epoch not in study.epochs(claim.subject):
            named = sorted({e for question in claim.questions for e in question.epochs})
            have = ", ".join(map(str, study.epochs(claim.subject))) or "none"
            raise CannotTellError(f"needs {_epochs(named)} of {claim.subject}; this source has {have}")
        return epoch

    verdict = _judge(study, claim, as_named)
    named = {epoch for question in claim.questions for epoch in question.epochs}
    all_epochs = study.epochs(claim.subject)
    trained = [epoch for epoch in all_epochs if epoch > 0]
    needed = {epoch for epoch in named if epoch}
    if verdict.verdict != CANNOT_TELL or needed <= {*trained} or not trained or named - needed - {*all_epochs}:
        return verdict
    place = {e: round((e - FIRST_EPOCH) / (LAST_EPOCH - FIRST_EPOCH) * (len(trained) - 1)) for e in needed}
    stand_in = {epoch: epoch if epoch in trained else trained[index] for epoch, index in place.items()}
    if len(set(stand_in.values())) < len(needed):
        return verdict  # too few epochs for distinct stand-ins
    instead = _judge(study, claim, lambda epoch: stand_in.get(epoch, epoch))
    if instead.verdict == CANNOT_TELL:
        return verdict
    pairs = tuple(sorted(stand_in.items()))
    return replace(verdict, instead=instead, stand_ins=pairs)


def _judge(study: Comparison, claim: Claim, epoch_of) -> Verdict:
    found: list[tuple[Question, Answer | str]] = []
    for question in claim.questions:
        try:
            answer = question.ask(study, claim.subject, epoch_of)
            for difference in answer.differences:
                _require_photos(question, difference)
            found.append((question, answer))
        except CannotTellError as missing:
            found.append((question, str(missing)))
    answers = [(question, answer) for question, answer in found if isinstance(answer, Answer)]
    tests = sum(d.photos is not None for _, answer in answers for d in answer.differences)
    findings = [_finding(question, answer, tests) for question, answer in found]
    epochs = [answer.entry[1] for _, answer in answers if answer.entry]
    photos = [d.photos for _, answer in answers for d in answer.differences if d.photos is not None]
    return Verdict(
        claim, conjunction([finding.verdict for finding in findings]), tuple(findings), epochs[0] if epochs else None,
        min(photos, default=None), *_extreme_photos(study, answers),
    )  # fmt: skip


def _finding(question: Question, answer: Answer | str, tests: int) -> Finding:
    """answer: a string says what is missing."""
    if isinstance(answer, str):
        return Finding(question, CANNOT_TELL, needs=answer)
    verdict = verdict_on(question, answer.differences, tests)
    if answer.missing and verdict != CONTRADICTED:
        missing = f"needs {', '.join(answer.missing)}, which this source does not have"
        return Finding(question, CANNOT_TELL, tuple(answer.differences), missing)
    return Finding(question, verdict, tuple(answer.differences))


def _require_photos(question: Question, difference: Difference) -> None:
    if not difference.decides or (difference.photos is not None and np.isnan(difference.low)):
        needs = measure_called(question.measure).needs
        raise CannotTellError(
            f"needs {LEAST_PHOTOS} photos with {needs}{question.where}; {difference.photos} have them"
        )


def _extreme_photos(study: Comparison, answers: list) -> tuple[int | None, int | None, str]:
    """The photos that support and contradict a claim's first question most (None if none does), and its measure."""
    for question, answer in answers:
        if answer.per_photo is None:
            continue
        sign = {"higher": 1, "lower": -1}[question.direction]
        score = sign * answer.per_photo - question.least
        if not np.isfinite(score).any():
            continue
        best, worst = np.nanargmax(score), np.nanargmin(score)
        return (
            int(study.images[best]) if score[best] > 0 else None,
            int(study.images[worst]) if score[worst] < 0 else None,
            question.measure,
        )
    return None, None, ""


def _epochs(numbers: list[int]) -> str:
    *most, last = map(str, numbers)
    return f"epochs {', '.join(most)} and {last}" if most else f"epoch {last}"


def label(decoder: str) -> str:
    """A decoder's name for use in a sentence."""
    return DECODERS[decoder].label if decoder in DECODERS else decoder
