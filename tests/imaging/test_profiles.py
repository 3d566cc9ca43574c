"""Who looks at a result through its profile sees the lightness that was in the photo, whatever the profile."""

import io

import numpy as np
import pytest
from made_photos import made_photo
from made_profiles import cmyk_profile, gray_profile, rgb_profile, rgb_table_profile, srgb_curve
from PIL import Image, ImageCms
from skimage import color as reference

from chromagan.colorizer import Prediction, render
from chromagan.imaging import profiles
from chromagan.imaging.photo import open_image, read_photo, srgb_image
from chromagan.imaging.writing import write_image

SRGB = ImageCms.createProfile("sRGB")
RGB = {
    "sRGB": rgb_profile("srgb", srgb_curve), "linear, called sRGB": rgb_profile("srgb", 1.0, "sRGB linear"),
    "sRGB's primaries, gamma 1.8": rgb_profile("srgb", 1.8, "sRGB IEC61966-2.1"), "P3": rgb_profile("p3", srgb_curve),
    "Adobe RGB": rgb_profile("adobe", 2.2), "ProPhoto": rgb_profile("prophoto", 1.8),
    "narrow": rgb_profile("narrow", 2.2), "linear Adobe": rgb_profile("adobe", 1.0),
    "table both ways": rgb_table_profile("adobe", 2.2, back=True),
    "scanner": rgb_table_profile("srgb", 1.5, back=False),
}  # fmt: skip


def test_a_profile_is_not_kept_in_memory():
    """A photo may hold one of many megabytes."""
    for profile in (b"x" * 100_000, None, RGB["P3"]):
        profiles.color_space(profile)
    assert {len(key) for key in profiles.color_space.cache} == {32}


def seen(image: Image.Image) -> np.ndarray:
    """L (H, W) of an image for a reader that heeds its profile."""
    profile = image.info.get("icc_profile")
    if profile:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        image = ImageCms.profileToProfile(image, profile, SRGB, outputMode="RGB")
    return reference.rgb2lab(np.asarray(image.convert("RGB")) / 255)[..., 0]


def colored(image: Image.Image) -> Image.Image:
    """The photo, painted in colors that are as strong as a network's ever are."""
    import torch

    photo = read_photo(image)
    ab = torch.randn(1, 2, 16, 16, generator=torch.Generator().manual_seed(0)) * 40
    L = torch.nn.functional.interpolate(photo.L, (16, 16))
    return render(photo, Prediction(ab, L))


def with_profile(image: Image.Image, profile: bytes) -> Image.Image:
    image.info["icc_profile"] = profile
    return image


@pytest.mark.parametrize("name", RGB)
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".gif"])
def test_colors_are_seen_as_light_as_they_were(tmp_path, name, suffix):
    photo = with_profile(made_photo(0), RGB[name])
    before = seen(photo)
    assert np.abs(read_photo(photo).L[0, 0].numpy() - before).max() < 0.5
    write_image(colored(photo), tmp_path / f"out{suffix}")
    after = seen(open_image(tmp_path / f"out{suffix}"))
    limit = {".png": 0.35, ".bmp": 0.5, ".jpg": 1, ".gif": 4}[suffix]  # what 8 bits, JPEG and 256 colors cost
    assert np.abs(after - before).mean() < limit


def test_an_image_is_srgb_by_what_its_profile_does():
    assert profiles.is_srgb(RGB["sRGB"]) and not any(profiles.is_srgb(RGB[name]) for name in RGB if name != "sRGB")
    named = rgb_profile("srgb", srgb_curve, "c2")
    assert profiles.is_srgb(named) and profiles.is_srgb(ImageCms.ImageCmsProfile(SRGB).tobytes())
    photo = with_profile(made_photo(0), named)
    assert colored(photo).info["icc_profile"] == named
    assert np.array_equal(np.asarray(srgb_image(photo)), np.asarray(made_photo(0)))


def test_a_profile_that_cannot_hold_a_result_is_not_carried():
    """A scanner's cannot be written to; a narrow one changes colors, and 8 bits of linear light the shadows."""
    carried = {name for name in RGB if "icc_profile" in colored(with_profile(made_photo(0), RGB[name])).info}
    assert carried == set(RGB) - {"linear, called sRGB", "narrow", "linear Adobe", "scanner"}


@pytest.mark.parametrize("curve", [1.0, 1.8, srgb_curve, np.linspace(0, 1, 40) ** 3])
def test_grays_are_seen_as_light_as_they_were(curve):
    photo = with_profile(made_photo(0).convert("L"), gray_profile(curve))
    result = colored(photo)
    assert "icc_profile" not in result.info  # a gray profile is none for colors
    assert np.abs(seen(result) - seen(photo)).mean() < 0.35


def test_cmyk_and_lab_are_seen_as_light_as_they_were(tmp_path):
    photo = with_profile(made_photo(0).convert("CMYK"), cmyk_profile())
    photo.save(tmp_path / "in.tif")
    for image in (photo, open_image(tmp_path / "in.tif")):
        result = colored(image)
        assert "icc_profile" not in result.info and np.abs(seen(result) - seen(photo)).mean() < 0.35
        assert np.abs(reference.rgb2lab(np.asarray(srgb_image(image)) / 255)[..., 0] - seen(photo)).max() < 1e-6

    lab = ImageCms.profileToProfile(made_photo(0), SRGB, ImageCms.createProfile("LAB"), outputMode="LAB")
    lab.save(tmp_path / "lab.tif")
    L = seen(made_photo(0))
    for image in (lab, open_image(tmp_path / "lab.tif")):
        difference = np.abs(read_photo(image).L[0, 0].numpy() - L)  # of 8 bits for each of L, a and b
        assert image.mode == "LAB" and difference.mean() < 0.3 and difference.max() < 1.5
        assert np.abs(seen(colored(image)) - L).mean() < 0.5
        assert np.abs(np.asarray(srgb_image(image)).astype(int) - np.asarray(made_photo(0))).mean() < 2


def test_a_profile_of_another_kind_of_image_changes_nothing():
    """A gray photo under an RGB profile, a colored one under a gray or a CMYK one, and damaged ones."""
    damaged = RGB["Adobe RGB"][:200]
    for mode, profile in (
        ("L", RGB["Adobe RGB"]), ("RGB", gray_profile(1.0)), ("RGB", cmyk_profile()), ("CMYK", RGB["Adobe RGB"]),
        ("RGB", damaged), ("L", damaged), ("I;16", damaged), ("RGB", b"nonsense"),
    ):  # fmt: skip
        if mode == "I;16":
            photo = Image.fromarray(np.asarray(made_photo(0).convert("L")).astype(np.uint16) * 257)
        else:
            photo = made_photo(0).convert(mode)
        plain = read_photo(photo).L
        read = read_photo(with_profile(photo, profile))
        assert read.profile is None and bool((plain == read.L).all()), mode
