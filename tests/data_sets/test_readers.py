"""Folders of data sets as people have them: which photos are which split, what is refused, what is skipped."""

import io
import os
import re
from pathlib import Path

import datasets
import numpy as np
import pyarrow as pa
import pytest
from made_photos import made_photo
from PIL import Image, ImageCms
from pyarrow import parquet

from chromagan.data import DataError, PhotoSet, load_photos
from chromagan.imaging import folders

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 12345\n"


def photo_bytes(seed: int) -> bytes:
    file = io.BytesIO()
    made_photo(seed, 16, 16).save(file, "PNG")
    return file.getvalue()


def write(folder: Path, *names: str) -> Path:
    """A photo in each file, each another one."""
    for seed, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(photo_bytes(seed))
    return folder


def write_parquet(path: Path, images: list, **columns: list) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(pa.table({"image": images} | columns), path)
    return path


def counts(folder: Path) -> tuple[int, int]:
    return len(PhotoSet(str(folder), "train")), len(PhotoSet(str(folder), "validation"))


def refusal(folder: Path, split: str = "train") -> str:
    with pytest.raises(DataError) as error:
        load_photos(str(folder), split, size=16, quiet=True)
    assert "\n" not in str(error.value)
    return str(error.value)


# Splits in folders of images


@pytest.mark.parametrize(
    "names, expected",
    [
        (["a.png", "b.png", "c.png"], (3, 3)),  # no splits
        (["church/a.png", "train_station/a.png", "gas_pump/a.png"], (3, 3)),
        (["train-set/a.png", "my_validation/a.png", "test.old/a.png"], (3, 3)),
        (["train/x/a.png", "train/y/a.png", "validation/x/a.png"], (2, 1)),
        (["train/a.png", "train/b.png", "val/a.png"], (2, 1)),
        (["train/a.png", "train/b.png", "val/a.png", "test/a.png"], (2, 1)),
        (["train/train/a.png", "train/plane/a.png", "val/train/a.png"], (2, 1)),  # a class called train
        (["train/a.png", "train/b.png"], (2, 2)),  # the only split is every split
        (["test/a.png"], (1, 1)),
        (["train/2019/may/a.png", "train/2020/a.png", "val/a.png"], (2, 1)),
        (["[a] *?/1.png", "[b]/2.png", "c/[3].png"], (3, 3)),
    ],
)
def test_a_split_is_a_top_level_folder_of_exactly_that_name(tmp_path, names, expected):
    assert counts(write(tmp_path / "set [1]*?", *names)) == expected


@pytest.mark.parametrize(
    "names, splits, of_both",
    [
        (["train/a.png", "val/b.png"], ("train", "validation"), "validation"),
        (["train/a.png"], ("train", None), None),
        (["validation/a.png"], (None, "validation"), "validation"),
        (["a.png", "b.png"], (None, None), None),
        (["train/a.png", "test/b.png"], ("train", "test"), "test and validation"),
        (["train/a.png", "val/b.png", "test/c.png"], ("train", "validation"), "validation"),
    ],
)
def test_which_split_photos_are_of(tmp_path, names, splits, of_both):
    """None where the only one serves as every split, as in one of several data sets; test may serve as validation."""
    write(tmp_path / "whole", "train/a.png", "validation/b.png"), write(tmp_path / "set", *names)
    several = [str(tmp_path / name) for name in ("whole", "set")]
    assert tuple(PhotoSet(several[1], split, 16).split for split in ("train", "validation")) == splits
    assert PhotoSet(several, "train", 16).split == splits[0]
    assert PhotoSet(several, "validation", 16).split == of_both
    assert load_photos(several[1], "validation", 16, keep_gray=True, quiet=True).split == splits[1]


def test_a_split_that_serves_as_validation_is_named(tmp_path):
    found = PhotoSet(str(write(tmp_path, "train/a.png", "test/b.png", "test/c.png")), "validation", 16)
    assert len(found) == 2 and "(validation: its split 'test'): 2 photos" in found.found[0]


@pytest.mark.parametrize(
    "names, message",
    [
        (["train/a.png", "val/a.png", "validation/a.png"], "both a split 'val' and a split 'validation'"),
        (["train/a.png", "car/a.png", "plane/a.png"], r"split folders \(train\) and other .* \(car, plane\)"),
        (["train/a.png", "validation2/a.png"], r"other folders with images \(validation2\)"),
        (
            ["Train/a.png", "Val/a.png"],
            r"look like splits \(Train, Val\): call them train, validation",
        ),
        (["train2017/a.png", "val2017/a.png"], r"look like splits \(train2017, val2017\)"),
        (["training/a.png", "testing/a.png"], r"look like splits \(testing, training\)"),
        (["imagenette2/train/a.png", "imagenette2/val/a.png"], "not at its top but in .*imagenette2: give that folder"),
        (["test/a.png", "validation/a.png"], "has no split 'train', only test, validation"),
        (
            ["a.png", "b.png", "val/a.png"],
            r"split folders \(val\) but no train, and images beside them \(a.png, b.png\)",
        ),
    ],
)
def test_what_could_be_meant_in_two_ways_is_refused(tmp_path, names, message):
    assert re.search(message, refusal(write(tmp_path, *names), "train" if "'train'" in message else "validation"))


def test_a_split_folder_without_photos_is_not_the_other_split(tmp_path):
    write(tmp_path, "train/a.png")
    (tmp_path / "validation").mkdir()
    assert "no images in" in refusal(tmp_path, "validation")
    assert len(PhotoSet(str(tmp_path), "train")) == 1


def test_classes_are_the_folders_of_a_split(tmp_path):
    names = [
        f"{split}/{wnid}/{n}.png" for split in ("train", "val") for wnid in ("n02979186", "n01440764") for n in "ab"
    ]
    photos = PhotoSet(str(write(tmp_path, *names, "train/n03000684/deep/er/c.png")), "validation", 16)
    assert photos.class_names == ["n01440764", "n02979186", "n03000684"]  # of all splits, in order
    assert photos.labels.tolist() == [0, 0, 1, 1]
    assert PhotoSet(str(tmp_path), "train", 16, limit=3).labels.tolist() == [0, 1, 2]
    assert PhotoSet(str(write(tmp_path, "train/loose.png")), "train", 16).labels is None


# What is found and what is skipped


def test_what_is_skipped_is_said(tmp_path, capsys):
    write(tmp_path, "a/1.png", "a/2.png", "b/3.png", "b/._3.png", ".trash/4.png", "__MACOSX/a/1.png", "b/Thumbs.db")
    for name in ("notes.txt", "labels.txt", "raw.cr2", "LICENSE"):
        (tmp_path / name).write_text("x")
    (tmp_path / "b" / "empty.png").touch()
    (tmp_path / "b" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    made_photo(7, 16, 16).convert("L").save(tmp_path / "a" / "gray.png")
    photos = load_photos(str(tmp_path), "train", size=16)
    assert photos.summary == (
        f"'{tmp_path}' (train: all of it, it has no splits): 4 photos in 2 folders; skipped: 1 .cr2, "
        "2 .txt, 1 broken link, 1 empty file, 2 hidden files, 2 hidden or system folders, 1 without a suffix; "
        "1 left out as gray"
    )
    assert photos.summary in capsys.readouterr().err
    load_photos(str(tmp_path), "train", size=16, quiet=True)
    assert photos.summary not in capsys.readouterr().err
    assert photos.sources == ({"data": str(tmp_path), "folder": True, "photos": 3, "gray": 1},)


def test_every_format_is_read_and_other_systems_folders_are_not(tmp_path):
    """What `colorize` reads of a folder is what training reads of it."""
    photo = made_photo(7, 16, 16)
    for name in ("a.jfif", "b.gif", "c.ppm", "d.avif", "e.jp2", "f.tga"):
        photo.save(tmp_path / name)
    write(tmp_path, "@eaDir/a.png", "#recycle/b.png", "lost+found/c.png", "$RECYCLE.BIN/d.png")
    (tmp_path / "page.pdf").write_bytes(b"%PDF")
    photos = load_photos(str(tmp_path), "train", size=16)
    assert len(photos) == 6
    assert photos.summary.endswith("6 photos in 1 folder; skipped: 1 .pdf, 4 hidden or system folders")


def test_heic_is_named_where_its_package_is_missing(tmp_path, monkeypatch):
    monkeypatch.setattr(folders, "register_heif", lambda: False)
    write(tmp_path, "a.png")
    (tmp_path / "b.HEIC").write_bytes(b"x")
    assert "skipped: 1 .heic (pip install pillow-heif)" in load_photos(str(tmp_path), "train", size=16).summary


def test_photos_beside_the_split_folders_are_said(tmp_path):
    write(tmp_path, "train/a.png", "val/b.png", "sheet.png")
    assert (
        PhotoSet(str(tmp_path), "train", 16)
        .found[0]
        .endswith("1 photos in 1 folder; skipped: 1 outside the split folders")
    )


@pytest.mark.parametrize("link", ["val", "validation", "val2017"])
def test_a_split_that_is_a_broken_link_is_not_the_other_split(tmp_path, link):
    """As where a disk is not mounted."""
    write(tmp_path, "train/a.png")
    (tmp_path / link).symlink_to("/media/notmounted")
    for split in ("train", "validation"):
        assert f"link '{link}' to '/media/notmounted', which cannot be reached: mount" in refusal(tmp_path, split)


def test_broken_links_are_counted_as_such_whatever_their_suffix(tmp_path):
    write(tmp_path, "train/a.png", "val/b.png")
    for name in ("notes", "raw.cr2", "train/dog", "train/test", "test.png"):
        (tmp_path / name).symlink_to(tmp_path / "nowhere")
    assert counts(tmp_path) == (1, 1)
    assert PhotoSet(str(tmp_path), "train", 16).found[0].endswith("skipped: 5 broken links")


def test_links_are_followed_but_not_in_circles(tmp_path):
    elsewhere = write(tmp_path / "elsewhere", "x.png", "y.png")
    data = write(tmp_path / "data", "a/1.png")
    (data / "a" / "link.png").symlink_to(elsewhere / "x.png")
    (data / "b").symlink_to(elsewhere)
    (data / "a" / "back").symlink_to(data)
    (elsewhere / "self").symlink_to(elsewhere)
    photos = PhotoSet(str(data), "train", 16)
    assert [part.name(row) for part in photos.parts for row in range(len(part))] == [
        "a/1.png", "a/link.png", "b/x.png", "b/y.png",
    ]  # fmt: skip
    assert "2 links back to a folder above" in photos.found[0]


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every folder")
def test_a_closed_folder_is_named(tmp_path):
    write(tmp_path, "a/1.png", "b/2.png")
    (tmp_path / "b").chmod(0)
    try:
        assert "b' cannot be read: Permission denied" in refusal(tmp_path)
    finally:
        (tmp_path / "b").chmod(0o700)


def test_pointers_of_git_lfs_are_told_from_files(tmp_path):
    write(tmp_path, "train/a.png", "val/b.png")
    (tmp_path / "val" / "c.png").write_bytes(POINTER)
    assert "1 of 2 files of" in refusal(tmp_path, "validation") and "git lfs pull" in refusal(tmp_path, "validation")
    assert len(PhotoSet(str(tmp_path), "train")) == 1  # which is whole
    (tmp_path / "table").mkdir()
    (tmp_path / "table" / "train-00000-of-00001.parquet").write_bytes(POINTER)
    assert "git lfs pull" in refusal(tmp_path / "table")


def test_a_damaged_photo_is_named_by_its_file_and_its_index_in_the_whole_set(tmp_path):
    write(tmp_path, *(f"{n}.png" for n in range(9)))
    (tmp_path / "4.png").write_bytes(photo_bytes(4)[:100])
    message = r"4.png of .* \(train, index 4\) cannot be read: "
    assert re.match(message, refusal(tmp_path))
    with pytest.raises(DataError, match=message):  # 0, 4 and 8 are taken
        load_photos(str(tmp_path), "train", size=16, limit=3)
    rows = [photo_bytes(n) for n in range(6)]
    rows[4] = rows[4][:100]
    for shard in range(2):
        write_parquet(tmp_path / "table" / f"train-0000{shard}-of-00002.parquet", rows[3 * shard : 3 * shard + 3])
    message = r"row 1 of train-00001-of-00002.parquet of .* \(train, index 4\) cannot be read: "
    assert re.match(message, refusal(tmp_path / "table"))
    with pytest.raises(DataError, match=message):  # 0, 1, 2, 4 and 5 are taken
        load_photos(str(tmp_path / "table"), "train", size=16, limit=5)


# Parquet


@pytest.mark.parametrize(
    "names, expected",
    [
        ({"train-00000-of-00002": 2, "train-00001-of-00002": 1, "validation-00000-of-00001": 1}, (3, 1)),
        ({"data/train-00000-of-00001": 2, "data/val-00000-of-00001": 1}, (2, 1)),  # as `hf download` leaves it
        ({"train.00000": 1, "train.00001": 1, "val.00000": 1}, (2, 1)),
        ({"default/train/0000": 2, "default/validation/0000": 1}, (2, 1)),
        ({"flowers_train": 2, "flowers_val": 1}, (2, 1)),
        ({"photos": 3}, (3, 3)),
        ({"train_station": 3}, (3, 3)),  # one split only is every split
        ({"photos_1": 1, "photos_2": 2}, (3, 3)),
        ({"train-00000-of-00001": 2, "validation-00000-of-00001": 1, "unlabeled-00000-of-00001": 3}, (2, 1)),
        ({"set [1]*?/train-00000-of-00001": 2, "set [1]*?/val-[2]": 1}, (2, 1)),
    ],
)
def test_a_split_of_parquet_is_a_part_of_the_name(tmp_path, names, expected):
    (tmp_path / "README.md").write_text("x")
    for name, count in names.items():
        write_parquet(tmp_path / f"{name}.parquet", [photo_bytes(n) for n in range(count)])
    assert counts(tmp_path) == expected
    assert "skipped: 1 .md" in PhotoSet(str(tmp_path), "train").found[0]


def test_a_file_that_is_replaced_under_the_same_date_is_read_anew(tmp_path):
    """As by cp -p, rsync -t or tar."""
    path = tmp_path / "photos.parquet"
    for color in ("red", "blue"):
        file = io.BytesIO()
        Image.new("RGB", (16, 16), color).save(file, "PNG")
        write_parquet(path, [file.getvalue()])
        os.utime(path, (1000, 1000))
        photo = load_photos(str(tmp_path), "train", size=16).images[0]
        assert photo[:, 0, 0].tolist() == {"red": [255, 0, 0], "blue": [0, 0, 255]}[color]


@pytest.mark.parametrize(
    "names, message",
    [
        (["train-0", "val-0", "validation-0"], "both a split 'val' and a split 'validation'"),
        (["train_val", "test"], "train_val.parquet of .* names several splits .train, val."),
        (["160px/train-0", "320px/train-0"], "in several folders: give one of them .*160px, .*320px"),
        (["train-0", "extra"], "with a split in their name .train-0.parquet. and without .extra.parquet."),
        (["train2017", "val2017"], "train2017.parquet of .* looks like a split but is not one: call it train"),
        (["Train", "Test"], "T.*.parquet of .* looks like a split but is not one: call it train"),
        (["labeled-00000-of-00001", "other-00000-of-00001"], "has no split 'train', only labeled, other"),
    ],
)
def test_names_of_parquet_that_could_mean_two_things_are_refused(tmp_path, names, message):
    for name in names:
        write_parquet(tmp_path / f"{name}.parquet", [photo_bytes(0)])
    assert re.search(message, refusal(tmp_path))


def test_parquet_beside_images_is_refused_and_the_folder_to_give_named(tmp_path):
    write(tmp_path, "banner.png")
    write_parquet(tmp_path / "data" / "train-00000-of-00001.parquet", [photo_bytes(0)])
    assert "both Parquet files (data/train-00000-of-00001.parquet, ...) and images (banner.png, ...)" in refusal(
        tmp_path
    )
    assert f"one kind, such as '{tmp_path}/data'" in refusal(tmp_path)
    assert counts(tmp_path / "data") == (1, 1)


def test_files_without_rows_and_files_that_are_not_there(tmp_path):
    write_parquet(tmp_path / "train-00000-of-00004.parquet", pa.array([], pa.binary()))
    assert refusal(tmp_path) == f"no rows in '{tmp_path}' (train)"
    write_parquet(tmp_path / "train-00002-of-00004.parquet", [photo_bytes(0), b"damaged"])
    photos = PhotoSet(str(tmp_path), "train", 16)
    assert len(photos) == 2
    assert "2 photos in 2 Parquet files, 2 more named by their shard numbers are missing" in photos.found[0]
    assert "row 1 of train-00002-of-00004.parquet" in refusal(tmp_path)


def test_images_in_parquet_in_every_form(tmp_path):
    """Plain bytes, {bytes, path} as pandas leaves it, the Image feature, a path: the same pixels."""
    contents = [photo_bytes(n) for n in range(3)]
    write(tmp_path / "files", "0.png", "1.png", "2.png")
    write_parquet(tmp_path / "bytes" / "a.parquet", contents)
    write_parquet(tmp_path / "struct" / "a.parquet", [{"bytes": c, "path": f"{n}.png"} for n, c in enumerate(contents)])
    write_parquet(tmp_path / "path" / "a.parquet", [{"bytes": None, "path": f"../files/{n}.png"} for n in range(3)])
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["a", "b"])})
    rows = {"image": [{"bytes": c, "path": None} for c in contents], "label": [0, 1, 0]}
    (tmp_path / "feature").mkdir()
    datasets.Dataset.from_dict(rows, features).to_parquet(tmp_path / "feature" / "a.parquet")
    expected = load_photos(str(tmp_path / "files"), "train", size=16, quiet=True).images
    for kind in ("bytes", "struct", "path", "feature"):
        assert load_photos(str(tmp_path / kind), "train", size=16, quiet=True).images.equal(expected), kind
    photos = PhotoSet(str(tmp_path / "feature"), "train", 16)
    assert photos.labels.tolist() == [0, 1, 0] and photos.class_names == ["a", "b"]


@pytest.mark.parametrize(
    "images, message",
    [
        ([1, 2], "column 'image' of .* must hold bytes, or bytes and path, got .*int64"),
        (["a.png", "b.png"], "column 'image' of .* must hold bytes, or bytes and path, got .*string"),
        ([photo_bytes(0), None], r"row 1 of a.parquet of .* \(train, index 1\) cannot be read: the row is empty"),
        ([{"bytes": None, "path": "gone.png"}], "holds only a path, 'gone.png', and that file does not exist"),
        ([b"GIF89a"], "row 0 of a.parquet of .* cannot be read"),
    ],
)
def test_columns_without_images_are_refused(tmp_path, images, message):
    write_parquet(tmp_path / "a.parquet", images)
    assert re.search(message, refusal(tmp_path))


def test_parquet_that_is_none_and_columns_that_differ_are_named(tmp_path):
    parquet.write_table(pa.table({"img": [photo_bytes(0)], "label": [0]}), tmp_path / "train-00000-of-00002.parquet")
    assert "no column 'image', only img, label: rename" in refusal(tmp_path)
    write_parquet(tmp_path / "train-00000-of-00002.parquet", [photo_bytes(0)], label=[0])
    write_parquet(tmp_path / "train-00001-of-00002.parquet", [{"bytes": photo_bytes(1), "path": ""}], label=[0])
    assert re.search("differ: column 'image' is binary in train-00000.* and struct.* in train-00001", refusal(tmp_path))
    write_parquet(tmp_path / "train-00001-of-00002.parquet", [photo_bytes(1)], label=["tench"])
    assert re.search("differ: column 'label' is int64 in train-00000.* and string in train-00001", refusal(tmp_path))
    second = tmp_path / "train-00001-of-00002.parquet"
    second.write_bytes(second.read_bytes()[:-50])
    assert "train-00001-of-00002.parquet of " in refusal(tmp_path) and "it is damaged" in refusal(tmp_path)
    second.write_bytes(b"")
    assert re.search("train-00001-of-00002.parquet of .* cannot be read: it is empty", refusal(tmp_path))


@pytest.mark.parametrize("columns", [["image", "image"], ["image", "label", "label"]])
def test_a_column_that_is_there_twice_is_named(tmp_path, columns):
    table = pa.Table.from_arrays([pa.array([photo_bytes(0)])] * len(columns), names=columns)
    parquet.write_table(table, tmp_path / "a.parquet")
    assert f"a.parquet of '{tmp_path}' has 2 columns '{columns[-1]}': rename or remove all but one" in refusal(tmp_path)


def test_classes_by_name_are_numbered(tmp_path):
    write_parquet(tmp_path / "a.parquet", [photo_bytes(n) for n in range(3)], label=["tench", "church", "tench"])
    photos = PhotoSet(str(tmp_path), "train", 16)
    assert photos.labels.tolist() == [1, 0, 1] and photos.class_names == ["church", "tench"]


# Pixels: read as everywhere else


def test_photos_are_read_upright_and_in_srgb(tmp_path):
    """A red left half: turned by EXIF it is the right one; as a Lab TIFF it is still red."""
    pixels = np.zeros((8, 8, 3), np.uint8)
    pixels[:, :4] = (255, 0, 0)
    upside_down = Image.Exif()
    upside_down[0x0112] = 3
    Image.fromarray(pixels).save(tmp_path / "a.png", exif=upside_down)
    lab = ImageCms.createProfile("LAB")
    in_lab = ImageCms.profileToProfile(
        Image.fromarray(pixels), ImageCms.createProfile("sRGB"), lab, outputMode="LAB"
    )  # fmt: skip
    in_lab.save(tmp_path / "b.tif")
    turned, converted = load_photos(str(tmp_path), "train", size=8, quiet=True).images.int()
    assert (turned[0, :, 4:] == 255).all() and (turned[:, :, :4] == 0).all()
    assert ((converted.movedim(0, -1).numpy() - pixels).__abs__() <= 8).all()


# Several data sets


@pytest.fixture
def two(tmp_path) -> list[str]:
    """Six photos and a gray one in a folder, three in Parquet."""
    made_photo(99, 16, 16).convert("L").save(write(tmp_path / "one", *(f"{n}.png" for n in range(6))) / "gray.png")
    write_parquet(tmp_path / "two" / "a.parquet", [photo_bytes(n) for n in range(10, 13)])
    return [str(tmp_path / "one"), str(tmp_path / "two")]


def test_several_data_sets_are_read_one_behind_another(two):
    both = load_photos(two, "train", size=16, quiet=True)
    each = [load_photos(name, "train", size=16, quiet=True) for name in two]
    assert len(both) == 9 and both.gray_dropped == 1
    assert both.images[:6].equal(each[0].images) and both.images[6:].equal(each[1].images)
    assert both.sources == (
        {"data": two[0], "folder": True, "photos": 6, "gray": 1},
        {"data": two[1], "folder": True, "photos": 3, "gray": 0},
    )
    assert both.summary == f"{each[0].summary}\n{each[1].summary}"
    assert len(PhotoSet(two, "train")) == 10 and len(PhotoSet(two, "train", limit=4)) == 4
    assert load_photos(two[::-1], "train", size=16, quiet=True).images[:3].equal(each[1].images)


def test_a_limit_is_spread_over_all_data_sets(two):
    photos = load_photos(two, "train", size=16, limit=4, quiet=True, keep_gray=True)
    assert photos.images.equal(load_photos(two, "train", size=16, quiet=True, keep_gray=True).images[[0, 3, 6, 9]])
    assert [source["photos"] for source in photos.sources] == [3, 1]
    assert "7 photos in 1 folder; 3 of them are used" in photos.summary


def test_one_of_several_that_cannot_be_used_is_named(two, tmp_path):
    (tmp_path / "gray").mkdir()
    made_photo(0, 16, 16).convert("L").save(tmp_path / "gray" / "g.png")
    for bad, message in (
        ("nowhere/at/all", "no folder 'nowhere/at/all'"),
        (str(tmp_path / "gray"), "all 1 images taken from '.*gray' .train. are gray"),
    ):
        with pytest.raises(DataError, match=message):
            load_photos([*two, bad], "train", size=16, quiet=True)
    Path(two[0], "3.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"3.png of '.*one' \(train, index 3, 6 of all data sets\) cannot be read"):
        load_photos(two[::-1], "train", size=16, quiet=True)
    parquet.write_table(pa.table({"img": [b"x"]}), Path(two[1], "a.parquet"))
    with pytest.raises(DataError, match="'.*two' has no column 'image', only img"):
        load_photos(two, "train", size=16, quiet=True)
    with pytest.raises(DataError, match="no data set is named"):
        load_photos([], "train")


def test_several_data_sets_have_classes_where_they_have_the_same(tmp_path):
    for name in "ab":
        write(tmp_path / name, "cat/1.png", "dog/1.png", "dog/2.png")
    same = PhotoSet([str(tmp_path / name) for name in "ab"], "train", 16)
    assert same.class_names == ["cat", "dog"] and same.labels.tolist() == [0, 1, 1, 0, 1, 1]
    other = write(tmp_path / "c", "cat/1.png", "hen/1.png")
    assert PhotoSet([str(tmp_path / "a"), str(other)], "train", 16).labels is None


def test_a_skipped_name_with_a_line_break_stays_in_its_line(tmp_path):
    write(tmp_path, "a.png", "b.png")
    (tmp_path / "c.jpg\r").write_text("from a list with other line ends")
    (tmp_path / "d.x\u2028y").touch()
    photos = load_photos(str(tmp_path), "train", size=16, keep_gray=True, quiet=True)
    assert len(photos) == 2 and len(photos.summary.splitlines()) == 1


@pytest.mark.parametrize("labels", [[1, None, 0], ["b", None, "a"]])
def test_a_photo_without_a_label_takes_no_class_from_the_others(tmp_path, labels):
    images = [photo_bytes(seed) for seed in range(3)]
    write_parquet(tmp_path / "train-00000-of-00001.parquet", images, label=labels)
    assert PhotoSet(str(tmp_path), "train", 16).labels.tolist() == [1, -1, 0]


def test_labels_that_are_lists_are_no_classes(tmp_path):
    for labels in ([[1], [1, 2]], [[1, 2], [1, 2]]):
        write_parquet(tmp_path / "train-00000-of-00001.parquet", [photo_bytes(0), photo_bytes(1)], label=labels)
        assert PhotoSet(str(tmp_path), "train", 16).labels is None
