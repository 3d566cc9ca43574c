"""The cost of coloring photos: time relative to Pillow's decoding and encoding of the same file, and memory.

Variants take turns in one process and medians are reported, so that a busy machine affects all alike. The photos are
synthetic.
"""

import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from PIL import Image

from chromagan.colorizer import Colorizer, render
from chromagan.hub.checkpoints import NAMED_SOURCES
from chromagan.imaging.chroma import ChromaUpsampler
from chromagan.imaging.compiled import each_band
from chromagan.imaging.photo import open_image, read_photo
from chromagan.imaging.writing import write_image
from train.benchmarks.counting import PROCESS_STATUS
from train.evaluation.results_table import markdown_table
from train.training.timing import medians

ROOT = Path(__file__).resolve().parents[2]
SOURCE = NAMED_SOURCES["study"]
SIZES = (1152, 864), (4000, 3000)  # 1 and 12 megapixels
SMALL = 32  # images of 224 x 224


def made_photo(width: int, height: int) -> Image.Image:
    """An enlarged example photo with grain, so that its file is about as large as a camera's."""
    photo = (
        Image.open(ROOT / "examples" / "coffee.jpg").convert("RGB").resize((width, height), Image.Resampling.BICUBIC)
    )
    grain = Image.effect_noise((min(width, 1000), min(height, 1000)), 16).resize(
        (width, height), Image.Resampling.NEAREST
    )
    return Image.blend(photo, grain.convert("RGB"), 0.1)


def milliseconds(ways: dict[str, Callable[[], object]], device: torch.device, repeats: int) -> dict[str, float]:
    """Median milliseconds of each variant; they take turns."""
    return {name: 1000 * seconds for name, seconds in medians(ways, device, repeats, warm_up=1).items()}


def measure_size(colorizer: Colorizer, width: int, height: int, repeats: int) -> dict[str, float]:
    """Milliseconds and ratios for a JPEG of one size: in total, and part by part."""
    with tempfile.TemporaryDirectory() as folder:
        file, out = Path(folder, "in.jpg"), Path(folder, "out.jpg")
        made_photo(width, height).save(file, quality=90)
        image = open_image(file)
        photo = read_photo(image)
        (prediction,) = colorizer.predict([photo])

        def codec():
            with Image.open(file) as opened:
                opened.save(out, quality=95)

        def whole():
            again = read_photo(open_image(file))
            write_image(render(again, colorizer.predict([again])[0]), out)

        def upsample():
            upsampler = ChromaUpsampler(prediction.ab, photo.L, prediction.L)
            each_band(height, width, upsampler.rows)

        ways = {
            "decode and encode": codec, "whole": whole, "network": lambda: colorizer.predict([photo]),
            "read": lambda: read_photo(image), "render": lambda: render(photo, prediction),
            "render bilinear": lambda: render(photo, prediction, chroma="bilinear"), "edge-aware filter": upsample,
        }  # fmt: skip
        ms = milliseconds(ways, colorizer.device, repeats)
    rest = ms["read"] + ms["render"] - ms["edge-aware filter"]
    return {f"{name} (ms)": value for name, value in ms.items()} | {
        "whole / codec": ms["whole"] / ms["decode and encode"],
        "rest / codec": rest / ms["decode and encode"],  # without network, filter, decoding and encoding
    }


def measure_batch(colorizer: Colorizer, repeats: int) -> float:
    """Speed of coloring a list of 224-pixel images, relative to one at a time."""
    photos = [made_photo(224, 224) for _ in range(SMALL)]
    ways = {"list": lambda: colorizer(photos), "single": lambda: [colorizer(photo) for photo in photos]}
    ms = milliseconds(ways, colorizer.device, repeats)
    return ms["single"] / ms["list"]


PEAK = """
import sys
sys.path.insert(0, sys.argv[3])
from chromagan.colorizer import Colorizer
from chromagan.imaging.photo import open_image
from chromagan.imaging.writing import write_image
def peak():  # of this process; getrusage would count what its parent had when it forked
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")) / 1024
colorizer = Colorizer.from_pretrained(sys.argv[4], device="cpu")
before = peak()
write_image(colorizer(open_image(sys.argv[1])), sys.argv[2])
print(peak() - before)
"""


def measure_memory(width: int, height: int) -> float | None:
    """Peak MiB of a fresh process that colors one JPEG, beyond its imports and loaded network; None except on Linux."""
    if not PROCESS_STATUS.exists():
        return None
    with tempfile.TemporaryDirectory() as folder:
        file, out = Path(folder, "in.jpg"), Path(folder, "out.jpg")
        made_photo(width, height).save(file, quality=90)
        command = [sys.executable, "-c", PEAK, file, out, ROOT, SOURCE]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            said = done.stderr.strip().splitlines() or [f"its process ended with status {done.returncode}"]
            raise OSError(f"a photo of {width}x{height} pixels could not be colored: {said[-1]}")
        return float(done.stdout)


def measure(device: torch.device | str, sizes: Sequence[tuple[int, int]] = SIZES, repeats: int = 7) -> dict:
    """Results for each of `sizes` (width, height), in pixels, and the gain of a batch; ready for JSON."""
    colorizer = Colorizer.from_pretrained(SOURCE, device=device)
    results: dict = {"device": str(colorizer.device), "threads": torch.get_num_threads(), "sizes": {}}
    for width, height in sizes:
        count = max(1, min(repeats, repeats * 24_000_000 // (width * height)))
        numbers = measure_size(colorizer, width, height, count) if width * height <= 24_000_000 else {}
        results["sizes"][f"{width}x{height}"] = numbers | {"peak memory (MiB)": measure_memory(width, height)}
    results["batch gain"] = measure_batch(colorizer, max(repeats // 2, 1))
    return results


def photos_table(results: dict) -> str:
    """The result of `measure` as Markdown: a row for each number, a column for each size."""
    sizes = results["sizes"]
    names = list(dict.fromkeys(name for numbers in sizes.values() for name in numbers))
    found = [[name, *(numbers.get(name) for numbers in sizes.values())] for name in names]
    rows = [[name, *("" if value is None else f"{value:.4g}" for value in values)] for name, *values in found]
    gain = f"A list of {SMALL} images of 224 pixels is {results['batch gain']:.2f} times as fast as one at a time."
    return f"{markdown_table(['', *sizes], rows)}\n\n{gain}"
