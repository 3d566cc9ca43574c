import csv
import io
import math
import re

import numpy as np
import pytest
import torch
from made_photos import made_photo
from skimage.color import deltaE_ciede2000, rgb2lab
from skimage.metrics import peak_signal_noise_ratio

from chromagan.demo.loaded_photo import load_photo
from chromagan.demo.page import chart, rendered, report_table
from chromagan.demo.photo_report import (
    COLUMNS,
    COLUMNS_OF_GRAY,
    GRAY,
    ImageClassifier,
    PhotoEvaluator,
    Report,
    boundary_picture,
    epoch_curves,
    error_picture,
    measure_photo,
    true_colorfulness,
)  # fmt: skip
from chromagan.demo.source import CheckpointSource
from chromagan.measures.catalog import MEASURES


@pytest.fixture(scope="module")
def network_source(source):
    return CheckpointSource(source)


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    path = tmp_path_factory.mktemp("photo") / "photo.png"
    made_photo(5, 224, 224).save(path)
    return load_photo(path, 10**6)


@pytest.fixture(scope="module")
def measured(network_source, loaded):
    return measure_photo(network_source, loaded, [each for each in network_source.checkpoints if each.epoch == 0])


def test_measures_are_those_of_scikit_image(network_source, loaded, measured):
    evaluator = PhotoEvaluator(loaded, (224, 224))
    truth = np.asarray(loaded.truth)
    image = np.asarray(evaluator.color(network_source.predict(loaded, network_source.checkpoints[0])))
    difference = deltaE_ciede2000(rgb2lab(image), rgb2lab(truth))
    values = dict(measured.rows)["compact"]
    assert values["psnr"] == pytest.approx(peak_signal_noise_ratio(truth, image), abs=1e-3)
    assert values["ciede2000"] == pytest.approx(difference.mean(), abs=0.01)
    assert values["ciede2000_p95"] == pytest.approx(np.quantile(difference, 0.95), abs=0.05)
    assert values["ciede2000_near"] > 0 and 0 <= values["cdr"] <= 1
    assert [name for name, _ in measured.rows] == [GRAY, "compact", "depthwise"]
    assert dict(measured.rows)[GRAY]["colorfulness"] < 0.5


def test_the_photo_itself_is_perfect(loaded):
    evaluator = PhotoEvaluator(loaded, (224, 224))
    values = evaluator.measure(loaded.truth)
    assert values["ciede2000"] == 0 and values["ssim"] == pytest.approx(1) and math.isinf(values["psnr"])
    assert values["cdr"] == pytest.approx(1) and values["colorfulness_difference"] == 0


def test_gray_photo_has_no_errors_but_the_color_that_was_added(network_source, tmp_path):
    made_photo(5).convert("L").save(tmp_path / "gray.png")
    gray = load_photo(tmp_path / "gray.png", 10**6)
    result = measure_photo(network_source, gray, network_source.checkpoints[:1])
    assert result.columns == ["colorfulness", "mean_chroma"] and not result.colored
    assert true_colorfulness(gray) is None and list(
        epoch_curves(network_source, gray, network_source.checkpoints[:2])
    ) == ["colorfulness"]
    assert "no true colors" in report_table(result, "Epoch 0")


def test_best_of_each_column():
    rows = [
        (GRAY, {"psnr": 40.0, "ciede2000": 1.0, "colorfulness_difference": 0.0, "colorfulness": 0.0}),
        ("compact", {"psnr": 20.0, "ciede2000": 9.0, "colorfulness_difference": -3.0, "colorfulness": 5.0}),
        ("depthwise", {"psnr": 22.0, "ciede2000": 8.0, "colorfulness_difference": 4.0, "colorfulness": 9.0}),
    ]
    made = Report(list(rows[0][1]), rows, (224, 224), True)
    assert [made.best(column) for column in made.columns] == [22.0, 8.0, -3.0, None]  # gray is not in the running
    table = report_table(made, "Epoch 3")
    assert table.count('class="best"') == 3 and "224×224" in table
    lines = list(csv.DictReader(io.StringIO(made.csv())))
    assert float(lines[2]["ciede2000"]) == 8.0 and lines[0]["name"] == GRAY


def test_pictures_of_errors(loaded):
    gray = loaded.truth.convert("L").convert("RGB")
    assert np.asarray(error_picture(loaded.truth, loaded.truth)).max() <= 4  # nothing is wrong: black
    assert np.asarray(error_picture(gray, loaded.truth)).mean() > 20
    missed = np.asarray(boundary_picture(gray, loaded.truth, (224, 224)))
    assert (missed == (255, 64, 160)).all(axis=-1).any() and missed.shape == (224, 224, 3)


def test_curves_are_the_measures_of_each_epoch(network_source, loaded, measured):
    checkpoints = [each for each in network_source.checkpoints if each.decoder == "compact"]
    lines = epoch_curves(network_source, loaded, checkpoints)
    assert lines["ciede2000"][0] == pytest.approx(dict(measured.rows)["compact"]["ciede2000"])
    assert all(len(line) == 2 for line in lines.values())
    drawn = rendered("chart", chart=chart(MEASURES["ciede2000"], [0, 300], [9.25, 8.0], None, 0))
    assert "epoch 0: 9.25" in drawn and drawn.count("<circle") == 2
    assert set(MEASURES) >= {*lines, *COLUMNS, *COLUMNS_OF_GRAY}


def test_curves_are_those_of_the_pictures_beside_them(network_source, loaded):
    """Without saturation all of them are gray."""
    checkpoints = [each for each in network_source.checkpoints if each.decoder == "compact"]
    lines = epoch_curves(network_source, loaded, checkpoints, saturation=0)
    assert max(lines["colorfulness"]) < 1 < max(epoch_curves(network_source, loaded, checkpoints)["colorfulness"])
    assert len(set(lines["ciede2000"])) == 1


@pytest.mark.parametrize("values, levels", [([8.0, 8.0], ["7.6", "8.4"]), ([3.0, 71.0], ["8", "71"])])
def test_levels_of_a_chart_differ_where_its_values_hardly_do(values, levels):
    drawn = rendered("chart", chart=chart(MEASURES["ciede2000"], [0, 300], values, None, 0))
    assert re.findall(r'class="level"[^>]*>([^<]*)<', drawn) == levels


def test_classes_are_those_of_the_classifier():
    class Fixed(torch.nn.Module):
        def forward(self, x):
            assert x.shape == (1, 3, 224, 224) and x.abs().max() <= 1.001  # mean and std of tf_efficientnet_lite0
            return torch.zeros(1, 1000).index_fill(1, torch.tensor([217]), 20.0)

    top = ImageClassifier(Fixed(), "tf_efficientnet_lite0").top(made_photo(1))
    assert top[0][0] == "English springer" and top[0][1] > 0.99 and len(top) == 3
