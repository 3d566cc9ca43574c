"""Made images and networks for all tests: no network, no GPU, no data set."""

import os
import shutil
import signal
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"  # before huggingface_hub is imported: a test must never wait for the Hub
os.environ["ACCELERATE_USE_CPU"] = "true"  # on a machine with a GPU, too

import pytest
import torch
from hub_standin import Hub, connect
from made_photos import folder_of, made_photo

from chromagan.hub.checkpoints import list_checkpoints, load_checkpoint, save_checkpoint
from chromagan.hub.model import ChromaGAN
from chromagan.hub.refiners import save_refiner
from chromagan.network.config import ModelConfig
from chromagan.network.refiner import Refiner, RefinerConfig
from chromagan.network.trunk import Trunk

# In a shell's background and under nohup, what tests start would be deaf, too.
for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    if signal.getsignal(number) == signal.SIG_IGN:
        signal.signal(number, handler)
HANDLERS = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}

torch.set_num_threads(1)  # small tensors: a second thread waits more than it works

WORKER = os.environ.get("PYTEST_XDIST_WORKER")
# Files whose tests talk to one demo that runs: it takes many seconds to start.
WITH_DEMO = (
    "test_api_http", "test_assistant", "test_browser_colorize", "test_browser_input", "test_browser_layout",
    "test_browser_tabs",
)  # fmt: skip
# Files whose tests take long, in the order in which they begin: else one worker is left alone with them at the end.
FIRST = (
    *WITH_DEMO, "test_train", "test_evaluate", "test_study", "test_repositories", "test_streams", "test_bad_input",
    "test_startup", "test_step", "test_colorizer", "test_push", "test_shards", "test_refine", "test_benchmark",
    "test_benchmark_photos",
)  # fmt: skip


def own_cores() -> set[int] | None:
    """The cores of this worker, an equal share of all; None where there is one process, or cores cannot be given.

    What a test starts is held to them, too. Else every process of every worker has a thread on every core, and they
    spend their time waiting for one another: twice as long in all, on two cores.
    """
    if WORKER is None or not hasattr(os, "sched_setaffinity"):
        return None
    workers, number = int(os.environ["PYTEST_XDIST_WORKER_COUNT"]), int(WORKER.removeprefix("gw"))
    return set(sorted(ALL_CORES)[number::workers]) or None


ALL_CORES = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()
if OWN_CORES := own_cores():
    os.sched_setaffinity(0, OWN_CORES)


def pytest_collection_modifyitems(items):
    """Long files begin first."""
    items.sort(key=lambda item: FIRST.index(item.path.stem) if item.path.stem in FIRST else len(FIRST))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """xdist runs the tests of a file in one worker; here those of all files with the demo, too, which starts once."""
    from xdist.scheduler import LoadFileScheduling

    class OneWorkerWithDemo(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = super()._split_scope(nodeid)
            return "demo" if Path(file).stem in WITH_DEMO else file

    return OneWorkerWithDemo(config, log)


@pytest.fixture(autouse=True)
def as_before():
    """Scripts set how many threads torch uses, and what a signal does; tests behind them go on as if they had not."""
    yield
    torch.set_num_threads(1)
    for number, handler in HANDLERS.items():
        signal.signal(number, handler)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """20 photos of two Imagenette classes, of mixed sizes, the first one gray: two shards."""
    sizes = [(64, 64), (100, 70), (64, 90)]
    pictures = [made_photo(seed, *sizes[seed % 3]) for seed in range(20)]
    pictures[0] = pictures[0].convert("L")
    return folder_of(tmp_path_factory.mktemp("data"), pictures)


@pytest.fixture(scope="session")
def image_folder(tmp_path_factory):
    """Images as `imagefolder` reads them: train/ with 8 photos in two classes and a gray one, validation/ with 4."""
    folder = tmp_path_factory.mktemp("images")
    for split, count in (("train", 8), ("validation", 4)):
        for index in range(count):
            path = folder / split / "ab"[index % 2] / f"{index}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            made_photo(100 * count + index, 240, 232).save(path)
    made_photo(1, 224, 224).convert("L").save(folder / "train" / "a" / "gray.png")
    return folder


@pytest.fixture(scope="session")
def source(tmp_path_factory):
    """A source of random `lite` networks: compact at epochs 0 and 3, depthwise at 0; one frozen trunk."""
    folder = tmp_path_factory.mktemp("source")
    for seed, (decoder, epoch) in enumerate((("compact", 0), ("compact", 3), ("depthwise", 0))):
        torch.manual_seed(seed)
        model = ChromaGAN(ModelConfig.preset("lite", decoder)).without_class_head()
        torch.manual_seed(99)  # one trunk for all
        model.trunk = Trunk(model.config.trunk, model.config.trunk_stages)
        model.freeze_trunk()
        save_checkpoint(model, folder / decoder / f"epoch-{epoch}", {"epoch": epoch})
    return folder


@pytest.fixture(scope="session")
def refined_source(source, tmp_path_factory):
    """The same source with a random refiner of two steps."""
    folder = shutil.copytree(source, tmp_path_factory.mktemp("refined") / "source")
    digest = load_checkpoint(list_checkpoints(source)[0]).config.trunk_digest
    torch.manual_seed(5)
    refiner = Refiner(RefinerConfig(channels=8, steps=2, trunk_digest=digest))
    torch.nn.init.normal_(refiner.policy.weight, std=0.5)
    save_refiner(refiner, folder / "refiner")
    return folder


@pytest.fixture
def server(monkeypatch, tmp_path):
    """The client speaks to an empty Hub, with a cache of its own and the right token."""
    with Hub() as hub:
        connect(monkeypatch, hub.url, tmp_path / "cache")
        yield hub


@pytest.fixture(scope="module")
def service(source, tmp_path_factory):
    """The demo's service over `source`."""
    from chromagan.demo.service import DemoService

    return DemoService(str(source), str(source), tmp_path_factory.mktemp("files"))


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "harbor.png"
    made_photo(1, 60, 80).save(path)
    return path
