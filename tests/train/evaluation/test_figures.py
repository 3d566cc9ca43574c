from dataclasses import replace

from chromagan.network.decoders import DECODERS
from train.evaluation.pictures import figure_number
from train.evaluation.plots import cost_plot, epochs_plot, save


def test_a_sixth_decoder_does_not_take_the_number_of_the_epochs(monkeypatch):
    for name in ("sixth", "seventh"):
        monkeypatch.setitem(DECODERS, name, DECODERS["compact"])
    assert [figure_number(decoder) for decoder in DECODERS] == [2, 3, 4, 5, 6, 8, 9]


def test_a_label_is_text_whatever_is_in_it(monkeypatch, tmp_path):
    label = r"cost $\frac$ 5 & <b>"
    monkeypatch.setitem(DECODERS, "compact", replace(DECODERS["compact"], label=label))
    measured = {"ciede2000_mean": {"value": 9.0, "interval": [8.0, 10.0]}}
    results = [{"decoder": "compact", "epoch": epoch, "colored": measured} for epoch in (1, 3)]
    cost = {"decoders": {"compact": {"decoder": {"ms": 2.0, "parameters": 90_000}}}}
    for name, figure in (("epochs", epochs_plot(results, {"colored": {}})), ("cost", cost_plot(results, cost))):
        assert r"cost $\frac$ 5 &amp; &lt;b&gt;" in save(figure, tmp_path / f"{name}.png")
