"""Measures of colorization: how far from the truth, how colorful, and how clean at the boundaries.

Images are sRGB (B, 3, H, W) in [0, 1], rounded to 8 bits by the caller where 8-bit output is measured, or Lab
(B, 3, H, W) if a parameter is called lab; they return one number per image, (B,), NaN if an image has nothing to
measure. No number depends on the rest of the batch. Means are float64.
PSNR rewards gray: never show it without colorfulness.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from chromagan.imaging import color
from chromagan.measures.segmentation import blur, canny, filter_inside, gradient, superpixels, thin_edges


def psnr(image: Tensor, truth: Tensor) -> Tensor:
    """Peak signal-to-noise ratio in dB over all pixels and channels; infinite for equal images."""
    return -10 * (image - truth).square().flatten(1).mean(dim=1, dtype=torch.float64).log10()


class StructuralSimilarity:
    """SSIM (Wang et al. 2004) against true images, the mean over the three channels; 1 for equal images.

    Their Gaussian window (11 x 11, sigma 1.5), K1 = 0.01, K2 = 0.03, population covariances, and only windows that lie
    inside the image: scikit-image's with gaussian_weights=True, sigma=1.5, use_sample_covariance=False.
    """

    WINDOW = 11

    def __init__(self, truth: Tensor):
        if min(truth.shape[-2:]) < self.WINDOW:
            raise ValueError(f"SSIM needs images of 11x11 pixels and more, got {truth.shape[-2]}x{truth.shape[-1]}")
        kernel = torch.exp(-0.5 * (torch.arange(-5, 6, dtype=torch.float64) / 1.5) ** 2)
        self.kernel = kernel / kernel.sum()
        self.truth = truth - 0.5  # centered at 0, where float32 is more accurate for variances
        self.mean, square = self._windows(torch.cat([self.truth, self.truth.square()], dim=1)).split(3, dim=1)
        self.variance = square - self.mean.square()

    def _windows(self, maps: Tensor) -> Tensor:
        """Weighted means over all windows: (B, C, H, W) -> (B, C, H - 10, W - 10)."""
        return filter_inside(maps, self.kernel)

    def __call__(self, image: Tensor) -> Tensor:
        x = image - 0.5
        mean, square, product = self._windows(torch.cat([x, x * x, x * self.truth], dim=1)).split(3, dim=1)
        variance, covariance = square - mean * mean, product - mean * self.mean
        mean, true_mean = mean + 0.5, self.mean + 0.5
        C1, C2 = 0.01**2, 0.03**2
        similarity = (2 * mean * true_mean + C1) * (2 * covariance + C2)
        similarity /= (mean * mean + true_mean * true_mean + C1) * (variance + self.variance + C2)
        return similarity.flatten(1).mean(dim=1, dtype=torch.float64)


def ssim(image: Tensor, truth: Tensor) -> Tensor:
    """Structural similarity of sRGB images; see StructuralSimilarity, which caches the truth's part."""
    return StructuralSimilarity(truth)(image)


def colorfulness(image: Tensor) -> Tensor:
    """Hasler and Süsstrunk 2003, M3, on 8-bit sRGB values: 0 for gray, 40.1 for Imagenette's
    validation photos in color."""
    r, g, b = (255 * image).flatten(2).unbind(dim=1)  # (B, P) each
    opponents = torch.stack([r - g, (r + g) / 2 - b])  # red-green, yellow-blue
    mean = opponents.mean(dim=2, dtype=torch.float64)
    variance = (opponents - mean[..., None].to(opponents)).square_().mean(dim=2, dtype=torch.float64)
    return variance.sum(dim=0).sqrt() + 0.3 * mean.square().sum(dim=0).sqrt()


def mean_chroma(image: Tensor) -> Tensor:
    """Mean CIELAB chroma, sqrt(a^2 + b^2). Below GRAY_CHROMA an image counts as gray."""
    return color.srgb_to_lab(image)[:, 1:].square().sum(dim=1).sqrt().flatten(1).mean(dim=1, dtype=torch.float64)


GRAY_CHROMA = 2.0


def chroma_beyond_tone(image: Tensor) -> Tensor:
    """Mean CIELAB chroma (B,) that lightness alone does not explain: the residual of a and b, at most 64 pixels a side,
    after linear regression on L.

    A print toned in one hue, such as sepia, has less than GRAY_CHROMA of it, like a gray photo, however strong its
    tone: it has no colors to compare with. Among the color photos of Imagenette and Caltech-101, 1 % do.
    """
    scale = min(64 / max(image.shape[-2:]), 1)
    size = [max(1, round(side * scale)) for side in image.shape[-2:]]
    lab = color.srgb_to_lab(F.interpolate(image, size=size, mode="area")).flatten(2).to(torch.float64)
    deviations = lab - lab.mean(dim=2, keepdim=True)
    L, ab = deviations[:, :1], deviations[:, 1:]
    slopes = (L * ab).sum(dim=2, keepdim=True) / L.square().sum(dim=2, keepdim=True).clamp(min=1e-9)
    return (ab - slopes * L).square().sum(dim=1).sqrt().mean(dim=1)


def ciede2000(lab_1: Tensor, lab_2: Tensor) -> Tensor:
    """Color difference of Lab images (B, 3, H, W), per pixel (B, H, W); kL = kC = kH = 1.

    CIE 142-2001, in the form of Sharma, Wu and Dalal 2005, whose equation numbers are at the right.
    """
    L1, a1, b1 = lab_1.unbind(dim=1)
    L2, a2, b2 = lab_2.unbind(dim=1)
    mean_C_7 = _power_7((torch.hypot(a1, b1) + torch.hypot(a2, b2)) / 2)  # (2), (3)
    G = 0.5 * (1 - (mean_C_7 / (mean_C_7 + 25**7)).sqrt())  # (4)
    a1, a2 = (1 + G) * a1, (1 + G) * a2  # (5)
    C1, C2 = torch.hypot(a1, b1), torch.hypot(a2, b2)  # (6)
    h1, h2 = torch.atan2(b1, a1) % (2 * math.pi), torch.atan2(b2, a2) % (2 * math.pi)  # (7)

    # Where either is gray, which (10) and (14) treat apart, dH is 0, and no hue has an effect.
    dh = h2 - h1
    dh = torch.where(dh.abs() > math.pi, dh - dh.sign() * 2 * math.pi, dh)  # (10)
    dH = 2 * (C1 * C2).sqrt() * torch.sin(dh / 2)  # (11)

    mean_L, mean_C = (L1 + L2) / 2, (C1 + C2) / 2  # (12), (13)
    total_h = h1 + h2
    turned = torch.where(total_h < 2 * math.pi, total_h + 2 * math.pi, total_h - 2 * math.pi)
    mean_h = torch.where((h1 - h2).abs() > math.pi, turned, total_h) / 2  # (14)

    T = (
        1
        - 0.17 * torch.cos(mean_h - math.radians(30))
        + 0.24 * torch.cos(2 * mean_h)
        + 0.32 * torch.cos(3 * mean_h + math.radians(6))
        - 0.20 * torch.cos(4 * mean_h - math.radians(63))
    )  # (15)
    turn = math.radians(30) * torch.exp(-(((torch.rad2deg(mean_h) - 275) / 25) ** 2))  # (16)
    mean_C_7 = _power_7(mean_C)
    R_C = 2 * (mean_C_7 / (mean_C_7 + 25**7)).sqrt()  # (17)
    S_L = 1 + 0.015 * (mean_L - 50) ** 2 / (20 + (mean_L - 50) ** 2).sqrt()  # (18)
    S_C = 1 + 0.045 * mean_C  # (19)
    S_H = 1 + 0.015 * mean_C * T  # (20)
    R_T = -torch.sin(2 * turn) * R_C  # (21)

    L_term, C_term, H_term = (L2 - L1) / S_L, (C2 - C1) / S_C, dH / S_H
    squared = L_term**2 + C_term**2 + H_term**2 + R_T * C_term * H_term
    return squared.clamp_min(0).sqrt()  # (22); rounding can take a zero below zero


def _power_7(x: Tensor) -> Tensor:
    cube = x * x * x  # pow on a whole plane takes as long as the rest of the formula
    return cube * cube * x


EDGE_RADIUS = 4  # pixels from a true chroma edge that count as near it
EDGE_LOW, EDGE_HIGH = 2.0, 4.0  # Lab units per pixel; a step of 12.5 units, blurred, has a slope of 4


def chroma_edges(lab: Tensor) -> Tensor:
    """Where color, not lightness, changes: bool (B, H, W) from Lab (B, 3, H, W).

    Canny edges of a and b together (blurred by sigma 1): the strength is the norm of both gradients, the direction that
    of the stronger one. Thresholds are in Lab units per pixel, so that an image without chroma edges has none.
    """
    (dy_a, dx_a), (dy_b, dx_b) = (gradient(blur(plane, 1.0)) for plane in (lab[:, 1], lab[:, 2]))
    size_a, size_b = torch.hypot(dy_a, dx_a), torch.hypot(dy_b, dx_b)
    scale = torch.hypot(size_a, size_b) / torch.maximum(size_a, size_b).clamp_min(1e-12)
    stronger = size_a >= size_b
    dy, dx = torch.where(stronger, dy_a, dy_b) * scale, torch.where(stronger, dx_a, dx_b) * scale
    return thin_edges(dy, dx, EDGE_LOW, EDGE_HIGH)


def near_edges(edges: Tensor, radius: int = EDGE_RADIUS) -> Tensor:
    """Pixels within `radius` of an edge, in Euclidean distance: bool (B, H, W) from bool (B, H, W)."""
    at = torch.arange(-radius, radius + 1, device=edges.device)
    disc = (at[:, None] ** 2 + at**2 <= radius**2).float()
    return F.conv2d(edges[:, None].float(), disc[None, None], padding=radius)[:, 0] > 0.5


def boundary_means(difference: Tensor, near: Tensor) -> tuple[Tensor, Tensor]:
    """Means of a map (B, H, W) over the pixels `near` (bool) true edges and over the others; NaN if there are none."""
    difference, inside = difference.flatten(1).double(), near.flatten(1).double()
    total, near_total = difference.sum(dim=1), (difference * inside).sum(dim=1)
    count = inside.sum(dim=1)
    return near_total / count, (total - near_total) / (inside.shape[1] - count)


class ClusterDiscrepancy:
    """Cluster discrepancy ratio (CDR) against one true image: how well its color edges keep clusters apart.

    Kim et al., "Deep Edge-Aware Interactive Colorization against Color-Bleeding Effects", ICCV 2021, after the code
    its authors released. For the channels a and b, each on its own, with clusters S (superpixels) of the truth and of
    the image, and for each edge pixel i of the truth (Canny),

        CDR_i = |{j in W_i: S_truth(j) != S_truth(i), S(j) != S(i)}| / |{j in W_i: S_truth(j) != S_truth(i)}|,

    where W_i is the 9 x 9 window around i; 1 if no pixel of W_i is in another true cluster. It is the share of true
    separations that the image keeps: 1 is best, and color that bleeds over an edge lowers it. The value is the mean
    over the edge pixels, then over both channels.

    Canny (sigma 1.2, quantiles 0.2 and 0.7) and the superpixels (250, compactness 10) have the authors' settings.
    Choices and deviations: pixels outside the image are not neighbors (in their code, they count as another cluster); a
    channel whose range in the truth is below one Lab unit has no edges and is left out, NaN if both are; the
    superpixels are those of `chromagan.measures.segmentation`, not scikit-image's, which take ten times as long: over
    80 colorings of Imagenette photos the two CDRs differed by 0.013 in the mean, with a correlation of 0.96.
    """

    WINDOW = 4  # half its width

    def __init__(self, lab_truth: Tensor):
        """lab_truth: Lab (3, H, W)."""
        ab = lab_truth[1:].float().cpu()
        edges, labels = canny(ab), superpixels(ab)
        self.channels = [
            (channel, *self._separations(edges[channel], labels[channel]))
            for channel in range(2)
            if ab[channel].max() - ab[channel].min() >= 1
        ]

    def _separations(self, edges: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor, float]:
        """Pairs (i, j) of flat indices that the truth separates, their weights, and the CDR if all were joined."""
        height, width = edges.shape
        y, x = edges.nonzero().int().unbind(dim=1)
        at = torch.arange(-self.WINDOW, self.WINDOW + 1, dtype=torch.int32)
        ys, xs = y[:, None, None] + at[:, None], x[:, None, None] + at  # (E, 9, 1), (E, 1, 9)
        inside = ((ys >= 0) & (ys < height)) & ((xs >= 0) & (xs < width))
        neighbors = (ys.clamp(0, height - 1) * width + xs.clamp(0, width - 1)).flatten(1)  # (E, 81)
        own = y * width + x
        flat = labels.flatten()
        apart = inside.flatten(1) & (flat[neighbors] != flat[own][:, None])
        sizes = apart.sum(dim=1)
        weights = 1 / (sizes.double().clamp_min(1) * len(own))
        edge, _ = apart.nonzero().unbind(dim=1)
        return own[edge].long(), neighbors[apart].long(), weights[edge], float((sizes == 0).double().mean())

    def __call__(self, lab: Tensor) -> float:
        """CDR, in [0, 1], of Lab (3, H, W)."""
        if not self.channels:
            return math.nan
        labels = superpixels(lab[1:].float().cpu()).flatten(1)
        ratios = []
        for channel, own, neighbors, weights, without in self.channels:
            flat = labels[channel]
            apart = flat.index_select(0, own) != flat.index_select(0, neighbors)
            ratios.append(without + float(torch.dot(weights, apart.double())))
        return sum(ratios) / len(ratios)


def frechet_distance(features_1: Tensor, features_2: Tensor) -> float:
    """Squared Fréchet distance between the Gaussians of two sets of features (N, D) and (M, D); NaN for N or M below 2.

        |mean_1 - mean_2|^2 + tr(C_1 + C_2 - 2 (C_1 C_2)^(1/2))

    (Dowson and Landau 1982; Heusel et al. 2017, whose FID it is on Inception's features.) Sample covariances. It is
    biased upward for small sets: compare only values from equally many images.
    """
    if min(len(features_1), len(features_2)) < 2:
        return math.nan
    (mean_1, scaled_1), (mean_2, scaled_2) = (_mean_and_root(features) for features in (features_1, features_2))
    # With C = X^T X, tr (C_1 C_2)^(1/2) is the nuclear norm of X_1 X_2^T; X is first reduced to at most D rows.
    shared = torch.linalg.svdvals(scaled_1 @ scaled_2.T).sum()
    distance = (mean_1 - mean_2).square().sum() + scaled_1.square().sum() + scaled_2.square().sum() - 2 * shared
    return max(distance.item(), 0.0)


def _mean_and_root(features: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (D,) of features (N, D), and X of at most min(N, D) rows with X^T X their sample covariance."""
    features = features.double()
    mean = features.mean(dim=0)
    X = (features - mean) / math.sqrt(len(features) - 1)
    return mean, torch.linalg.qr(X, mode="r").R if len(X) > X.shape[1] else X
