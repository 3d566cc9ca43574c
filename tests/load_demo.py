"""What the demo takes on this machine, each figure printed as soon as it is there.

    python tests/load_demo.py [page] [api] [crowd] [long]       a server of its own; every part where none is named

First, always: from the end of the imports to a page. page: in a real browser, from the choice of a photo to its
picture. api: whole calls, with upload and download. crowd: twenty people at once. long: memory and disk over 200 calls.
Not a test: its figures are only worth something on a machine that does nothing else. Needs /proc.
"""

import argparse
import os
import re
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from demo_server import DemoServer, find_browser, running_demo
from gradio_client import Client, handle_file
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
PEOPLE, REQUESTS = 20, 200
# Said by the server when it has imported what it needs of others; the clock is that of the whole machine.
START = """
import runpy, sys, time
import gradio, timm, torch
print("imported", time.monotonic(), flush=True)
root = sys.argv.pop(1)
sys.path.insert(0, root)
runpy.run_path(root + "/app.py", run_name="__main__")
"""
# From now until another picture than the one that is there is decoded and drawn.
WATCH = """() => {
    const image = () => document.querySelectorAll('#result img')[1], before = image().src, start = performance.now();
    window.took = null;
    const look = async () => {
        if (image()?.src === before || !image()?.complete) return requestAnimationFrame(look);
        await image().decode();
        requestAnimationFrame(() => { window.took = performance.now() - start; });
    };
    look();
}"""
FILLED = """() => document.querySelectorAll('#pair img').length === 2
    && document.querySelectorAll('#matrix img').length === document.querySelectorAll('#matrix [data-key]').length
    && [...document.querySelectorAll('#matrix img, #pair img')].every(image => image.complete)"""


def photo(folder: Path, seed: int, width: int = 1224, height: int = 816) -> Path:
    """One megapixel of soft color with fine noise; another for every seed."""
    path = folder / f"photo-{seed}.jpg"
    if not path.exists():
        rng = np.random.default_rng(seed)
        image = Image.fromarray(rng.integers(0, 256, (12, 18, 3), dtype=np.uint8)).resize((width, height), 3)
        pixels = np.asarray(image) + rng.normal(0, 6, (height, width, 1))
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path, quality=92)
    return path


def say(*words) -> None:
    print(*words, flush=True)


@contextmanager
def timed_demo(folder: Path) -> Iterator[DemoServer]:
    """A context with the demo, which says how long it took to start."""
    start = time.monotonic()
    with running_demo(folder, ("-c", START, ROOT), GRADIO_TEMP_DIR=str(cache_of(folder))) as server:
        ready = time.monotonic()
        imported = float(re.search(r"^imported (.+)$", server.log.read_text(), re.MULTILINE)[1])
        say(f"start: page ready {ready - imported:.1f} s after the imports, which took {imported - start:.1f} s")
        yield server


def cache_of(folder: Path) -> Path:
    return folder / "server"


def megabytes(server: DemoServer) -> str:
    pages = int(Path(f"/proc/{server.process.pid}/statm").read_text().split()[1])
    disk = sum(path.stat().st_size for path in cache_of(server.folder).rglob("*") if path.is_file())
    return f"{pages * os.sysconf('SC_PAGE_SIZE') >> 20} MB resident, {disk >> 20} MB on disk"


def page(server: DemoServer, folder: Path) -> None:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_browser(), args=["--no-sandbox", "--disable-gpu"])
        view = browser.new_page(viewport={"width": 1280, "height": 860})
        view.goto(server.url)
        view.wait_for_function("document.querySelectorAll('#result img').length == 2")
        time.sleep(2)

        def choose(seed: int) -> None:
            view.click("#photo [aria-label='Remove Image']")
            view.evaluate(WATCH)
            view.set_input_files("#photo input[type=file]", photo(folder, seed))

        def took() -> float:
            view.wait_for_function("window.took")
            time.sleep(0.5)
            return view.evaluate("window.took") / 1000

        chosen, clicked = [], []
        for seed in range(1, 8):
            choose(seed)
            chosen.append(took())
            view.evaluate(WATCH)
            view.click(f"#decoder label:not(.selected) >> nth={seed % 4}")
            clicked.append(took())
        say(f"page: 1 MP, photo chosen -> colored: median {statistics.median(chosen):.2f} s, worst {max(chosen):.2f} s")
        say(
            f"page: a decoder clicked -> colored: median {statistics.median(clicked):.2f} s, worst {max(clicked):.2f} s"
        )

        filled = []
        view.click("button[role=tab]:has-text('Matrix') >> visible=true")
        view.wait_for_function(FILLED)
        for seed in range(11, 16):
            start = time.monotonic()
            choose(seed)
            view.wait_for_function("document.querySelectorAll('#matrix img').length < 3")
            view.wait_for_function(FILLED)
            filled.append(time.monotonic() - start)
            time.sleep(1)
        say(f"page: matrix, photo chosen -> full: median {statistics.median(filled):.2f} s, worst {max(filled):.2f}")
        browser.close()


def call(client: Client, path: Path, name: str) -> float:
    begin = time.monotonic()
    client.predict(handle_file(path), api_name=name)
    return time.monotonic() - begin


def api(server: DemoServer, folder: Path) -> None:
    client = Client(server.url, verbose=False, download_files=folder / "results")
    call(client, photo(folder, 20), "/colorize")
    single = [call(client, photo(folder, seed), "/colorize") for seed in range(21, 30)]
    say(f"api: /colorize, 1 MP, upload, PNG and download included: median {statistics.median(single):.2f} s")
    archives = [call(client, photo(folder, seed), "/matrix") for seed in range(30, 33)]
    say(f"api: /matrix, all at full size as ZIP: median {statistics.median(archives):.2f} s")


def crowd(server: DemoServer, folder: Path) -> None:
    """Everyone has a connection of their own, and presses the button at the same moment."""
    clients = [Client(server.url, verbose=False, download_files=folder / "results") for _ in range(PEOPLE)]
    photos = [photo(folder, 40 + seed) for seed in range(PEOPLE)]
    call(clients[0], photo(folder, 39), "/colorize")
    begin = time.monotonic()
    with ThreadPoolExecutor(PEOPLE) as pool:
        waits = list(pool.map(call, clients, photos, ["/colorize"] * PEOPLE))
    total = time.monotonic() - begin
    say(f"crowd: {PEOPLE} at once, all served in {total:.1f} s: one every {total / PEOPLE:.2f} s")
    say(
        f"crowd: median wait {statistics.median(waits):.1f} s; that of a fair queue is "
        f"{total * (PEOPLE + 1) / 2 / PEOPLE:.1f} s; worst {max(waits):.1f} s"
    )


def long(server: DemoServer, folder: Path) -> None:
    client = Client(server.url, verbose=False, download_files=folder / "results")
    say(f"long: before, {megabytes(server)}")
    for index in range(REQUESTS):
        call(client, photo(folder, 100 + index), "/colorize")
        if index % 20 == 19:
            say(f"long: after {index + 1}, {megabytes(server)}")
            shutil.rmtree(folder / "results")


PARTS = {part.__name__: part for part in (page, api, crowd, long)}


def main(parts: list[str]) -> None:
    with tempfile.TemporaryDirectory(prefix="load-demo-") as scratch:
        folder = Path(scratch)
        with timed_demo(folder) as server:
            time.sleep(15)  # the other networks are loaded meanwhile
            for name, part in PARTS.items():
                if not parts or name in parts:
                    part(server, folder)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=PARTS, metavar="PART", help="default: every part")
    main(parser.parse_args().parts)
