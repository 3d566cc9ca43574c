import shutil

import datasets
import numpy as np
import pytest
import torch
from made_photos import made_photo
from PIL import Image

from chromagan.data import DataError, evenly, load_photos


def test_image_folder_with_splits(image_folder):
    photos = load_photos(str(image_folder), "train", size=224)
    assert photos.images.shape == (8, 3, 224, 224) and photos.images.dtype == torch.uint8
    assert photos.gray_dropped == 1
    assert len(load_photos(str(image_folder), "validation", size=64)) == 4
    assert len(load_photos(str(image_folder), "train", size=64, keep_gray=True)) == 9


def test_flat_folder_is_every_split(tmp_path):
    for index in range(3):
        made_photo(index).save(tmp_path / f"{index}.jpg")
    assert len(load_photos(str(tmp_path), "train", size=32)) == 3
    assert len(load_photos(str(tmp_path), "validation", size=32)) == 3


def test_parquet_folder(tmp_path, image_folder):
    for split in ("train", "validation"):
        paths = sorted(str(path) for path in (image_folder / split).rglob("*.png"))
        table = datasets.Dataset.from_dict({"image": paths}).cast_column("image", datasets.Image())
        table.map(lambda row: row).to_parquet(tmp_path / f"{split}-00000-of-00001.parquet")
    from_parquet = load_photos(str(tmp_path), "train", size=64, keep_gray=True)
    from_folder = load_photos(str(image_folder), "train", size=64, keep_gray=True)
    assert torch.equal(from_parquet.images.sort(0)[0], from_folder.images.sort(0)[0])
    assert len(load_photos(str(tmp_path), "validation", size=64)) == 4


def test_channels_are_red_green_blue_and_pixels_stay_in_place(tmp_path):
    """Red at the upper left, green right of it, blue below: BGR, or a reshape in place of a transpose, fails."""
    pixels = np.full((32, 32, 3), 255, dtype=np.uint8)
    pixels[:16, :16], pixels[:16, 16:], pixels[16:, :16] = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    Image.fromarray(pixels).save(tmp_path / "corners.png")
    image = load_photos(str(tmp_path), "train", size=32).images[0]
    assert image[:, 2, 2].tolist() == [255, 0, 0]
    assert image[:, 2, 30].tolist() == [0, 255, 0]
    assert image[:, 30, 2].tolist() == [0, 0, 255]


def test_long_side_is_cropped_in_the_middle(tmp_path):
    pixels = np.zeros((30, 90, 3), dtype=np.uint8)
    pixels[:, 30:60] = (200, 30, 40)
    Image.fromarray(pixels).save(tmp_path / "wide.png")
    image = load_photos(str(tmp_path), "train", size=30).images[0].float()
    assert torch.equal(image, torch.tensor([200.0, 30, 40]).view(3, 1, 1).expand(3, 30, 30))


def test_limit_is_spread_evenly_and_counts_before_gray_is_dropped(image_folder):
    every = load_photos(str(image_folder), "train", size=32, keep_gray=True).images
    assert torch.equal(
        load_photos(str(image_folder), "train", size=32, limit=3, keep_gray=True).images, every[[0, 4, 8]]
    )
    assert len(load_photos(str(image_folder), "train", size=32, limit=1000)) == 8


def test_gray_data_is_refused(tmp_path):
    for index in range(2):
        made_photo(index).convert("L").save(tmp_path / f"{index}.png")
    with pytest.raises(DataError, match="all 2 images taken from .* are gray: there is no color in them"):
        load_photos(str(tmp_path), "train", size=32)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda folder: str(folder), "no Parquet files and no images"),
        (lambda folder: str(folder / "nowhere" / "at" / "all"), "no folder"),
        (lambda folder: shutil.copy(__file__, folder / "notes.txt"), "is a file"),
    ],
)
def test_nothing_to_read_is_one_line(tmp_path, make, message):
    with pytest.raises(DataError, match=message) as error:
        load_photos(str(make(tmp_path)), "train")
    assert "\n" not in str(error.value)


def test_a_damaged_image_is_named(tmp_path):
    made_photo(0).save(tmp_path / "good.png")
    (tmp_path / "torn.png").write_bytes((tmp_path / "good.png").read_bytes()[:200])
    with pytest.raises(DataError, match="torn.png of .* cannot be read"):
        load_photos(str(tmp_path), "train", size=32)


def test_all_damaged_images_are_named_at_once(tmp_path):
    for index in range(4):
        made_photo(index).save(tmp_path / f"{index}.png")
    for name in ("1.png", "3.png"):
        (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:-200])
    with pytest.raises(DataError, match=r"^1.png of .* cannot be read: .*; 1 more cannot be read: 3.png$"):
        load_photos(str(tmp_path), "train", size=32)


def test_missing_split_and_column_are_named(tmp_path):
    datasets.Dataset.from_dict({"x": [1]}).to_parquet(tmp_path / "train-0.parquet")
    with pytest.raises(DataError, match="no column 'image', only x"):
        load_photos(str(tmp_path), "train")
    datasets.Dataset.from_dict({"x": [1]}).to_parquet(tmp_path / "extra-00000-of-00001.parquet")
    with pytest.raises(DataError, match="no split 'validation', only"):
        load_photos(str(tmp_path), "validation")


def test_a_few_are_spread_over_all():
    images = torch.arange(2560)[:, None]
    few = images[evenly(len(images), 256)]
    assert len(few) == 256 and few[0] == 0 and few[-1] == len(images) - 1 and few.diff(dim=0).min() >= 9
    assert torch.equal(images[:5][evenly(5, 256)], images[:5])
