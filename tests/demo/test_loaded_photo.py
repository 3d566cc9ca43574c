import numpy as np
import pytest
from made_photos import made_photo
from PIL import Image, ImageOps

from chromagan.demo.loaded_photo import load_photo
from chromagan.demo.page import first_page
from chromagan.errors import ImageError
from chromagan.imaging.photo import open_image, read_photo


def test_photo_is_upright_and_knows_whether_it_has_color(tmp_path):
    image = made_photo(1, 60, 100)
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees
    image.save(tmp_path / "turned.jpg", exif=exif)
    loaded = load_photo(tmp_path / "turned.jpg", 10**6)
    assert loaded.truth.size == (60, 100) and loaded.shown.L.shape[-2:] == (100, 60)
    assert loaded.colored
    image.convert("L").save(tmp_path / "gray.png")
    assert not load_photo(tmp_path / "gray.png", 10**6).colored
    ImageOps.colorize(image.convert("L"), "#20100a", "#f5e6c8").save(tmp_path / "sepia.jpg", quality=75)
    assert not load_photo(tmp_path / "sepia.jpg", 10**6).colored


@pytest.mark.parametrize("mode", ["1", "P", "L", "LA", "RGBA", "I;16", "CMYK"])
def test_photo_of_any_mode(tmp_path, mode):
    image = made_photo(2, 40, 60)
    image = (
        Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257)
        if mode == "I;16"
        else image.convert(mode)
    )
    path = tmp_path / ("photo.tiff" if mode == "CMYK" else "photo.png")
    image.save(path)
    loaded = load_photo(path, 10**6)
    assert loaded.truth.mode == "RGB" and loaded.truth.size == (60, 40) and loaded.shown.gray_image().size == (60, 40)
    assert (loaded.shown.alpha is not None) == (mode in ("LA", "RGBA"))


def test_photo_of_too_many_pixels_and_of_none(tmp_path):
    Image.new("1", (2000, 1000)).save(tmp_path / "wall.png")
    with pytest.raises(ImageError, match="more than 1 megapixels"):
        load_photo(tmp_path / "wall.png", 10**6)
    (tmp_path / "text.jpg").write_text("no picture")
    with pytest.raises(ImageError, match="not an image"):
        load_photo(tmp_path / "text.jpg", 10**6)


def test_of_several_pages_the_first_is_shown_and_it_is_said(tmp_path):
    made_photo(0).save(tmp_path / "in.tif", save_all=True, append_images=[made_photo(1), made_photo(2)])
    loaded = load_photo(tmp_path / "in.tif", 10**6)
    assert loaded.pages == 3 and np.array_equal(np.asarray(loaded.truth), np.asarray(made_photo(0)))
    assert "first of the file's 3 pages" in first_page(loaded.pages) and first_page(1) == ""


def test_a_transparent_color_of_16_bits_stays_one_when_the_photo_is_scaled(tmp_path):
    """Of two thousand pixels a side, so that the page scales it down: the square is a hole, all else is as it was."""
    pixels = np.full((2000, 2000), 30_000, np.uint16)
    pixels[:1000, :1000] = 65_535
    Image.fromarray(pixels).save(tmp_path / "in.png", transparency=65_535)
    loaded = load_photo(tmp_path / "in.png", 10**7)
    alpha = np.asarray(loaded.shown.alpha)
    assert alpha.shape == (1600, 1600) and not alpha[:790, :790].any() and (alpha[810:] == 255).all()
    L = loaded.shown.L[0, 0, 810:, 810:]
    assert (L - read_photo(Image.new("L", (1, 1), round(30_000 / 257))).L).abs().max() < 0.5


def test_white_is_guessed_from_all_pixels_not_from_their_averages(tmp_path):
    """Of 32 bits, in an image that is shown smaller: a single light pixel decides on the scale."""
    numbers = np.random.default_rng(0).integers(0, 200, (300, 3200)).astype(np.int32)
    numbers[7, 9] = 400
    Image.fromarray(numbers).save(tmp_path / "a.tif")
    whole = read_photo(open_image(tmp_path / "a.tif")).L.mean()
    assert abs(load_photo(tmp_path / "a.tif", 10**7).shown.L.mean() - whole) < 0.1 and whole < 1


def test_a_line_of_pixels_is_scaled_along_itself(tmp_path):
    for size in ((1, 3200), (3200, 1)):
        Image.fromarray(np.linspace(0, 255, 3200).astype(np.uint8).reshape(size[::-1])).save(tmp_path / "a.png")
        L = load_photo(tmp_path / "a.png", 10**7).small.L.flatten()
        assert L[0] < 5 and L[-1] > 95 and (L.diff() >= 0).all()
