"""Make docs/demo.png, the picture of the demo in README.md, from a shipped example: a real server, a real browser.

    python docs/make_picture.py [--example rocket] [--tab colorize] [--output docs/demo.png]

Needs requirements-dev.txt and Chromium. The demo is started with the shipped checkpoints and stopped again.
"""

import argparse
import io
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))  # where the demo is started for pictures, too

from demo_server import find_browser, running_demo

EXAMPLES = sorted(path.stem for path in (ROOT / "examples").glob("*.jpg"))


class View(NamedTuple):
    """A tab as it is photographed."""

    height: int  # pixels of the window
    ready: str  # JavaScript: whether its result is there
    pictures: str  # CSS selector of what must have been drawn


WIDTH = 1280  # pixels
VIEWS = {
    "colorize": View(860, "document.querySelectorAll('#result img').length === 2", "#result img"),
    "matrix": View(
        1180,
        "document.querySelectorAll('#pair img').length === 2 && document.querySelectorAll('#matrix img').length"
        " === document.querySelectorAll('#matrix [data-key]').length",
        "#matrix img, #pair img",
    ),
}
IDLE = "!/processing \\||queue: /.test(document.body.innerText)"  # JavaScript: Gradio's veil on what is in work
LIMIT = 500_000  # bytes
SCALES = (1.0, 0.85, 0.7, 0.6, 0.5)


def take(browser, url: str, example: str, tab: str) -> Image.Image:
    """The page at `url` as a picture, RGB, with an example photo colored and the given tab open.

    browser: of Playwright. example: the stem of a shipped photo. tab: a key of VIEWS.
    """
    view = VIEWS[tab]
    page = browser.new_page(viewport={"width": WIDTH, "height": view.height}, color_scheme="light")
    page.set_default_timeout(120_000)
    try:
        page.goto(f"{url}/?tab={tab}&example={example}")
        page.wait_for_function(f"document.querySelector('#photo img')?.src.includes('{example}')")
        page.wait_for_function(view.ready)
        page.wait_for_function(IDLE)
        page.wait_for_timeout(3000)  # what fades in or out, has
        page.wait_for_function(
            f"[...document.querySelectorAll('{view.pictures}')].every(image => image.complete && image.naturalWidth)"
        )
        return Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    finally:
        page.close()


def encoded(picture: Image.Image, limit: int = LIMIT) -> bytes:
    """`picture` as a PNG of at most `limit` bytes: in all its colors or in 256, at the largest of SCALES that fits.

    Raises ValueError where none does.
    """
    for scale in SCALES:
        size = round(scale * picture.width), round(scale * picture.height)
        small = picture if scale == 1 else picture.resize(size, Image.Resampling.LANCZOS)
        for version in (small, small.quantize(256), small.quantize(256, dither=Image.Dither.NONE)):
            file = io.BytesIO()
            version.save(file, "PNG", optimize=True)
            if file.tell() <= limit:
                return file.getvalue()
    raise ValueError(f"the picture is larger than {limit:,} bytes even at {min(SCALES):.0%} of its size")


def main(args: argparse.Namespace) -> None:
    from playwright.sync_api import sync_playwright

    with (
        tempfile.TemporaryDirectory() as folder,
        running_demo(Path(folder)) as server,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=find_browser(), args=["--no-sandbox", "--disable-gpu"])
        data = encoded(take(browser, server.url, args.example, args.tab))
        browser.close()
    beside = args.output.with_name(f".{args.output.name}.part")
    beside.write_bytes(data)
    beside.replace(args.output)
    print(f"{args.output}: {len(data):,} bytes")


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--example", choices=EXAMPLES, default="rocket", help="the photo that is colored (rocket)")
    parser.add_argument("--tab", choices=VIEWS, default="colorize", help="the tab that is open (colorize)")
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "demo.png", help="the file to write")
    return parser.parse_args(argv)


if __name__ == "__main__":
    main(parse_args())
