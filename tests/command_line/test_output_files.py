"""Where the command line writes: nothing is overwritten, no two results have one name, a run goes on."""

import io

import numpy as np
import pytest
from commands import chromagan, colorize
from made_photos import made_photo
from PIL import Image
from skimage import color as reference

from chromagan.command_line import coloring, plan, streams
from chromagan.imaging.contact_sheet import is_contact_sheet


def test_colorize_one_photo_to_a_file(source, tmp_path):
    photo = made_photo(0, 120, 200)
    photo.save(tmp_path / "photo.jpg", quality=95)
    result = chromagan("colorize", tmp_path / "photo.jpg", "-o", tmp_path / "out.png", "--source", source)
    assert result.returncode == 0, result.stderr
    before, after = Image.open(tmp_path / "photo.jpg"), Image.open(tmp_path / "out.png")
    assert after.size == before.size
    L = [reference.rgb2lab(np.asarray(image) / 255)[..., 0] for image in (before, after)]
    assert np.abs(L[0] - L[1]).mean() < 0.5


def test_nothing_is_overwritten_unasked(source, tmp_path, capsys):
    made_photo(0).save(tmp_path / "in.png")
    made_photo(1).save(tmp_path / "out.png")
    before = (tmp_path / "out.png").read_bytes()
    arguments = (tmp_path / "in.png", "-o", tmp_path / "out.png")
    assert colorize(source, *arguments) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "out.png already exists: --overwrite replaces it" in line
    assert (tmp_path / "out.png").read_bytes() == before
    assert colorize(source, *arguments, "--overwrite") == 0
    assert (tmp_path / "out.png").read_bytes() != before


@pytest.mark.parametrize("module, photo", [(coloring, "in.png"), (streams, "-")])
def test_what_appears_during_the_run_is_not_overwritten_unasked(source, tmp_path, capsys, monkeypatch, module, photo):
    """Such as the result of a second run: it is neither replaced, nor taken for one of this run."""
    made_photo(0).save(tmp_path / "in.png")
    output, color_pages = tmp_path / "out.png", coloring.color_pages

    def meanwhile(*arguments):
        made_photo(1).save(output)
        return color_pages(*arguments)

    monkeypatch.setattr(module, "color_pages", meanwhile)
    for flags, status in (((), 1), (("--skip-existing",), 0), (("--overwrite",), 0)):
        output.unlink(missing_ok=True)
        with (tmp_path / "in.png").open("rb") as stdin:
            monkeypatch.setattr("sys.stdin", io.TextIOWrapper(stdin))
            assert colorize(source, photo if photo == "-" else tmp_path / photo, "-o", output, *flags) == status
        assert ("out.png already exists: --overwrite replaces it" in capsys.readouterr().err) == (status == 1)
        kept = np.array_equal(Image.open(output), made_photo(1))
        assert kept == ("--overwrite" not in flags)


def test_another_photo_that_was_named_is_not_replaced_even_if_asked(source, tmp_path, capsys):
    photos = [tmp_path / name for name in ("a.png", "a-compact-epoch-3.png")]
    for seed, path in enumerate(photos):
        made_photo(seed).save(path)
    before = photos[1].read_bytes()
    assert colorize(source, *photos, "-o", tmp_path, "--decoder", "compact", "--epoch", "3", "--overwrite") == 1
    assert f"would replace {photos[1]}, which is itself an input" in capsys.readouterr().err
    assert photos[1].read_bytes() == before
    chosen = ["--decoder", "compact", "--epoch", "3", "--skip-existing"]
    assert colorize(source, *photos, "-o", tmp_path, *chosen) == 0  # as a shell's *.png names them the next time
    assert photos[1].read_bytes() == before


def test_a_link_to_nothing_is_not_written_through(source, tmp_path, capsys):
    (tmp_path / "in").mkdir()
    made_photo(0).save(tmp_path / "in" / "a.png")
    (tmp_path / "out").mkdir()
    for link in (tmp_path / "out" / "a-compact-epoch-3.png", tmp_path / "single.png"):
        link.symlink_to(tmp_path / "elsewhere.png")
    assert colorize(source, tmp_path / "in", "-o", tmp_path / "out") == 1
    assert colorize(source, tmp_path / "in" / "a.png", "-o", tmp_path / "single.png") == 1
    assert capsys.readouterr().err.count("already exists: --overwrite replaces it") == 2
    assert not (tmp_path / "elsewhere.png").exists()


@pytest.mark.parametrize("output", ["in.png", "link.png"])
def test_the_photo_itself_is_not_replaced_even_if_asked(source, tmp_path, capsys, output):
    made_photo(0).save(tmp_path / "in.png")
    (tmp_path / "link.png").symlink_to("in.png")
    before = (tmp_path / "in.png").read_bytes()
    assert colorize(source, tmp_path / "in.png", "-o", tmp_path / output, "--overwrite") == 1
    assert "its result would replace the photo itself: give it another name" in capsys.readouterr().err
    assert (tmp_path / "in.png").read_bytes() == before


@pytest.mark.parametrize("letter", ["n", "ß", "📷"])
def test_the_longest_name_that_a_file_may_have(source, tmp_path, letter):
    """The result's is longer by the decoder and the epoch. Names that differ at their end only stay two."""
    (tmp_path / "in").mkdir()
    stem = letter * (250 // len(letter.encode()))
    for end in "ab":
        made_photo(0).save(tmp_path / "in" / f"{stem[:-1]}{end}.png")
    assert colorize(source, tmp_path / "in", "-o", tmp_path / "out", "--all") == 0
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert len(names) == 2 * 4 and all(name.startswith(stem[:20]) for name in names)
    assert sum(name.endswith("-compact-epoch-3.png") for name in names) == 2
    assert colorize(source, tmp_path / "in", "-o", tmp_path / "out", "--all", "--skip-existing") == 0


def test_folders_keep_their_shape_and_patterns_are_expanded(source, tmp_path):
    for name in ("a/photo.png", "b/photo.png", "b/deep/other.jpg"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        made_photo(0).save(tmp_path / "in" / name)
    assert colorize(source, tmp_path / "in", "-o", tmp_path / "out") == 0
    written = sorted(str(p.relative_to(tmp_path / "out")) for p in (tmp_path / "out").rglob("*.*"))
    assert written == [
        "a/photo-compact-epoch-3.png",
        "b/deep/other-compact-epoch-3.jpg",
        "b/photo-compact-epoch-3.png",
    ]
    assert colorize(source, tmp_path / "in" / "b" / "*.png", "-o", tmp_path / "glob.png") == 0
    assert (tmp_path / "glob.png").is_file()


@pytest.mark.parametrize("name", ["scans.2024/", "out.jpg/", "plain/", "out.jpg/."])
def test_a_slash_at_the_end_means_a_folder(source, tmp_path, name):
    made_photo(0).save(tmp_path / "a.png")
    for photos in ([tmp_path / "a.png"], [tmp_path / "*.png"], [tmp_path]):  # all are this one
        assert colorize(source, *photos, "-o", f"{tmp_path}/{name}", "--overwrite") == 0
        assert [path.name for path in (tmp_path / name).iterdir()] == ["a-compact-epoch-3.png"]


def test_two_photos_of_one_name_do_not_replace_each_other(source, tmp_path, capsys):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        made_photo(0).save(tmp_path / name / "photo.png")
    status = colorize(source, tmp_path / "a/photo.png", tmp_path / "b/photo.png", "-o", tmp_path / "out")
    assert status == 1 and "would replace those of" in capsys.readouterr().err
    assert len(list((tmp_path / "out").iterdir())) == 1


@pytest.mark.parametrize("folds, written", [(True, 1), (False, 2)])
def test_names_that_are_one_on_some_disks(source, tmp_path, capsys, monkeypatch, folds, written):
    """They are two on this one: what tells such a disk is replaced."""
    assert not plan.folds_case(tmp_path) and not plan.folds_case(tmp_path / "new" / "deeper")
    monkeypatch.setattr(plan, "folds_case", lambda folder: folds)
    for name in ("x/A.png", "y/a.png"):
        (tmp_path / name).parent.mkdir()
        made_photo(0).save(tmp_path / name)
    status = colorize(source, tmp_path / "x/A.png", tmp_path / "y/a.png", "-o", tmp_path / "out")
    assert (status == 1) == folds == ("would replace those of" in capsys.readouterr().err)
    assert len(list((tmp_path / "out").iterdir())) == written


def test_a_run_that_was_cut_off_goes_on(source, tmp_path, capsys):
    (tmp_path / "in").mkdir()
    for index in range(3):
        made_photo(index).save(tmp_path / "in" / f"{index}.png")
    assert colorize(source, tmp_path / "in", "-o", tmp_path / "out") == 0
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}
    lost = sorted(times)[1]
    lost.unlink()
    assert colorize(source, tmp_path / "in", "-o", tmp_path / "out", "--skip-existing") == 0
    assert {path for path in times if path.stat().st_mtime_ns != times[path]} == {lost}
    assert capsys.readouterr().err.splitlines()[-1] == (
        f"1 of 3 photos colored by {source} (compact, epoch 3, not refined), 2 kept"
    )
    for photos, line in (("in", "0 of 3 photos colored, 3 kept"), ("in/0.png", "0 of 1 photo colored, 1 kept")):
        assert colorize(source, tmp_path / photos, "-o", tmp_path / "out", "--skip-existing") == 0  # nothing left to do
        assert capsys.readouterr().err == f"{line}\n"


def test_photos_that_are_refused_before_the_run_count_too(source, tmp_path, capsys):
    for folder in ("in", "out"):
        (tmp_path / folder).mkdir()
    for name in ("a", "b"):
        made_photo(0).save(tmp_path / "in" / f"{name}.png")
    (tmp_path / "out" / "a-compact-epoch-3.png").touch()
    by = f"by {source} (compact, epoch 3, not refined)"
    for line in (f"1 of 2 photos colored {by}", "0 of 2 photos colored"):
        assert colorize(source, tmp_path / "in", "-o", tmp_path / "out") == 1
        said = capsys.readouterr().err
        assert "already exists" in said and said.splitlines()[-1] == line


def test_skipping_leaves_what_exists_of_a_half_done_photo(source, tmp_path):
    made_photo(0, 90, 120).save(tmp_path / "photo.png")
    arguments = (tmp_path / "photo.png", "-o", tmp_path / "out", "--all")
    assert colorize(source, *arguments) == 0
    lost, *there = sorted((tmp_path / "out").iterdir())
    lost.unlink()
    there[0].write_bytes(b"the user's own")
    times = {path: path.stat().st_mtime_ns for path in there}
    assert colorize(source, *arguments, "--skip-existing") == 0
    assert lost.exists() and {path: path.stat().st_mtime_ns for path in there} == times


def test_what_a_run_left_is_not_colored_by_the_next(source, tmp_path, capsys):
    made_photo(0).save(tmp_path / "a.png")
    (tmp_path / "b.txt").touch()
    for output in (tmp_path / "colored", tmp_path, tmp_path / "again"):
        for _ in range(2):
            assert colorize(source, tmp_path, "-o", output, "--overwrite", "--all") == 0
            assert "1 .txt" in capsys.readouterr().err
    for folder in ("colored", ".", "again"):
        assert len(list((tmp_path / folder).glob("*-*"))) == 4, folder  # three checkpoints and a sheet


def test_photos_of_ones_own_in_the_output_folder_are_colored_once(source, tmp_path, capsys):
    for name in ("a.png", "deep/b.png", "out/own.png", "out/deep/own.png", f"out/{'n' * 240}.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        made_photo(0).save(tmp_path / name)
    own = {path: path.read_bytes() for path in tmp_path.rglob("*.png")}
    for options in (["--all"], ["--all", "--overwrite"], ["--all", "--skip-existing"]):
        assert colorize(source, tmp_path, "-o", tmp_path / "out", *options) == 0
        made = {path.relative_to(tmp_path / "out") for path in tmp_path.rglob("*.*") if path not in own}
        assert len(made) == 5 * 4 and {str(path.parent) for path in made} == {".", "deep", "out", "out/deep"}
    assert "skipped: 20 results of earlier runs" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in own} == own


def test_a_photo_that_is_named_like_a_contact_sheet_is_a_photo(source, tmp_path, capsys):
    """Beside results of family.jpg, too: only a mark in the file tells the sheet."""
    photos = [tmp_path / name for name in ("family.jpg", "family-all.jpg")]
    for seed, path in enumerate(photos):
        made_photo(seed).save(path)
    before = photos[1].read_bytes()
    assert colorize(source, tmp_path, "-o", tmp_path) == 0
    assert (tmp_path / "family-all-compact-epoch-3.jpg").exists()
    for inputs, options in ((tmp_path, ["--overwrite"]), (photos[0], ["--overwrite"]), (photos[0], [])):
        assert colorize(source, inputs, "-o", tmp_path, "--all", *options) == 1
        (line,) = (line for line in capsys.readouterr().err.splitlines() if line.startswith("chromagan: "))
        assert f"{photos[0]}: its contact sheet would replace {photos[1]}, and the file there is not marked" in line
    assert colorize(source, photos[0], "-o", tmp_path, "--all", "--skip-existing") == 0  # the colorings that lack
    assert (tmp_path / "family-depthwise-epoch-0.jpg").exists() and photos[1].read_bytes() == before
    photos[1].rename(tmp_path / "aunts.jpg")
    for _ in range(2):  # a sheet that is marked is replaced
        assert colorize(source, photos[0], "-o", tmp_path, "--all", "--overwrite") == 0
    assert is_contact_sheet(photos[1])


def test_a_phones_photo_beside_its_twin(source, tmp_path):
    """Both would be named alike as JPEG: the one whose format changes keeps its old suffix in the name."""
    made_photo(0).save(tmp_path / "IMG_1.jpg")
    made_photo(1).convert("L").save(tmp_path / "IMG_1.pgm")
    made_photo(1).convert("L").save(tmp_path / "IMG_1.png")
    assert colorize(source, tmp_path, "-o", tmp_path / "out") == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "IMG_1-compact-epoch-3.jpg",
        "IMG_1-compact-epoch-3.png",
        "IMG_1.pgm-compact-epoch-3.png",
    ]


@pytest.mark.parametrize("stem", ["IMG.1", "n" * 240])
def test_photos_that_differ_in_their_suffix_have_sheets_of_their_own(source, tmp_path, capsys, stem):
    for suffix in (".jpg", ".png", ".pgm"):
        made_photo(0).convert("L").save(tmp_path / f"{stem}{suffix}")
    assert colorize(source, tmp_path, "-o", tmp_path / "out", "--all") == 0
    sheets = sorted(path.name for path in (tmp_path / "out").glob("*-all.jpg"))
    assert [name[-12:] for name in sheets] == [".jpg-all.jpg", ".pgm-all.jpg", ".png-all.jpg"]
    assert len(list((tmp_path / "out").iterdir())) == 3 * 4
    made_photo(1).save(tmp_path / "out" / "IMG-all.jpg")  # the user's own
    capsys.readouterr()
    assert colorize(source, tmp_path / "out", "-o", tmp_path / "again") == 0
    assert "skipped: 12 results of earlier runs" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "again").iterdir()] == ["IMG-all-compact-epoch-3.jpg"]


def test_a_photo_that_is_named_twice_has_one_sheet_of_the_usual_name(source, tmp_path):
    made_photo(0).save(tmp_path / "a.png")
    assert colorize(source, tmp_path / "a.png", tmp_path / "a.*", "-o", tmp_path / "out", "--all") == 0
    assert [path.name for path in (tmp_path / "out").glob("*.jpg")] == ["a-all.jpg"]


def test_one_photo_into_a_file_without_a_suffix(source, tmp_path, capsys):
    made_photo(0).save(tmp_path / "a.png")
    (tmp_path / "out").touch()
    assert colorize(source, tmp_path / "a.png", "-o", tmp_path / "out") == 1
    assert "out: cannot write a file without a suffix" in capsys.readouterr().err


def test_long_work_shows_a_bar_over_pages_and_networks(source, tmp_path, capsys):
    made_photo(0).save(tmp_path / "photo.png")
    made_photo(0).save(tmp_path / "book.tif", save_all=True, append_images=[made_photo(1)] * 4)
    for photo, options, pictures in (("photo.png", [], 1), ("photo.png", ["--all"], 3), ("book.tif", [], 5)):
        assert colorize(source, tmp_path / photo, "-o", tmp_path / "out", *options, "--overwrite") == 0
        error = capsys.readouterr().err
        assert ("colorize:" in error) == (pictures > 1), photo
        assert pictures == 1 or f"| {pictures}/{pictures} [" in error
