import gc
import shutil
import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from cachetools import LRUCache
from made_photos import made_photo

from chromagan.colorizer import Colorizer
from chromagan.demo import page
from chromagan.demo.loaded_photo import load_photo
from chromagan.demo.source import CheckpointSource, decoder_milliseconds, trained_on
from chromagan.hub.checkpoints import CheckpointError, load_checkpoint, save_checkpoint
from chromagan.hub.files import write_json
from chromagan.imaging.photo import read_photo
from chromagan.network.trunk import Trunk


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "photo.png"
    made_photo(3, 90, 150).save(path)
    return path


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """Three checkpoints of one trunk and one that has another."""
    from chromagan.hub.model import ChromaGAN
    from chromagan.network.config import ModelConfig

    folder = tmp_path_factory.mktemp("shared")
    torch.manual_seed(0)
    trunk = ChromaGAN(ModelConfig.preset("lite", "compact")).trunk.state_dict()
    for decoder, epoch, same in (
        ("compact", 0, True),
        ("compact", 1, True),
        ("depthwise", 1, True),
        ("compact", 2, False),
    ):
        model = ChromaGAN(ModelConfig.preset("lite", decoder)).without_class_head()
        if same:
            model.trunk.load_state_dict(trunk)
        save_checkpoint(model, folder / decoder / f"epoch-{epoch}")
    return folder


def test_networks_of_one_trunk_share_it_and_say_what_they_say_alone(shared, photo):
    source, loaded = CheckpointSource(shared), load_photo(photo, 10**6)
    trunks = {}
    for checkpoint in source.checkpoints:
        prediction = source.predict(loaded, checkpoint)
        alone = Colorizer(load_checkpoint(checkpoint)).predict([loaded.shown])[0]
        assert torch.equal(prediction.ab, alone.ab) and torch.equal(prediction.L, alone.L)
        trunks[checkpoint.decoder, checkpoint.epoch] = source.colorizer(checkpoint).model.trunk
    assert trunks["compact", 0] is trunks["compact", 1] is trunks["depthwise", 1]
    assert trunks["compact", 2] is not trunks["compact", 0]
    for trunk in trunks.values():
        assert not any(module.training for module in trunk.modules())
        assert not any(p.requires_grad for p in trunk.parameters())


def test_a_trunk_is_kept_no_longer_than_its_networks(shared, photo):
    """What is kept of its features then serves the same trunk, loaded anew, and no other at its place in memory."""
    source, loaded = CheckpointSource(shared), load_photo(photo, 10**6)
    first, *_, other = (source.find("compact", epoch) for epoch in (0, 1, 2))
    before = source.predict(loaded, first).ab
    trunk = weakref.ref(source.colorizer(first).model.trunk)
    source.networks.clear()
    source.predictions.clear()
    gc.collect()
    assert trunk() is None
    assert not torch.equal(source.predict(loaded, other).ab, before)
    assert torch.equal(source.predict(loaded, first).ab, before)


def test_network_and_trunk_run_once_for_a_photo(shared, photo, monkeypatch):
    source, loaded = CheckpointSource(shared), load_photo(photo, 10**6)
    runs = []
    predict = Colorizer.predict
    monkeypatch.setattr(Colorizer, "predict", lambda self, photos: runs.append("net") or predict(self, photos))
    seen = Trunk.forward
    monkeypatch.setattr(Trunk, "forward", lambda self, L: runs.append("trunk") or seen(self, L))
    for saturation in (0.5, 1.0):
        for checkpoint in [c for c in source.checkpoints if (c.decoder, c.epoch) != ("compact", 2)]:
            source.color(loaded, checkpoint, saturation=saturation)
            source.color(loaded, checkpoint, 40)
    assert sorted(runs) == ["net"] * 3 + ["trunk"]


def test_photos_do_not_mix(shared, tmp_path):
    source = CheckpointSource(shared)
    for seed in (1, 2):
        made_photo(seed, 90, 150).save(tmp_path / "same-name.png")  # a file's name says nothing
        loaded = load_photo(tmp_path / "same-name.png", 10**6)
        L = read_photo(source.color(loaded, source.checkpoints[0])).L
        assert (L - read_photo(made_photo(seed, 90, 150)).L).abs().mean() < 0.5


def test_coloring_has_the_size_asked_for(shared, photo):
    source, loaded = CheckpointSource(shared), load_photo(photo, 10**6)
    assert source.color(loaded, source.checkpoints[0]).size == (150, 90)
    assert source.color(loaded, source.checkpoints[0], 50).size == (50, 30)


def test_predictions_stay_within_their_bytes(shared, tmp_path, monkeypatch):
    """The least recently used go first, and one that is larger than the cache is given and not kept."""
    source = CheckpointSource(shared)
    photos = []
    for seed in range(3):
        made_photo(seed, 90, 150).save(tmp_path / f"{seed}.png")
        photos.append(load_photo(tmp_path / f"{seed}.png", 10**6))
    checkpoint = source.checkpoints[0]
    size = source.predictions.getsizeof(source.predict(photos[0], checkpoint))
    assert source.predictions.currsize == size > 4 * 3 * 32 * 32
    source.predictions = LRUCache(2 * size, getsizeof=source.predictions.getsizeof)
    runs = []
    predict = Colorizer.predict
    monkeypatch.setattr(Colorizer, "predict", lambda self, given: runs.append(given) or predict(self, given))
    for index in (0, 1, 0, 2, 0, 1):  # 2 drops 1, which is made again and drops 2
        source.predict(photos[index], checkpoint)
    assert [next(i for i, each in enumerate(photos) if each.shown is given[0]) for given in runs] == [0, 1, 2, 1]
    assert source.predictions.currsize == 2 * size
    source.predictions = LRUCache(size - 1, getsizeof=source.predictions.getsizeof)
    assert source.predict(photos[0], checkpoint).ab.isfinite().all() and source.predictions.currsize == 0


def test_a_network_that_several_threads_ask_for_is_loaded_once(shared, monkeypatch):
    source, loads = CheckpointSource(shared), []
    load = load_checkpoint
    monkeypatch.setattr(
        "chromagan.demo.source.load_checkpoint", lambda checkpoint: loads.append(checkpoint) or load(checkpoint)
    )
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(source.colorizer, [source.checkpoints[0]] * 4))
    assert len(loads) == 1 and all(colorizer is found[0] for colorizer in found)
    assert source.networks.currsize >= 4 * 92_834  # parameters of the decoder alone, float32


def test_damaged_checkpoint_is_an_error_that_names_it(shared, photo, tmp_path):
    folder = shutil.copytree(shared, tmp_path / "damaged")
    (folder / "compact" / "epoch-1" / "model.safetensors").write_bytes(b"weights")
    source = CheckpointSource(folder)
    with pytest.raises(CheckpointError, match="epoch-1"):
        source.predict(load_photo(photo, 10**6), source.checkpoints[1])


def test_cost():
    assert 0 < decoder_milliseconds("depthwise", 2) < 10_000


def test_a_visitor_is_not_shown_the_servers_folders(shared):
    source = CheckpointSource(shared)
    assert source.title == shared.name
    with pytest.raises(CheckpointError) as error:
        source.find("compact", 99)
    assert "has no epoch 99" in str(error.value) and str(shared.parent) not in str(error.value)


@pytest.mark.parametrize(
    "metrics, options",
    [
        ({"data": ["a"], "size": [], "split": 7, "colored": {"images": "many"}}, {"sources": ["x"]}),
        ({"data": 3, "colored": {"images": float(10**30), "ciede2000_mean": 2}}, {"sources": [{"data": 4}]}),
        ({"colored": {"images": None}}, {"sources": [{"data": "d", "photos": 1e999}]}),
    ],
)  # fmt: skip
def test_a_repository_whose_numbers_are_of_other_kinds_is_shown_without_them(shared, tmp_path, metrics, options):
    folder = shutil.copytree(shared, tmp_path / "odd")
    for path in folder.glob("*/epoch-*"):
        write_json(path / "metrics.json", metrics)
        (path.parent / "train.json").write_text(str(options).replace("'", '"').replace("inf", "1e999"))
    source = CheckpointSource(folder)
    assert trained_on(source) == [] and page.about(source, {}) and page.caption(source.recommended)
