import shutil

import numpy as np
import pytest
import torch
from conftest import made_photo
from PIL import Image

from chromagan.colorizer import Colorizer
from chromagan.demo.page import first_page
from chromagan.demo.studio import Kept, KeptTrunk, Studio, as_tensor, decoder_milliseconds, gray_image, read_sitter
from chromagan.hub.checkpoints import CheckpointError, load_checkpoint, save_checkpoint
from chromagan.imaging.photo import ImageError, read_photo


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


def test_kept_drops_the_least_recently_used_and_stays_within_its_bytes():
    kept = Kept(100)
    for key in "abcab":  # c is now the oldest
        kept.get(key, lambda: object(), lambda value: 30)
    kept.get("d", lambda: object(), lambda value: 30)
    assert (kept.size, len(kept)) == (90, 3)
    made = []
    for key in "abdc":
        kept.get(key, lambda key=key: made.append(key), lambda value: 30)
    assert made == ["c"]


def test_kept_keeps_one_value_that_is_too_large():
    kept = Kept(10)
    first = kept.get("a", lambda: object(), lambda value: 50)
    assert kept.get("a", lambda: object(), lambda value: 50) is first


def test_networks_of_one_trunk_share_it_and_say_what_they_say_alone(shared, photo):
    studio, sitter = Studio(shared), read_sitter(photo, 10**6)
    trunks = {}
    for checkpoint in studio.checkpoints:
        prediction = studio.predict(sitter, checkpoint)
        alone = Colorizer(load_checkpoint(checkpoint)).predict([sitter.shown])[0]
        assert torch.equal(prediction.ab, alone.ab) and torch.equal(prediction.L, alone.L)
        trunks[checkpoint.decoder, checkpoint.epoch] = studio.colorizer(checkpoint).model.trunk
    assert trunks["compact", 0] is trunks["compact", 1] is trunks["depthwise", 1]
    assert trunks["compact", 2] is not trunks["compact", 0]


def test_network_and_trunk_run_once_for_a_photo(shared, photo, monkeypatch):
    studio, sitter = Studio(shared), read_sitter(photo, 10**6)
    runs = []
    predict = Colorizer.predict
    monkeypatch.setattr(Colorizer, "predict", lambda self, photos: runs.append("net") or predict(self, photos))
    seen = KeptTrunk.forward
    monkeypatch.setattr(
        KeptTrunk, "forward", lambda self, L: (runs.append("trunk") if not len(self.kept) else None) or seen(self, L)
    )
    for saturation in (0.5, 1.0):
        for checkpoint in [c for c in studio.checkpoints if (c.decoder, c.epoch) != ("compact", 2)]:
            studio.color(sitter, checkpoint, saturation=saturation)
            studio.color(sitter, checkpoint, 40)
    assert sorted(runs) == ["net"] * 3 + ["trunk"]


def test_photos_do_not_mix(shared, tmp_path):
    studio = Studio(shared)
    for seed in (1, 2):
        made_photo(seed, 90, 150).save(tmp_path / "same-name.png")  # a file's name says nothing
        sitter = read_sitter(tmp_path / "same-name.png", 10**6)
        L = read_photo(studio.color(sitter, studio.checkpoints[0])).L
        assert (L - read_photo(made_photo(seed, 90, 150)).L).abs().mean() < 0.5


def test_coloring_has_the_size_asked_for(shared, photo):
    studio, sitter = Studio(shared), read_sitter(photo, 10**6)
    assert studio.color(sitter, studio.checkpoints[0]).size == (150, 90)
    assert studio.color(sitter, studio.checkpoints[0], 50).size == (50, 30)


def test_sitter_is_upright_and_knows_whether_it_has_color(tmp_path):
    image = made_photo(1, 60, 100)
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees
    image.save(tmp_path / "turned.jpg", exif=exif)
    sitter = read_sitter(tmp_path / "turned.jpg", 10**6)
    assert sitter.truth.size == (60, 100) and sitter.shown.L.shape[-2:] == (100, 60)
    assert sitter.colored
    image.convert("L").save(tmp_path / "gray.png")
    assert not read_sitter(tmp_path / "gray.png", 10**6).colored


@pytest.mark.parametrize("mode", ["1", "P", "L", "LA", "RGBA", "I;16", "CMYK"])
def test_sitter_of_any_mode(tmp_path, mode):
    image = made_photo(2, 40, 60)
    image = (
        Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257)
        if mode == "I;16"
        else image.convert(mode)
    )
    path = tmp_path / ("photo.tiff" if mode == "CMYK" else "photo.png")
    image.save(path)
    sitter = read_sitter(path, 10**6)
    assert sitter.truth.mode == "RGB" and sitter.truth.size == (60, 40) and gray_image(sitter.shown).size == (60, 40)
    assert (sitter.shown.alpha is not None) == (mode in ("LA", "RGBA"))


def test_sitter_of_too_many_pixels_and_of_none(tmp_path):
    Image.new("1", (2000, 1000)).save(tmp_path / "wall.png")
    with pytest.raises(ImageError, match="more than 1 megapixels"):
        read_sitter(tmp_path / "wall.png", 10**6)
    (tmp_path / "text.jpg").write_text("no picture")
    with pytest.raises(ImageError, match="not an image"):
        read_sitter(tmp_path / "text.jpg", 10**6)


def test_damaged_checkpoint_is_an_error_that_names_it(shared, photo, tmp_path):
    folder = shutil.copytree(shared, tmp_path / "damaged")
    (folder / "compact" / "epoch-1" / "model.safetensors").write_bytes(b"weights")
    studio = Studio(folder)
    with pytest.raises(CheckpointError, match="epoch-1"):
        studio.predict(read_sitter(photo, 10**6), studio.checkpoints[1])


def test_as_tensor_and_cost():
    assert torch.equal(as_tensor(Image.new("RGB", (3, 2), (255, 0, 51)))[0, :, 1, 2], torch.tensor([1, 0, 0.2]))
    assert 0 < decoder_milliseconds("depthwise", 2) < 10_000


def test_of_several_pages_the_first_is_shown_and_it_is_said(tmp_path):
    made_photo(0).save(tmp_path / "in.tif", save_all=True, append_images=[made_photo(1), made_photo(2)])
    sitter = read_sitter(tmp_path / "in.tif", 10**6)
    assert sitter.pages == 3 and np.array_equal(np.asarray(sitter.truth), np.asarray(made_photo(0)))
    assert "first of the file's 3 pages" in first_page(sitter.pages) and first_page(1) == ""


def test_a_transparent_color_of_16_bits_stays_one_when_the_photo_is_scaled(tmp_path):
    """Of two thousand pixels a side, so that the page scales it down: the square is a hole, all else is as it was."""
    pixels = np.full((2000, 2000), 30_000, np.uint16)
    pixels[:1000, :1000] = 65_535
    Image.fromarray(pixels).save(tmp_path / "in.png", transparency=65_535)
    sitter = read_sitter(tmp_path / "in.png", 10**7)
    alpha = np.asarray(sitter.shown.alpha)
    assert alpha.shape == (1600, 1600) and not alpha[:790, :790].any() and (alpha[810:] == 255).all()
    L = sitter.shown.L[0, 0, 810:, 810:]
    assert (L - read_photo(Image.new("L", (1, 1), round(30_000 / 257))).L).abs().max() < 0.5
