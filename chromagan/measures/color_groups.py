"""How groups of a photo's colors come out: vivid, weak, dark, light and neutral ones, brown ground next to grass.

Each group is a set of pixels of the true photo, so that every coloring is measured on the same pixels. A mean over the
whole image hides what happens to a group, but people see it. The limits of the groups follow the claims of Luo and Li
2025, sections 4.2 and 4.3, which `train/evaluation/claims.py` summarizes.
"""

import torch
from torch import Tensor

from chromagan.imaging import color
from chromagan.measures.segmentation import gradient

VIVID = 40.0  # CIELAB chroma above which a color counts as vivid
WEAK = 6.0, 15.0  # chroma of weakly saturated colors
GRAY = 4.0  # chroma below which a color has come out gray
DARK = 30.0  # lightness L below which a pixel lies in shadow
DARK_CHROMA = 8.0  # chroma above which a pixel in shadow has a color to keep
LIGHT, NEUTRAL = 80.0, 8.0  # L above, and chroma below, which a pixel is light and neutral: white, clouds, snow
BROWN, GREEN, BLUE = (50.0, 95.0), (100.0, 160.0), (220.0, 300.0)  # hue angles in degrees, brown to yellow first
HUE_CHROMA = 12.0  # chroma above which a hue is visible
NOT_BLUE = -5.0  # b* above which a true color is not bluish
LEAST = 0.005  # least share of the photo's pixels in a group; a ratio over a few pixels is meaningless
LEAST_BOTH = 0.01  # the same for ground and grass, both of which a photo must contain


class ColorGroups:
    """Measures of colorings on the groups of true photos: each (B,), float64, NaN if a photo lacks the group.

    mean_chroma         mean chroma of all pixels, Lab units (T1, E300)
    chroma_kept_vivid   mean chroma over the true photo's, on pixels of true chroma above 40; 0 is gray, 1 the truth
                        (O1, D1, P4)
    chroma_kept_dark    the same on pixels with L below 30 and true chroma above 8 (P2)
    weak_to_gray        of pixels of true chroma 6 to 15, the share [0, 1] whose chroma comes out below 4 (C1, P2)
    light_a, light_b    mean a*, b* in Lab units on pixels with true L above 80 and true chroma below 8 (O2; C2, P6)
    ground_to_green     of truly brown to yellow pixels (hue 50 to 95 degrees, chroma above 12), the share [0, 1] that
                        comes out green (hue 100 to 160, chroma above 4), on photos that hold green as well, a
                        hundredth of each at least (O3, C4, T3, P1)
    ground_kept         of the same pixels, the share that comes out brown to yellow, chroma above 4 (D4)
    mean_a, mean_b      mean a*, b* of all pixels, Lab units; minus the true photo's they are its cast (T1, E0)
    wrong_blue          share [0, 1] of all pixels that come out blue (hue 220 to 300, chroma above 12) where the
                        truth is not (b* above -5) (D1)
    shadow_variation    root of the summed variances of a* and b* over pixels with true L below 30, Lab units (T4)

    In brackets: the paper's claims that the measure serves. Measured on the truth itself, shares of faults are 0 and
    ratios are 1.
    """

    NAMES = (
        "mean_chroma", "chroma_kept_vivid", "chroma_kept_dark", "weak_to_gray", "light_a", "light_b",
        "ground_to_green", "ground_kept", "mean_a", "mean_b", "wrong_blue", "shadow_variation",
    )  # fmt: skip

    def __init__(self, lab_truth: Tensor):
        """lab_truth: Lab (B, 3, H, W)."""
        L, _, b = lab_truth.unbind(dim=1)
        chroma, hue = chroma_and_hue(lab_truth)
        seen = chroma > HUE_CHROMA
        brown, green = seen & _between(hue, BROWN), seen & _between(hue, GREEN)
        self.groups = {  # bool (B, H, W)
            "vivid": chroma > VIVID,
            "weak": (chroma >= WEAK[0]) & (chroma <= WEAK[1]),
            "dark": (L < DARK) & (chroma > DARK_CHROMA),
            "light": (L > LIGHT) & (chroma < NEUTRAL),
            "ground": brown & _held(brown, LEAST_BOTH) & _held(green, LEAST_BOTH),
            "shadow": L < DARK,
            "not blue": b > NOT_BLUE,
        }
        self.counts = {
            name: _count(mask).where(_held(mask, LEAST)[:, 0, 0], torch.nan) for name, mask in self.groups.items()
        }
        self.true_chroma = {name: self._sum(chroma, name) for name in ("vivid", "dark")}

    def _sum(self, values: Tensor, group: str) -> Tensor:
        return (values * self.groups[group]).flatten(1).sum(dim=1, dtype=torch.float64)

    def _mean(self, values: Tensor, group: str) -> Tensor:
        return self._sum(values, group) / self.counts[group]

    def __call__(self, lab: Tensor) -> dict[str, Tensor]:
        """{name: (B,)} of NAMES for Lab (B, 3, H, W), colorings of the true photos (or B of one)."""
        _, a, b = lab.unbind(dim=1)
        chroma, hue = chroma_and_hue(lab)
        colored = chroma >= GRAY
        blue = (chroma > HUE_CHROMA) & _between(hue, BLUE)
        mean_a, mean_b = self._mean(a, "shadow"), self._mean(b, "shadow")
        spread = (a - mean_a[:, None, None].float()).square() + (b - mean_b[:, None, None].float()).square()
        return {
            "mean_chroma": chroma.flatten(1).mean(dim=1, dtype=torch.float64),
            "chroma_kept_vivid": self._kept(chroma, "vivid"),
            "chroma_kept_dark": self._kept(chroma, "dark"),
            "weak_to_gray": self._mean(~colored, "weak"),
            "light_a": self._mean(a, "light"),
            "light_b": self._mean(b, "light"),
            "ground_to_green": self._mean(colored & _between(hue, GREEN), "ground"),
            "ground_kept": self._mean(colored & _between(hue, BROWN), "ground"),
            "mean_a": a.flatten(1).mean(dim=1, dtype=torch.float64),
            "mean_b": b.flatten(1).mean(dim=1, dtype=torch.float64),
            "wrong_blue": self._sum(blue, "not blue") / blue[0].numel(),
            "shadow_variation": self._mean(spread, "shadow").sqrt(),
        }

    def _kept(self, chroma: Tensor, group: str) -> Tensor:
        return self._sum(chroma, group) / self.true_chroma[group].where(self.counts[group] > 0, torch.nan)

    def places(self, lab: Tensor) -> dict[str, Tensor]:
        """The pixels of Lab (B, 3, H, W) that each measure uses, bool (B, H, W) by name; for a share, those counted."""
        chroma, hue = chroma_and_hue(lab)
        groups, colored = self.groups, chroma >= GRAY
        return {
            "chroma_kept_vivid": groups["vivid"],
            "chroma_kept_dark": groups["dark"],
            "weak_to_gray": groups["weak"] & ~colored,
            "light_a": groups["light"],
            "light_b": groups["light"],
            "ground_to_green": groups["ground"] & colored & _between(hue, GREEN),
            "ground_kept": groups["ground"] & colored & _between(hue, BROWN),
            "wrong_blue": groups["not blue"] & (chroma > HUE_CHROMA) & _between(hue, BLUE),
            "shadow_variation": groups["shadow"],
        }


def chroma_and_hue(lab: Tensor) -> tuple[Tensor, Tensor]:
    """CIELAB chroma and hue angle in [0, 360) degrees of Lab (B, 3, H, W), (B, H, W) each."""
    _, a, b = lab.unbind(dim=1)
    return torch.hypot(a, b), torch.rad2deg(torch.atan2(b, a)) % 360


def _between(hue: Tensor, ends: tuple[float, float]) -> Tensor:
    return (hue >= ends[0]) & (hue <= ends[1])


def _count(mask: Tensor) -> Tensor:
    return mask.flatten(1).sum(dim=1).double()


def _held(mask: Tensor, least: float) -> Tensor:
    """Whether at least a share `least` of each image is in `mask` (B, H, W): (B, 1, 1)."""
    return (_count(mask) >= least * mask[0].numel())[:, None, None]


def photo_traits(srgb: Tensor) -> dict[str, Tensor]:
    """Traits of photos, sRGB (B, 3, H, W) in [0, 1], (B,) each: their quartiles divide a data set (E600, E900).

    photo_lightness   mean L, [0, 100]
    photo_texture     mean slope of L, Lab units per pixel
    photo_contrast    standard deviation of L (root mean square contrast), Lab units
    """
    L = color.srgb_to_L(srgb)[:, 0]
    dy, dx = gradient(L)
    mean = L.flatten(1).mean(dim=1, dtype=torch.float64)
    variance = (L - mean[:, None, None].float()).square().flatten(1).mean(dim=1, dtype=torch.float64)
    return {
        "photo_lightness": mean,
        "photo_texture": torch.hypot(dy, dx).flatten(1).mean(dim=1, dtype=torch.float64),
        "photo_contrast": variance.sqrt(),
    }


TRAITS = ("photo_lightness", "photo_texture", "photo_contrast")
