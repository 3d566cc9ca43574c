"""What the command line colors, and how: photos, pages, decoders, options, the refiner."""

import json
import shutil

import numpy as np
import pytest
from commands import chromagan, colorize
from made_photos import made_photo
from PIL import Image
from skimage import color as reference

from chromagan.__main__ import main, parse_args
from chromagan.command_line.plan import make_plan
from chromagan.hub.checkpoints import NAMED_SOURCES, Checkpoint


def test_list(source, capsys):
    entries = json.loads(chromagan("list", "--source", source, "--json").stdout)
    assert [(entry["decoder"], entry["epoch"]) for entry in entries] == [
        ("compact", 0),
        ("compact", 3),
        ("depthwise", 0),
    ]
    assert main(["list", "--source", str(source)]) == 0
    text = capsys.readouterr().out
    assert "epochs 0, 3" in text and "Depthwise convolutions" in text


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["colorize"], "general"),
        (["colorize", "--decoder", "original"], "general"),
        (["colorize", "--decoder", "transposed"], "study"),  # which general does not have
        (["colorize", "--epoch", "3"], "study"),
        (["colorize", "--all"], "study"),
        (["colorize", "--source", "elsewhere"], "elsewhere"),
        (["list"], "study"),
    ],
)
def test_a_photo_is_colored_by_the_network_for_any_kind_where_it_has_what_is_asked_for(
    arguments, expected, tmp_path, monkeypatch
):
    (tmp_path / "general" / "original").mkdir(parents=True)
    monkeypatch.setitem(NAMED_SOURCES, "general", tmp_path / "general")
    command, *options = arguments
    named = ["in.png", "-o", "out.png"] if command == "colorize" else []
    assert parse_args([command, *named, *options]).source == expected


def test_every_decoder_and_epoch_with_a_contact_sheet(source, tmp_path):
    made_photo(0, 90, 120).save(tmp_path / "photo.png")
    assert colorize(source, tmp_path / "photo.png", "-o", tmp_path / "out", "--all") == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "photo-all.jpg",
        "photo-compact-epoch-0.png",
        "photo-compact-epoch-3.png",
        "photo-depthwise-epoch-0.png",
    ]
    sheet = Image.open(tmp_path / "out" / "photo-all.jpg")
    assert sheet.width > 2 * 120 and sheet.height > 2 * 90


def test_processes_share_the_photos(source, tmp_path, monkeypatch):
    (tmp_path / "in").mkdir()
    for index in range(5):
        made_photo(index).save(tmp_path / "in" / f"{index}.png")
    monkeypatch.setenv("WORLD_SIZE", "2")
    for rank, total in (("0", 3), ("1", 5)):
        monkeypatch.setenv("RANK", rank)
        assert colorize(source, tmp_path / "in", "-o", tmp_path / "out") == 0
        assert len(list((tmp_path / "out").iterdir())) == total


@pytest.mark.parametrize(
    "variables",
    [{"RANK": "1"}, {"RANK": ""}, {"WORLD_SIZE": "2"}, {"RANK": "1", "WORLD_SIZE": ""}],
)
def test_a_variable_of_a_launcher_without_its_partner_is_none(tmp_path, monkeypatch, variables):
    """Else nobody would color the photos of the other processes."""
    for index in range(2):
        made_photo(index).save(tmp_path / f"{index}.png")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert len(make_plan([str(tmp_path)], tmp_path / "out", [Checkpoint("compact", 0, str(tmp_path))]).tasks) == 2


@pytest.mark.parametrize("rank, processes", [("0", "0"), ("2", "2"), ("-1", "2"), ("one", "2"), ("0", "2.0")])
def test_variables_of_no_launcher_are_one_line(source, tmp_path, monkeypatch, capsys, rank, processes):
    made_photo(0).save(tmp_path / "photo.png")
    monkeypatch.setenv("RANK", rank)
    monkeypatch.setenv("WORLD_SIZE", processes)
    assert colorize(source, tmp_path / "photo.png", "-o", tmp_path / "out") == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert f"RANK={rank} and WORLD_SIZE={processes} in" in line and line.endswith("unset them")


def test_saturation_and_chroma_reach_the_picture(source, tmp_path):
    made_photo(0, 300, 400).save(tmp_path / "in.png")
    pictures = []
    for index, options in enumerate(([], ["--saturation", "0"], ["--saturation", "2"], ["--chroma", "bilinear"])):
        assert colorize(source, tmp_path / "in.png", "-o", tmp_path / f"{index}.png", *options) == 0
        pictures.append((tmp_path / f"{index}.png").read_bytes())
    assert len(set(pictures)) == 4
    gray = np.asarray(Image.open(tmp_path / "1.png")).astype(int)
    assert np.abs(gray - gray.mean(axis=2, keepdims=True)).max() < 1


def test_what_a_result_cannot_hold_of_the_alpha_channel_is_said(source, tmp_path, capsys):
    photo = made_photo(0, 40, 50)
    photo.putalpha(Image.linear_gradient("L").resize(photo.size))
    photo.save(tmp_path / "clear.png")
    for suffix, kind, words in (("jpg", "JPEG", "transparency"), ("bmp", "BMP", "transparency"),
                                ("gif", "GIF", "half transparency"), ("tif", "TIFF", None)):  # fmt: skip
        assert colorize(source, tmp_path / "clear.png", "-o", tmp_path / f"out.{suffix}") == 0
        *notes, _ = capsys.readouterr().err.splitlines()
        line = f"note: {tmp_path / 'clear.png'}: {kind} cannot hold its {words}: white shows"
        assert notes == ([line] if words else [])


def test_every_page_is_colored_where_the_format_holds_pages(source, tmp_path, capsys):
    pages = [made_photo(seed, 40, 50) for seed in range(3)]
    pages[0].save(tmp_path / "scan.tif", save_all=True, append_images=pages[1:])
    pages[0].save(tmp_path / "film.gif", save_all=True, append_images=pages[1:], duration=[100, 200, 300], loop=4)
    assert colorize(source, tmp_path, "-o", tmp_path / "out") == 0
    written = Image.open(tmp_path / "out" / "scan-compact-epoch-3.tif")
    assert written.n_frames == 3
    for number, page in enumerate(pages):
        written.seek(number)
        L = [reference.rgb2lab(np.asarray(image.convert("RGB")) / 255)[..., 0] for image in (page, written)]
        assert np.abs(L[0] - L[1]).mean() < 0.5
    film = Image.open(tmp_path / "out" / "film-compact-epoch-3.gif")
    durations = []
    for number in range(film.n_frames):
        film.seek(number)
        durations.append(film.info["duration"])
    assert durations == [100, 200, 300] and film.info["loop"] == 4
    capsys.readouterr()
    assert colorize(source, tmp_path / "scan.tif", "-o", tmp_path / "one.jpg") == 0
    line, _ = capsys.readouterr().err.splitlines()
    assert line.endswith("scan.tif: only the first of its 3 pages is colored: JPEG cannot hold several")


@pytest.mark.parametrize(
    "count, options, line",
    [
        (1, [], "colored by {source} (compact, epoch 3, not refined)"),
        (1, ["--epoch", "0", "--refine"], "colored by {source} (compact, epoch 0, refined)"),
        (1, ["--all", "--refine", "1"], "colored by {source} (all 3 networks, refined)"),
        (3, ["--decoder", "depthwise"], "3 of 3 photos colored by {source} (depthwise, epoch 0, not refined)"),
    ],
)
def test_it_is_said_what_colored(refined_source, tmp_path, capsys, count, options, line):
    """Which network colors depends on the flags: see "Which network colors" in docs/coloring.md."""
    for seed in range(count):
        made_photo(seed).save(tmp_path / f"{seed}.png")
    assert colorize(refined_source, tmp_path, "-o", tmp_path / "out", *options) == 0
    out, error = capsys.readouterr()
    assert error.splitlines()[-1] == line.format(source=refined_source) and not out
    assert error.count("colored by") == 1


def test_a_photo_behind_refine_is_no_number_of_steps(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["colorize", "--refine", "photo.jpg", "-o", "c.jpg"])
    (line,) = capsys.readouterr().err.splitlines()
    assert stop.value.code == 2 and line.endswith("got photo.jpg: write the photo before --refine, or --refine 5")


def test_colorize_refines_where_it_is_asked_to(refined_source, source, tmp_path):
    made_photo(0, 90, 100).save(tmp_path / "photo.png")
    pictures = []
    for flags in ([], ["--refine", "1"], ["--refine"], ["--refine", "0"]):
        out = tmp_path / f"{len(pictures)}.png"
        assert (
            main(["colorize", str(tmp_path / "photo.png"), "-o", str(out), "--source", str(refined_source), *flags])
            == 0
        )
        pictures.append(np.asarray(Image.open(out)))
    assert not np.array_equal(pictures[0], pictures[1]) and not np.array_equal(pictures[1], pictures[2])
    assert np.array_equal(pictures[0], pictures[3])


def test_photos_of_any_kind_are_refined_unless_one_says_otherwise(
    refined_source, tmp_path, monkeypatch, capsys, caplog
):
    made_photo(0, 90, 100).save(tmp_path / "photo.png")
    study = shutil.copytree(refined_source, tmp_path / "study")
    monkeypatch.setitem(NAMED_SOURCES, "general", study)

    def picture(*flags: str) -> np.ndarray:
        out = tmp_path / "out.png"
        arguments = ["colorize", str(tmp_path / "photo.png"), "-o", str(out), "--overwrite", "--source", "general"]
        assert main([*arguments, *flags]) == 0
        return np.asarray(Image.open(out))

    default, refined, plain = picture(), picture("--refine"), picture("--refine", "0")
    assert np.array_equal(default, refined) and not np.array_equal(default, plain)
    assert capsys.readouterr().err.splitlines() == [
        f"colored by general (compact, epoch 3, {refined})" for refined in ("refined", "refined", "not refined")
    ]
    (study / "refiner" / "model.safetensors").write_bytes(b"torn")  # not asked for by name: it goes on without
    assert np.array_equal(picture(), plain)
    (note,) = caplog.messages
    assert note.endswith("; the colors are not refined")
    (line,) = capsys.readouterr().err.splitlines()
    assert line == "colored by general (compact, epoch 3, not refined)"


@pytest.mark.parametrize(
    "source_name, steps, status, message",
    [("source", "1", 1, "has no refiner"), ("refined_source", "9", 1, "takes 0 to 2 steps, got 9"),
     ("refined_source", "-1", 2, "0 or more, got -1"), ("refined_source", "none.png", 2, "whole number")],
)  # fmt: skip
def test_a_refiner_that_was_asked_for_and_cannot_be_used_ends_it(
    request, tmp_path, capsys, source_name, steps, status, message
):
    made_photo(0).save(tmp_path / "photo.png")
    folder = request.getfixturevalue(source_name)
    arguments = ["colorize", str(tmp_path / "photo.png"), "-o", str(tmp_path / "out.png"), "--source", str(folder)]
    try:
        assert main([*arguments, "--refine", steps]) == status
    except SystemExit as stop:
        assert stop.code == status
    error = capsys.readouterr().err
    assert message in error and len(error.strip().splitlines()) == 1 and not (tmp_path / "out.png").exists()
