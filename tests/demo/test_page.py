"""The page's HTML where a browser is not needed: what comes from outside stays text."""

import shutil
from html.parser import HTMLParser
from pathlib import Path

from chromagan.demo import page
from chromagan.demo.source import CheckpointSource
from chromagan.hub.files import write_json
from chromagan.measures.catalog import MEASURES

BAD = "<img src=x onerror='alert(1)'>"


class Elements(HTMLParser):
    """Names of the elements, and all text and attributes, as a browser reads them."""

    def __init__(self, text: str):
        super().__init__()
        self.names, self.words = [], []
        self.feed(text)

    def handle_starttag(self, name, attributes):
        self.names.append(name)
        self.words += [value for _, value in attributes if value]

    def handle_data(self, data):
        self.words.append(data)


def picture(name: str) -> page.Picture:
    return page.Picture(Path(f"/files/{name}.jpg"), name, name, 300, 200)


def test_names_cannot_put_markup_into_the_page(source):
    here = CheckpointSource(source)
    pictures = {page.key_of(checkpoint): picture(BAD) for checkpoint in here.checkpoints}
    frames = [(checkpoint, picture(BAD)) for checkpoint in here.checkpoints[:2]]
    for html, images in (
        (page.header(BAD), 0),
        (page.comparison(picture(BAD), picture(BAD)), 2),
        (page.matrix(here, 1.5, pictures), 3),
        (page.epochs_view(frames, {"colorfulness": [1.0, 2.0]}, {}, 1), 2),
        (page.classes_table([(BAD, [(BAD, 0.5)])]), 0),
    ):
        found = Elements(html)
        assert found.names.count("img") == images and not any(word == "alert(1)" for word in found.words)
        assert BAD in "".join(found.words) or "%3Cimg%20src%3Dx" in html


def test_a_caption_names_the_split_that_was_recorded(source, tmp_path):
    folder = shutil.copytree(source, tmp_path / "source")
    values = {"images": 9, "ciede2000_mean": 9.5, "colorfulness_ratio": 0.4}
    for recorded, words in (
        ({"split": "validation"}, "Over 9 validation photos its"),
        ({"split": "no validation split"}, "Over 9 photos (no validation split) its"),
        ({}, "Over 9 photos its"),
    ):
        write_json(folder / "compact" / "epoch-3" / "metrics.json", recorded | {"colored": values})
        (checkpoint,) = (each for each in CheckpointSource(folder).checkpoints if each.epoch == 3)
        assert words in page.caption(checkpoint)


def test_a_chart_leaves_out_what_is_no_number():
    drawn = page.chart(MEASURES["psnr"], [0, 3, 8], [20.0, float("inf"), 22.5], 30.0, start=2)
    assert [point["epoch"] for point in drawn["points"]] == [0, 8] and drawn["points"][-1]["now"]
    assert drawn["points"][0]["y"] > drawn["points"][1]["y"] > drawn["truth"] > 0  # SVG counts down
    assert drawn["spoken"] == "epoch 0: 20.00, epoch 3: inf, epoch 8: 22.50" and "the photo 30.00" in drawn["hint"]


def test_the_film_starts_at_the_epoch_that_is_asked_for(source):
    frames = [(checkpoint, picture(f"{checkpoint.epoch}")) for checkpoint in CheckpointSource(source).checkpoints[:3]]
    html = page.epochs_view(frames, {"psnr": [1.0, 2.0, 3.0]}, {}, start=1)
    shown = [line for line in html.splitlines() if "<img" in line and " hidden" not in line]
    assert len(shown) == 1 and "/files/3.jpg" in shown[0] and 'value="1"' in html
    assert [point["now"] for point in page.chart(MEASURES["psnr"], [0, 3, 6], [1, 2, 3], None, 1)["points"]] == [
        False, True, False,
    ]  # fmt: skip
