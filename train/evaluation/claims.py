"""The paper's Table 1, and its claims about decoders and epochs with the questions that test them.

Source: Luo and Li, "Analysis and comparison for image colorization with machine learning based on PyTorch and
ChromaGAN", AIMS Press 2025 (CC BY 4.0). The claims are in our own words; Table 1 is the paper's. The paper compares
decoders at epoch 900; here they are judged at the newest epoch that all decoders share, which is named.
"""

from dataclasses import dataclass

from train.evaluation.questions import (
    AcrossQuartiles,
    AgainstEpochs,
    AgainstMeasure,
    AgainstOthers,
    AgainstTruth,
    Beyond,
    Cost,
    ModerateCost,
    Question,
    SettlesAt,
    SpreadOverQuartiles,
    Unmeasured,
)

WORDS = ("Very Poor", "Poor", "Fair", "Good", "Excellent")  # of the paper's Table 1, worst to best

PAPER_WORDS = {  # row of Table 1: {decoder: word}
    "Color fidelity and saturation": {
        "original": "Poor", "compact": "Very Poor", "transposed": "Good", "depthwise": "Very Poor",
        "pixelshuffle": "Poor",
    },
    "Boundary clarity": {
        "original": "Poor", "compact": "Poor", "transposed": "Good", "depthwise": "Very Poor", "pixelshuffle": "Poor",
    },
    "Semantic differentiation capability": {
        "original": "Poor", "compact": "Poor", "transposed": "Good", "depthwise": "Fair", "pixelshuffle": "Poor",
    },
    "Computational efficiency": {
        "original": "Fair", "compact": "Excellent", "transposed": "Poor", "depthwise": "Excellent",
        "pixelshuffle": "Very Poor",
    },
}  # fmt: skip


@dataclass(frozen=True)
class Claim:
    """One sentence of the paper. subject: a decoder. The claim stands if all `questions` confirm it."""

    id: str
    subject: str
    section: str
    words: str
    questions: tuple[Question, ...]


def about(subject: str, section: str, **claims: tuple) -> tuple[Claim, ...]:
    """Claims about one decoder: id=(words, question, ...)."""
    return tuple(Claim(name, subject, section, words, questions) for name, (words, *questions) in claims.items())


# Questions that several claims share.
HALF_VIVID = Beyond(
    measure="chroma_kept_vivid",
    direction="lower",
    level=0.5,
    reading="vivid pixels keep less than half their chroma",
)
GROUND_AS_LAWN = Beyond(
    measure="ground_to_green",
    direction="higher",
    level=0.5,
    reading="more than half of brown to yellow ground is green",
)
WEAK_TO_GRAY = Beyond(
    measure="weak_to_gray", direction="higher", level=0.5, reading="more than half of weak colors come out gray"
)
YELLOW_WHITES = AgainstTruth(
    measure="light_b", direction="higher", least=1.0, reading="light neutral pixels are more yellow by a Lab unit"
)
WIDER = AgainstTruth(
    measure="edge_width", direction="higher", least=1.0, reading="transitions are wider than the true ones by a pixel"
)
PLAIN = ("original", "compact", "transposed", "pixelshuffle")  # decoders without depthwise convolutions

CLAIMS = (
    *about(
        "original", "4.2",
        O1=("vivid colors come out grayish or as darker shades of themselves", HALF_VIVID),
        O2=("light areas get a reddish cast", AgainstTruth(
            measure="light_a", direction="higher", least=1.0, reading="light neutral pixels are redder by a Lab unit")),
        O3=("soil and dry grass are painted as lawn", GROUND_AS_LAWN),
        O4=("blurred color boundaries, bleeding",
            Beyond(measure="edge_gradient_kept", direction="lower", level=0.5,
                   reading="color changes less than half as steeply at true edges"),
            AgainstMeasure(measure="ciede2000_near", other="ciede2000_elsewhere", direction="higher",
                           reading="of gray's error more is left near edges than elsewhere")),
    ),
    *about(
        "compact", "4.2",
        C1=("weakly saturated things become gray", WEAK_TO_GRAY),
        C2=("white and bright areas get a yellowish tint", YELLOW_WHITES),
        C3=("gradients at boundaries", WIDER),
        C4=("soil, dry grass and grass are not told apart", GROUND_AS_LAWN),
        C5=("fewest parameters among the convolutional ones, high efficiency",
            Cost(measure="parameters", direction="lower", among=PLAIN,
                 reading="fewer parameters than each decoder of plain convolutions"),
            Cost(measure="gflops", direction="lower", among=PLAIN, reading="less arithmetic than each of those")),
    ),
    *about(
        "transposed", "4.2",
        T1=("overall cast toward gray-yellow",
            AgainstTruth(measure="mean_b", direction="higher", least=1.0,
                         reading="b* lies above the truth's by a Lab unit"),
            AgainstTruth(measure="mean_chroma", direction="lower", least=1.0,
                         reading="chroma lies below the truth's by a Lab unit")),
        T2=("unnatural red patches in places", AgainstOthers(
            measure="false_red", direction="higher", reading="more false red than any other decoder")),
        T3=("tells dry grass and soil from grass better than the others", AgainstOthers(
            measure="ground_to_green", direction="lower", reading="less ground painted green than by any other")),
        T4=("smooth transitions, also in shadows; gradients there",
            AgainstOthers(measure="edge_gradient_kept", direction="higher",
                          reading="keeps more of the color gradient at edges than any other"),
            AgainstOthers(measure="shadow_variation", direction="higher",
                          reading="colors vary more in shadow than with any other, not flat")),
        T5=("best of the five: transitions, boundaries, overall; moderate cost",
            AgainstOthers(measure="ciede2000", direction="lower", reading="nearest to the truth"),
            AgainstOthers(measure="ciede2000_near", direction="lower", reading="nearest to the truth at edges"),
            AgainstOthers(measure="cdr", direction="higher", above_gray=True, reading="cleanest at boundaries"),
            ModerateCost(measure="gflops", direction="higher", reading="neither the most nor the least arithmetic")),
    ),
    *about(
        "depthwise", "4.2",
        D1=("lowest saturation of all; vivid things become gray or blue",
            AgainstOthers(measure="colorfulness", direction="lower", reading="less colorful than any other"),
            HALF_VIVID,
            AgainstOthers(measure="wrong_blue", direction="higher", reading="more wrong blue than any other")),
        D2=("linear stripes along the image's edges",
            AgainstOthers(measure="border_stripes", direction="higher",
                          reading="colors change more from line to line along the border than with any other"),
            AgainstOthers(measure="border_excess", direction="higher",
                          reading="the border errs more, against the inside, than with any other")),
        D3=("small scattered spots of color", AgainstOthers(
            measure="spots", direction="higher", reading="more small spots than with any other")),
        D4=("dry grass is recognized and painted brownish yellow", AgainstOthers(
            measure="ground_kept", direction="higher", reading="more ground kept brown to yellow than by any other")),
        D5=("boundaries between objects blurred", AgainstOthers(
            measure="edge_gradient_kept", direction="lower",
            reading="keeps less of the color gradient at edges than any other")),
    ),
    *about(
        "pixelshuffle", "4.2",
        P1=("soil and lawn both green", AgainstOthers(
            measure="ground_to_green", direction="higher", reading="more ground painted green than by any other")),
        P2=("what is near gray or in shadow becomes gray", WEAK_TO_GRAY,
            Beyond(measure="chroma_kept_dark", direction="lower", level=0.5,
                   reading="less than half of the chroma is kept in shadow")),
        P3=("slight gradations at boundaries", WIDER),
        P4=("vivid colors become weak shades of themselves", HALF_VIVID),
        P5=("distant parts become gray", Unmeasured(
            reading="needs the depth of each pixel, which the photos do not come with")),
        P6=("white becomes pale yellow", YELLOW_WHITES),
    ),
    *about(
        "original", "4.3",
        E0=("at epoch 0 nearly gray, with a yellow tint over all",
            Beyond(measure="colorfulness", direction="lower", level=15.0, epochs=(0,),  # Hasler and Süsstrunk 2003
                   reading="less than “slightly colorful”, 15"),
            # Of 40 random weights of `lite` with this decoder, 19 give a mean b* above 1 and 19 one below -1.
            Unmeasured(reading="needs the study's own random weights: the tint is theirs, and as often blue")),
        E300=("epoch 300: basic colors; still too gray, saturation too low, bleeding at edges",
              AgainstEpochs(measure="mean_chroma", direction="lower", epochs=(300, 600, 900),
                            reading="less chroma than at 600 and 900"),
              AgainstEpochs(measure="ciede2000_near", direction="higher", epochs=(300, 600, 900),
                            reading="a larger error near edges than at 600 and 900")),
        E300m=("300 epochs are the least for stable performance", *(
            SettlesAt(measure=measure, direction="higher", epochs=(300,),
                      reading="changes more up to 300, from the epoch before, than behind it")
            for measure in ("ciede2000", "ciede2000_near", "colorfulness", "mean_chroma", "edge_gradient_kept"))),
        E600=("epoch 600: much better, finer, livelier colors; minor bleeding; steadier over contrasts",
              AgainstEpochs(measure="ciede2000", direction="lower", epochs=(600, 300),
                            reading="nearer to the truth than at 300"),
              AgainstEpochs(measure="colorfulness", direction="higher", epochs=(600, 300),
                            reading="more colorful than at 300"),
              AgainstEpochs(measure="ciede2000_near", direction="lower", epochs=(600, 300),
                            reading="a smaller error near edges than at 300"),
              SpreadOverQuartiles(measure="ciede2000", trait="photo_contrast", direction="lower", epochs=(600, 300),
                                  reading="errors differ less over quarters of contrast than at 300")),
        E900=("epoch 900: highest saturation and brightness of color",
              AgainstEpochs(measure="colorfulness", direction="higher", epochs=(900, 300, 600),
                            reading="more colorful than at 300 and 600")),
        E900b=("epoch 900: blotches spread in detailed places: overfitting, unbalanced adversarial training",
               AgainstEpochs(measure="false_red", direction="higher", epochs=(900, 300, 600),
                             within=("photo_texture", 3), reading="more false red in the quarter of most texture"),
               AgainstEpochs(measure="spots", direction="higher", epochs=(900, 300, 600),
                             within=("photo_texture", 3), reading="more spots in the quarter of most texture"),
               AgainstEpochs(measure="ciede2000", direction="higher", epochs=(900, 600),
                             reading="farther from validation photos than at 600, as after overfitting")),
        E900c=("epoch 900: bright, simple photos excellent; dark, detailed ones unreasonable",
               AcrossQuartiles(measure="ciede2000", trait="photo_lightness", direction="lower", epochs=(900,),
                               reading="the lightest quarter errs less than the darkest"),
               AcrossQuartiles(measure="ciede2000", trait="photo_texture", direction="higher", epochs=(900,),
                               reading="the quarter of most texture errs more than that of least")),
    ),
)  # fmt: skip
