import os
import platform
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from made_photos import made_photo
from PIL import Image, ImageCms
from skimage import color as reference
from torch.nn import functional as F

from chromagan import Colorizer
from chromagan import colorizer as colorizer_module
from chromagan.colorizer import MOST_SATURATION, render
from chromagan.device import fast_dtype
from chromagan.errors import ImageError, OptionError
from chromagan.hub.checkpoints import NAMED_SOURCES, CheckpointError, find_checkpoint, load_checkpoint
from chromagan.hub.model import ChromaGAN
from chromagan.hub.refiners import load_refiner
from chromagan.imaging.photo import Photo, open_image, read_photo
from chromagan.imaging.writing import write_image
from chromagan.network.config import ModelConfig
from chromagan.network.decoders import DECODERS
from chromagan.network.refiner import Refiner, RefinerConfig

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def colorizer(source):
    return Colorizer.from_pretrained(source, decoder="compact", epoch=0, device="cpu")


def lightness(image):
    return reference.rgb2lab(np.asarray(image.convert("RGB")) / 255)[..., 0]


@pytest.mark.parametrize("size", [(64, 64), (301, 97), (1, 1), (1, 400), (2000, 3), (1200, 900)])
def test_size_and_lightness_are_the_photos(colorizer, size):
    photo = made_photo(0, size[1], size[0]) if min(size) > 3 else Image.linear_gradient("L").resize(size)
    colored = colorizer(photo)
    assert colored.size == size and colored.mode == "RGB"
    assert np.abs(lightness(colored) - lightness(photo)).mean() < 0.5


def test_lightness_is_kept_by_colors_that_srgb_lacks(source):
    """A network that always answers with the most extreme green still may not change the lightness."""

    class Extreme(torch.nn.Module):
        config = ModelConfig()

        def stages(self, L):
            return []

        def color(self, stages, L):
            return torch.cat([-torch.ones_like(L), torch.ones_like(L)], dim=1)

    photo = made_photo(1, 80, 90)
    colored = Colorizer(Extreme(), "cpu")(photo)
    assert np.abs(lightness(colored) - lightness(photo)).mean() < 0.5
    assert np.abs(lightness(colored) - lightness(photo)).max() < 2  # one 8-bit step in the shadows


def test_colored_input_is_taken_by_its_lightness(colorizer):
    """A photo in other colors of the same lightness comes out the same."""
    lab = reference.rgb2lab(np.asarray(made_photo(2)) / 255)
    lab[..., 1:] *= 0.2
    muted = Image.fromarray((reference.lab2rgb(lab) * 255).round().astype(np.uint8))
    results = [np.asarray(colorizer(photo)).astype(int) for photo in (made_photo(2), muted)]
    assert np.abs(results[0] - results[1]).mean() < 1


def test_a_faded_photo_gets_the_colors_that_it_would_have_had(refined_source):
    """Also with the refiner, and beside others; it stays as faded as it is."""
    colorizer = Colorizer.from_pretrained(refined_source, "compact", 0, "cpu", refine="all")
    L = torch.rand(1, 1, 12, 12, generator=torch.Generator().manual_seed(0))
    bright = Photo(30 + 45 * F.interpolate(L, (224, 224), mode="bilinear"), None, None)
    faded = Photo(20 + 0.7 * bright.L, None, None)
    for one, other in (colorizer.predict([bright, faded]), (colorizer.rollout(p)[1] for p in (bright, faded))):
        torch.testing.assert_close(one.ab, other.ab, atol=0.01, rtol=0)
        torch.testing.assert_close(20 + 0.7 * one.L, other.L, atol=1e-3, rtol=0)
        assert one.ab.std() > 0.1
    assert np.abs(lightness(render(faded, other)) - faded.L[0, 0].numpy()).mean() < 0.5


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "HSV", "I", "I;16", "F"])
def test_every_mode(colorizer, mode):
    photo = made_photo(3)
    if mode == "I;16":
        photo = Image.fromarray(np.asarray(photo.convert("L")).astype(np.uint16) * 257)
    elif mode == "F":
        photo = Image.fromarray(np.asarray(photo.convert("L"), dtype=np.float32) / 255)
    elif mode == "LA":
        photo = photo.convert("RGBA").convert("LA")
    else:
        photo = photo.convert(mode)
    assert photo.mode == mode
    colored = colorizer(photo)
    assert colored.size == photo.size
    assert colored.mode == ("RGBA" if mode in ("LA", "RGBA") else "RGB")
    if mode in ("L", "I;16", "F"):
        assert np.abs(lightness(colored) - lightness(made_photo(3).convert("L"))).mean() < 0.5


def test_alpha_is_carried_over(colorizer):
    photo = made_photo(4)
    mask = Image.linear_gradient("L").resize(photo.size)
    photo.putalpha(mask)
    assert colorizer(photo).getchannel("A").tobytes() == mask.tobytes()


def test_orientation_is_applied(colorizer, tmp_path):
    photo = made_photo(5, 40, 80)
    exif = photo.getexif()
    exif[0x0112] = 6  # turn by 90 degrees to be upright
    photo.save(tmp_path / "turned.jpg", exif=exif, quality=95)
    colored = colorizer(open_image(tmp_path / "turned.jpg"))
    assert colored.size == (40, 80)
    assert not colored.getexif().get(0x0112)


@pytest.mark.parametrize(
    "size, seen",
    [((224, 224), (224, 224)), ((3000, 4000), (192, 256)), ((100, 400), (128, 448)), ((1, 5000), (32, 896))],
)
def test_the_network_sees_the_photos_own_shape(colorizer, size, seen):
    assert colorizer.working_size(*size) == seen


def test_a_network_of_one_size_sees_that_size():
    class Fixed(torch.nn.Module):
        config = ModelConfig.preset("paper")

    assert Colorizer(Fixed(), "cpu").working_size(3000, 4000) == (224, 224)


def test_inference_is_in_eval_mode_and_deterministic(source):
    colorizer = Colorizer(ChromaGAN(ModelConfig(decoder="transposed")).train(), "cpu")
    assert not any(module.training for module in colorizer.model.modules())
    photo = made_photo(6)
    first = colorizer(photo).tobytes()
    colorizer(made_photo(7))  # running statistics, or a state, would show
    assert colorizer(photo).tobytes() == first


def test_the_networks_it_was_given_stay_as_they_were(refined_source):
    """In training mode, with gradients and weights of their own: whoever trains them may color with them meanwhile."""
    model = load_checkpoint(find_checkpoint(refined_source, "compact", 0)).train()
    refiner = load_refiner(refined_source, model.config).requires_grad_(True).train()
    learning = [[p.requires_grad for p in network.parameters()] for network in (model, refiner)]
    before = [{name: tensor.clone() for name, tensor in network.state_dict().items()} for network in (model, refiner)]
    colorizer = Colorizer(model, "cpu", refiner=refiner)
    colorizer(made_photo(6))
    for given, was, state, ours in zip((model, refiner), learning, before, (colorizer.model, colorizer.refiner)):
        assert [p.requires_grad for p in given.parameters()] == was and any(was)
        assert all(module.training for module in given.modules())
        assert all(torch.equal(tensor, state[name]) for name, tensor in given.state_dict().items())
        assert not any(p.requires_grad for p in ours.parameters())
        assert not any(module.training for module in ours.modules())


@pytest.mark.parametrize("decoder", DECODERS)
def test_bfloat16_moves_colors_by_less_than_is_seen(decoder):
    """Of the shipped networks, on the example photos: a trunk in bfloat16 would move them by 1 on average."""
    photos = [read_photo(open_image(path)) for path in sorted((ROOT / "examples").glob("*.jpg"))]
    assert len(photos) > 3
    exact, short = (
        Colorizer.from_pretrained(ROOT / "checkpoints", decoder, device="cpu", dtype=dtype).predict(photos)
        for dtype in (torch.float32, torch.bfloat16)
    )
    assert {prediction.ab.dtype for prediction in short} == {torch.float32}
    difference = torch.cat([(one.ab - other.ab).abs().flatten() for one, other in zip(exact, short)])
    assert 0 < difference.mean() < 0.15 and difference.quantile(0.999) < 1.5


def test_the_type_behind_the_trunk_is_the_fast_one(source):
    model = Colorizer.from_pretrained(source, device="cpu").model
    assert {p.dtype for p in model.trunk.parameters()} == {torch.float32}
    assert {p.dtype for p in model.decoder.parameters()} == {fast_dtype(torch.device("cpu"))}


def test_threads_do_not_disturb_each_other(colorizer):
    photos = [made_photo(seed, 64 + 8 * seed, 72) for seed in range(6)]
    alone = [colorizer(photo).tobytes() for photo in photos]
    with ThreadPoolExecutor(4) as pool:
        assert [image.tobytes() for image in pool.map(colorizer, photos)] == alone


def swapped_profile() -> bytes:
    """An RGB space that is not sRGB: its red is sRGB's green and the other way around."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    profile = profile.replace(b"rXYZ", b"????", 1).replace(b"gXYZ", b"rXYZ", 1).replace(b"????", b"gXYZ", 1)
    return profile.replace("sRGB".encode("utf-16-be"), "swap".encode("utf-16-be"))


def test_lightness_is_read_through_the_icc_profile_and_written_back(colorizer, tmp_path):
    red, profile = Image.new("RGB", (32, 32), (255, 0, 0)), swapped_profile()  # once: the second it was made is in it
    red.info["icc_profile"] = profile
    assert read_photo(red).L.mean().item() == pytest.approx(87.7, abs=0.5)  # of sRGB's green; its red has 53.2

    colored = colorizer(red)
    assert colored.info["icc_profile"] == profile
    write_image(colored, tmp_path / "out.png")
    again = read_photo(open_image(tmp_path / "out.png"))
    assert again.L.mean().item() == pytest.approx(87.7, abs=0.7)


@pytest.mark.parametrize(
    "profile", [b"damaged", b"", ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()]
)
def test_a_profile_that_does_not_fit_is_left_out(colorizer, profile):
    photo = made_photo(10)
    plain = colorizer(photo).tobytes()
    photo.info["icc_profile"] = profile
    colored = colorizer(photo)
    assert colored.tobytes() == plain and "icc_profile" not in colored.info


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
def test_exif_is_carried_over_without_the_orientation(colorizer, tmp_path, suffix):
    photo = made_photo(11, 40, 80)
    exif = photo.getexif()
    exif[0x013B], exif[0x0112] = "Somebody", 6
    photo.save(tmp_path / "in.jpg", exif=exif)
    write_image(colorizer(open_image(tmp_path / "in.jpg")), tmp_path / f"out{suffix}")
    written = open_image(tmp_path / f"out{suffix}")
    assert written.getexif()[0x013B] == "Somebody" and written.getexif().get(0x0112, 1) == 1
    assert written.size == (40, 80)


def test_same_kind_out_as_in(colorizer, tmp_path):
    photo = made_photo(12)
    photo.save(tmp_path / "photo.png")
    expected = np.asarray(colorizer(photo))
    assert np.array_equal(np.asarray(colorizer(tmp_path / "photo.png")), expected)
    assert np.array_equal(np.asarray(colorizer(str(tmp_path / "photo.png"))), expected)
    from_array = colorizer(np.asarray(photo))
    assert isinstance(from_array, np.ndarray) and np.array_equal(from_array, expected)
    assert from_array.flags.writeable  # as of any new array
    assert colorizer(np.asarray(photo.convert("RGBA"))).shape == (64, 64, 4)
    assert colorizer(np.asarray(photo.convert("L"))).shape == (64, 64, 3)
    several = colorizer([photo, tmp_path / "photo.png", np.asarray(photo)])
    assert [type(each) for each in several] == [Image.Image, Image.Image, np.ndarray]
    assert colorizer([]) == []


def test_a_list_is_colored_as_one_by_one(colorizer):
    photos = [made_photo(seed, *size) for seed, size in enumerate([(64, 64), (100, 50), (64, 64), (90, 90)])]
    for together, photo in zip(colorizer(photos), photos, strict=True):
        difference = np.asarray(together).astype(int) - np.asarray(colorizer(photo))
        assert np.abs(difference).max() <= 1  # sums of a batch are taken in another order


def test_a_list_is_shared_out_between_cores_in_its_order(colorizer):
    photos = [made_photo(seed, 64, 48) for seed in range(5)]
    alone = [np.asarray(colorizer(photo)).astype(int) for photo in photos]
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        shared = colorizer(photos)
        with pytest.raises(ImageError, match="no such file"):
            colorizer([photos[0], "missing.png", photos[1]])
    finally:
        torch.set_num_threads(threads)
    for one, other in zip(shared, alone, strict=True):
        assert np.abs(np.asarray(one) - other).max() <= 1


def test_a_photo_that_a_list_has_several_times_is_decoded_once(colorizer, tmp_path, monkeypatch):
    made_photo(0, 700, 600).save(tmp_path / "photo.png")
    alone = np.asarray(colorizer(tmp_path / "photo.png")).astype(int)
    read = []
    monkeypatch.setattr(colorizer_module, "read_photo", lambda image: read.append(image) or read_photo(image))
    torch.set_num_threads(2)
    opened = Image.open(tmp_path / "photo.png")  # lazily: its pixels are decoded where they are asked for
    for colored in colorizer([opened] * 4):
        assert np.abs(np.asarray(colored) - alone).max() <= 1
    assert read == [opened]


@pytest.mark.parametrize(
    "threads, pixels, expected",
    [
        (1, 2**24, [1, 3, 4, 4, 4, 4]),
        (1, 3 * 64 * 64, [1, 1, 3, 3, 3, 3, 3, 3]),
        (2, 2**24, [1, 2, 2, 3, 4, 4, 4]),  # groups of 8, 8 and 4
        (2, 64 * 64, [1] * 20),
    ],
)
def test_photos_seen_at_one_size_go_through_the_network_together(threads, pixels, expected, monkeypatch):
    """4 at a time on each core, fewer where they are large; the one of another shape alone."""
    batches = []

    class Counting(torch.nn.Module):
        config = ModelConfig()

        def stages(self, L):
            return []

        def color(self, stages, L):
            batches.append(len(L))
            return torch.zeros(len(L), 2, *L.shape[-2:])

    monkeypatch.setattr(colorizer_module, "GROUP_PIXELS", pixels)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    monkeypatch.setattr(torch, "set_num_threads", lambda count: None)
    photos = [made_photo(seed, 64, 64 + 64 * (seed == 3)) for seed in range(20)]
    results = Colorizer(Counting(), "cpu")(photos)
    assert [result.size for result in results] == [photo.size for photo in photos]
    assert sorted(batches) == expected


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another allocator")
def test_a_forward_pass_gets_no_memory_from_the_kernel(source):
    """In a process of its own, whose heap nobody else has shaped.

    Some pass has no page fault, or nearly none; without `keep_freed_memory` each of them has 10,000.
    """
    code = """
import resource, sys, torch
from chromagan import Colorizer
model = Colorizer.from_pretrained(sys.argv[1], device="cpu").model
torch.set_num_threads(1)
faults = []
with torch.inference_mode():
    for _ in range(8):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        model(torch.zeros(4, 1, 224, 224))
        faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
print(min(faults))
"""
    command = [sys.executable, "-c", code, str(source)]
    assert int(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout) < 500


def test_saturation(colorizer):
    photo = made_photo(13)

    def chroma(**options):
        lab = reference.rgb2lab(np.asarray(colorizer(photo, **options)) / 255)
        return np.hypot(lab[..., 1], lab[..., 2]).mean()

    assert chroma(saturation=0) < 0.5 < chroma() < chroma(saturation=1.5)
    assert chroma(saturation=1.5) < chroma(saturation=MOST_SATURATION)
    for nonsense in (-1, float("nan"), float("inf"), MOST_SATURATION + 0.1):
        with pytest.raises(ValueError, match=f"saturation must be 0 to {MOST_SATURATION}"):
            colorizer(photo, saturation=nonsense)


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.float8_e5m2])
def test_types_in_which_torch_does_not_compute_are_refused(source, dtype):
    with pytest.raises(OptionError, match=f"dtype must be a floating-point type such as torch.float32.*got {dtype}"):
        Colorizer.from_pretrained(source, dtype=dtype)


@pytest.mark.parametrize("value", ["3", 3.0, True, [3]])
def test_options_of_another_type_are_named(source, refined_source, colorizer, value):
    for name, others in (("epoch", " or None"), ("refine", ', "all" or None')):
        with pytest.raises(OptionError) as caught:
            Colorizer.from_pretrained(source, **{name: value})
        assert str(caught.value) == f"{name} must be a whole number{others}, got {value!r}"
    with pytest.raises(OptionError, match="refine must be a whole number or None"):
        load_refiner(refined_source, colorizer.model.config).config.count(value)
    with pytest.raises(OptionError, match="dtype must be a floating-point type such as torch.float32, or None, got"):
        Colorizer.from_pretrained(source, dtype=torch.int8 if value is True else value)
    if not isinstance(value, float):
        with pytest.raises(OptionError) as caught:
            colorizer(made_photo(0), saturation=value)
        assert str(caught.value) == f"saturation must be a number, got {value!r}"


def test_numbers_of_numpy_are_numbers(source, colorizer):
    photo = made_photo(0)
    same = Colorizer.from_pretrained(source, "compact", np.int64(0), "cpu", refine=np.int64(0))
    for two in (np.float32(2), Fraction(2)):
        assert same(photo, saturation=two) == colorizer(photo, saturation=2)


def test_both_ways_up(colorizer):
    photo = made_photo(14, 300, 400)
    edge_aware, bilinear = (
        np.asarray(colorizer(photo, chroma=mode)).astype(int) for mode in ("edge-aware", "bilinear")
    )
    assert np.array_equal(edge_aware, np.asarray(colorizer(photo)))
    assert not np.array_equal(edge_aware, bilinear)
    with pytest.raises(ValueError, match="unknown mode 'nearest'; choose from edge-aware, bilinear"):
        colorizer(photo, chroma="nearest")


@pytest.mark.parametrize(
    "thing", [np.zeros((4, 4, 3)), np.zeros((4, 4, 2), np.uint8), np.zeros((0, 4), np.uint8), 7, None, b"bytes"]
)
def test_things_that_are_no_photos(colorizer, thing):
    with pytest.raises(ImageError, match="an array must be uint8|expected a PIL image, a path or an array"):
        colorizer(thing)


def test_a_file_torn_after_its_header_is_named(colorizer, tmp_path):
    made_photo(15).save(tmp_path / "whole.jpg")
    (tmp_path / "torn.jpg").write_bytes((tmp_path / "whole.jpg").read_bytes()[:900])
    with pytest.raises(ImageError, match="torn.jpg: "):
        colorizer(Image.open(tmp_path / "torn.jpg"))  # opened lazily by the caller


def test_nothing_is_left_to_compile_behind_the_warm_up(source):
    """Another kind of argument, an array of another layout say, would be compiled anew before somebody's photo."""
    code = """
import sys
import numpy as np
from numba.core.dispatcher import Dispatcher
from PIL import Image
from chromagan import Colorizer
from chromagan.imaging import chroma, color, gamut
from chromagan.colorizer import warm_up

def compiled():
    loops = [f for module in (chroma, color, gamut) for f in vars(module).values() if isinstance(f, Dispatcher)]
    assert len(loops) > 10
    return {f.__name__: len(f.signatures) for f in loops}

warm_up()
before = compiled()
colorizer = Colorizer.from_pretrained(sys.argv[1], device="cpu")
for way in ("edge-aware", "bilinear"):
    for size in ((400, 350), (64, 64), (1, 1)):  # the first in two bands
        colorizer([Image.new(mode, size) for mode in ("RGB", "RGBA", "CMYK", "L")], chroma=way, saturation=2)
        colorizer(np.zeros((*size, 3), np.uint8)[::-1], chroma=way)
assert compiled() == before, (before, compiled())
"""
    done = subprocess.run([sys.executable, "-c", code, str(source)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_what_a_program_has_set_in_torch_changes_no_color(refined_source, tmp_path):
    """The default device stands for a GPU: what is made there cannot be read as an array."""
    code = """
import sys
import numpy as np
import torch
from made_photos import made_photo

torch.set_default_device("meta")
torch.set_default_dtype(torch.float64)
torch.autocast("cpu", dtype=torch.bfloat16).__enter__()
from chromagan import Colorizer
colorizer = Colorizer.from_pretrained(sys.argv[1], "compact", 0, "cpu", torch.float32, refine="all")
assert {parameter.dtype for parameter in colorizer.model.parameters()} == {torch.float32}
photo = made_photo(0, 90, 70)
np.save(sys.argv[2], [colorizer(photo), colorizer(photo.convert("L").convert("I"), chroma="bilinear").convert("RGB")])
"""
    file, photo = tmp_path / "colored.npy", made_photo(0, 90, 70)
    path = {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"}
    command = [sys.executable, "-c", code, str(refined_source), str(file)]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | path)
    assert done.returncode == 0, done.stderr
    colorizer = Colorizer.from_pretrained(refined_source, "compact", 0, "cpu", torch.float32, refine="all")
    same = colorizer(photo), colorizer(photo.convert("L").convert("I"), chroma="bilinear").convert("RGB")
    assert np.array_equal(np.load(file), same)


def test_a_colorizer_without_a_refiner_has_no_steps_to_show(colorizer):
    with pytest.raises(ValueError, match="this colorizer has no refiner: Colorizer.from_pretrained"):
        colorizer.rollout(read_photo(made_photo(0)))


def test_a_refiner_mends_what_the_network_says(refined_source):
    plain, refined, one = (
        Colorizer.from_pretrained(refined_source, "compact", 0, "cpu", refine=count) for count in (0, "all", 1)
    )
    photos = [read_photo(made_photo(seed, 90, 70)) for seed in (1, 2)]
    before, after = plain.predict(photos), refined.predict(photos)
    for index, photo in enumerate(photos):
        rollout = plain.rollout(photo, refined.refiner)
        assert len(rollout) == 3 and rollout[0].actions is None
        torch.testing.assert_close(rollout[0].ab, before[index].ab, atol=1e-3, rtol=0)
        torch.testing.assert_close(rollout[2].ab, after[index].ab, atol=1e-3, rtol=0)
        torch.testing.assert_close(one.predict([photo])[0].ab, rollout[1].ab, atol=1e-3, rtol=0)
        assert rollout[1].actions.shape == tuple(side // 2 for side in rollout[1].L.shape[-2:])
        assert len(rollout[1].actions.unique()) > 1 and not torch.equal(rollout[0].ab, rollout[2].ab)
    assert np.abs(lightness(refined(made_photo(1))) - lightness(made_photo(1))).mean() < 0.5
    with pytest.raises(ValueError, match="takes 0 to 2 steps, got 3"):
        Colorizer.from_pretrained(refined_source, "compact", 0, "cpu", refine=3)


def test_only_general_is_refined_by_default(refined_source, source, monkeypatch, caplog):
    def steps(name, **options) -> int:
        return Colorizer.from_pretrained(name, "compact", 0, "cpu", **options).refine

    assert steps(refined_source) == 0
    monkeypatch.setitem(NAMED_SOURCES, "general", refined_source)
    assert steps("general") == steps(refined_source) == 2 and steps("general", refine=0) == 0
    monkeypatch.setitem(NAMED_SOURCES, "general", source)
    assert steps("general") == 0 and "has no refiner" in caplog.text and "the colors are not refined" in caplog.text
    with pytest.raises(CheckpointError, match="has no refiner"):
        steps("general", refine="all")


def test_a_refiner_for_another_trunk_is_refused():
    with pytest.raises(ValueError, match="it was trained for the trunk"):
        Colorizer(ChromaGAN(ModelConfig()), "cpu", refiner=Refiner(RefinerConfig(trunk_digest="a" * 64)))
