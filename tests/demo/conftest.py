"""A service without a page; a demo that runs, and a browser, for the tests that talk to one.

Nothing leaves this machine. Without a browser, the tests of the page are skipped and say so.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from browsing import arrive
from demo_server import DemoServer, find_browser, running_demo
from gradio_client import Client
from made_demo import EPOCHS, GENERAL_EPOCHS, metrics, variables
from PIL import Image

from chromagan.demo.service import DemoService
from chromagan.hub.checkpoints import GENERAL, save_checkpoint
from chromagan.hub.model import ChromaGAN
from chromagan.hub.refiners import save_refiner
from chromagan.network.config import ModelConfig
from chromagan.network.refiner import Refiner, RefinerConfig
from chromagan.network.trunk import Trunk

BROWSER_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
]


@pytest.fixture(scope="module")
def both(source, tmp_path_factory):
    """The study (compact at 0 and 3, depthwise at 0), and beside it compact at 7 and depthwise at 5."""
    folder = shutil.copytree(source, tmp_path_factory.mktemp("both") / "source")
    (folder / GENERAL).mkdir()
    for trunk in folder.glob("*.safetensors"):
        shutil.copy(trunk, folder / GENERAL)
    shutil.copytree(source / "compact" / "epoch-0", folder / GENERAL / "compact" / "epoch-7")
    shutil.copytree(source / "depthwise" / "epoch-0", folder / GENERAL / "depthwise" / "epoch-5")
    return DemoService(str(folder), str(folder), tmp_path_factory.mktemp("files"))


@pytest.fixture(scope="session")
def demo_source(tmp_path_factory) -> Path:
    """Untrained checkpoints of two decoders behind one trunk, one measured, with a refiner; beside them `general`."""
    study = tmp_path_factory.mktemp("source")
    torch.manual_seed(0)
    trunk = Trunk(ModelConfig().trunk, ModelConfig().trunk_stages)
    for folder, all_epochs in ((study, EPOCHS), (study / GENERAL, GENERAL_EPOCHS)):
        for decoder, epochs in all_epochs.items():
            for epoch in epochs:
                model = ChromaGAN(ModelConfig.preset("lite", decoder)).without_class_head()
                model.trunk = trunk
                model.freeze_trunk()
                save_checkpoint(model, folder / decoder / f"epoch-{epoch}", metrics(decoder, epoch))
        refiner = Refiner(RefinerConfig(channels=8, steps=2, trunk_digest=model.config.trunk_digest))
        torch.nn.init.normal_(refiner.policy.weight, std=0.5)
        save_refiner(refiner, folder / "refiner")
    return study


@pytest.fixture(scope="session")
def demo(demo_source, tmp_path_factory) -> Iterator[DemoServer]:
    """One for all tests: it takes many seconds to start. What none of them may make it say is looked for at the end."""
    folder = tmp_path_factory.mktemp("server")
    # A visitor's browser has a processor of its own. Here both share a core (conftest.py), and while the server works
    # on a large photo the page would hear nothing until it has ended.
    with running_demo(folder, niceness=10, **variables(demo_source, folder / "tmp")) as demo:
        yield demo
        log = demo.log.read_text()
        assert "Traceback" not in log, log


@pytest.fixture(scope="session")
def harbor(tmp_path_factory) -> Path:
    """A color photo of a size that no network likes; JPEG."""
    rng = np.random.default_rng(0)
    path = tmp_path_factory.mktemp("photos") / "harbor.jpg"
    coarse = Image.fromarray(rng.integers(0, 256, (7, 9, 3), dtype=np.uint8))
    coarse.resize((310, 203), Image.Resampling.BICUBIC).save(path, quality=95)
    return path


@pytest.fixture(scope="module")
def client(demo, tmp_path_factory):
    client = Client(demo.url, verbose=False, download_files=tmp_path_factory.mktemp("results"))
    yield client
    client.close()


@pytest.fixture(scope="module")
def browser():
    """With a camera that shows a moving pattern, and leave to use it.

    For one module: while Playwright is there, nothing else can run an event loop in this thread.
    """
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with sync_api.sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(executable_path=find_browser(), args=BROWSER_FLAGS)
        except sync_api.Error as error:
            pytest.skip(f"no browser: {str(error).splitlines()[0]}")
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def visitor(browser):
    """One who comes back: the browser has the page's scripts."""
    with browser.new_context(viewport={"width": 1280, "height": 860}) as context:
        context.set_default_timeout(60_000)  # of a busy machine
        yield context


@pytest.fixture(scope="module")
def tab(visitor):
    """A tab of the visitor's browser: the second page in it costs half of the first, and of one in a new tab."""
    tab = visitor.new_page()
    tab.requests, tab.faults = [], []
    tab.on("request", lambda request: tab.requests.append(request.url))
    tab.on("pageerror", lambda error: tab.faults.append(str(error)))
    yield tab
    tab.close()


@pytest.fixture
def page(tab, demo):
    """The page as it is on arrival; what it asked for and complained of is in `page.requests`, `page.faults`."""
    tab.requests.clear()
    tab.faults.clear()
    arrive(tab, demo.url)
    yield tab
    tab.goto("about:blank")  # nothing of this page is asked for, or complained of, in the next test
