"""What the demo takes on this machine: start, first result, matrix, twenty people at once, two hundred requests.

    python tests/load_demo.py            a server of its own; needs /proc, prints one line for each figure

Not a test: its figures are only worth something on a machine that does nothing else.
"""

import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import numpy as np
from gradio_client import Client, handle_file
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
PORT = 7961


def photo(folder: Path, seed: int, width: int = 1224, height: int = 816) -> Path:
    """One megapixel of soft color with fine noise; another for every seed."""
    rng = np.random.default_rng(seed)
    image = Image.fromarray(rng.integers(0, 256, (12, 18, 3), dtype=np.uint8)).resize((width, height), 3)
    pixels = np.asarray(image) + rng.normal(0, 6, (height, width, 1))
    path = folder / f"photo-{seed}.jpg"
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path, quality=92)
    return path


def main() -> None:
    folder = Path(tempfile.mkdtemp(prefix="load-demo-"))
    environment = os.environ | {"GRADIO_SERVER_PORT": str(PORT), "GRADIO_TEMP_DIR": str(folder / "server")}
    start = time.monotonic()
    subprocess.run([sys.executable, "-c", "import gradio, torch, timm"], check=True)
    imports = time.monotonic() - start
    start = time.monotonic()
    server = subprocess.Popen([sys.executable, "app.py"], cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{PORT}"
    try:
        while True:
            try:
                urllib.request.urlopen(url, timeout=5).close()
                break
            except OSError:
                if server.poll() is not None:
                    sys.exit("the demo did not start")
                time.sleep(0.05)
        ready = time.monotonic() - start
        print(f"page ready {ready:.1f} s after the start, {ready - imports:.1f} s after the imports ({imports:.1f} s)")
        time.sleep(15)  # the other networks are loaded meanwhile
        client = Client(url, verbose=False, download_files=folder)

        def timed(name: str, seed: int, **choice) -> float:
            upload = handle_file(photo(folder, seed))
            begin = time.monotonic()
            client.predict(upload, **choice, api_name=name)
            return time.monotonic() - begin

        timed("/colorize", 0)
        first = statistics.median(timed("/colorize", seed) for seed in range(1, 6))
        print(f"/colorize, 1 MP, upload and PNG included: median {first:.2f} s")
        matrix = statistics.median(timed("/matrix", seed) for seed in range(6, 9))
        print(f"/matrix, 20 at full size as ZIP: median {matrix:.2f} s")

        def memory() -> int:
            return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{server.pid}/status").read_text())[1]) >> 10

        def disk() -> int:
            return sum(path.stat().st_size for path in (folder / "server").rglob("*") if path.is_file()) >> 20

        uploads = [photo(folder, seed) for seed in range(20, 40)]
        begin = time.monotonic()
        jobs = [client.submit(handle_file(each), api_name="/colorize") for each in uploads]
        for job in jobs:
            job.result()
        total = time.monotonic() - begin
        print(f"20 people at once: all served in {total:.1f} s, one result every {total / 20:.2f} s")

        print(f"before 200 requests: {memory()} MB resident, {disk()} MB on disk")
        for index in range(200):
            timed("/colorize", 100 + index)
            if index % 50 == 49:
                print(f"after {index + 1}: {memory()} MB resident, {disk()} MB on disk")
    finally:
        server.terminate()
        server.wait(20)


if __name__ == "__main__":
    main()
