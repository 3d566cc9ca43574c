"""The demo as people and programs meet it: a real server, its API by gradio_client, its page in a real browser.

Nothing here leaves this machine. Without a browser, the tests of the page are skipped and say so.
"""

import base64
import io
import json
import os
import runpy
import shutil
import subprocess
import sys
import urllib.request
import zipfile
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
import torch
from assistant import as_data, ask
from demo_server import APP, START_SECONDS, environment, find_browser, running_demo
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image
from skimage.color import rgb2lab

from chromagan.hub.checkpoints import save_checkpoint
from chromagan.hub.model import ChromaGAN
from chromagan.hub.refiners import save_refiner
from chromagan.imaging.chroma import MODES
from chromagan.network.config import ModelConfig
from chromagan.network.decoders import DECODERS
from chromagan.network.refiner import ACTIONS, Refiner, RefinerConfig
from chromagan.network.trunk import Trunk
from docs import make_picture

EPOCHS = {"compact": (0, 3), "transposed": (0, 8)}  # so that (transposed, 3) is a pair that is not there
GENERAL = {"compact": (5,), "transposed": (6,)}  # beside them, for photos of any kind
METRICS = {"colored": {"images": 1234, "ciede2000_mean": {"value": 9.87}, "colorfulness_ratio": 0.42}}
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


def of_test(source: Path, scratch: Path) -> dict[str, str]:
    """Variables of a demo with the checkpoints of `source`.

    scratch: the system's folder for temporary files, so that the demo makes its own in it. A clone may lie in the real
    one; what Gradio serves from there needs no leave, elsewhere it does.
    """
    scratch.mkdir(exist_ok=True)
    return {"CHROMAGAN_SOURCE": str(source), "TMPDIR": str(scratch)}


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    """Untrained checkpoints of two decoders behind one trunk, one measured, with a refiner; beside them `general`."""
    study = tmp_path_factory.mktemp("source")
    torch.manual_seed(0)
    trunk = Trunk(ModelConfig().trunk, ModelConfig().trunk_stages)
    for folder, all_epochs in ((study, EPOCHS), (study / "general", GENERAL)):
        for decoder, epochs in all_epochs.items():
            for epoch in epochs:
                model = ChromaGAN(ModelConfig.preset("lite", decoder)).without_class_head()
                model.trunk = trunk
                model.freeze_trunk()
                save_checkpoint(model, folder / decoder / f"epoch-{epoch}", METRICS if epoch == 8 else None)
        refiner = Refiner(RefinerConfig(channels=8, steps=2, trunk_digest=model.config.trunk_digest))
        torch.nn.init.normal_(refiner.policy.weight, std=0.5)
        save_refiner(refiner, folder / "refiner")
    return study


@pytest.fixture(scope="module")
def server(source, tmp_path_factory):
    folder = tmp_path_factory.mktemp("server")
    # A visitor's browser has a processor of its own. Here both share a core (conftest.py), and while the server works
    # on a large photo the page would hear nothing until it has ended.
    with running_demo(folder, niceness=10, **of_test(source, folder / "tmp")) as server:
        yield server


@pytest.fixture(scope="module")
def photo(tmp_path_factory) -> Path:
    """A color photo of a size that no network likes; JPEG."""
    rng = np.random.default_rng(0)
    path = tmp_path_factory.mktemp("photos") / "harbor.jpg"
    coarse = Image.fromarray(rng.integers(0, 256, (7, 9, 3), dtype=np.uint8))
    coarse.resize((310, 203), Image.Resampling.BICUBIC).save(path, quality=95)
    return path


def lightness(path) -> np.ndarray:
    return rgb2lab(np.asarray(Image.open(path).convert("RGB")))[..., 0]


# The API


@pytest.fixture(scope="module")
def client(server, tmp_path_factory):
    client = Client(server.url, verbose=False, download_files=tmp_path_factory.mktemp("results"))
    yield client
    client.close()


def test_api_takes_an_image_alone(client, photo):
    result = client.predict(handle_file(photo), api_name="/colorize")
    with Image.open(result) as image:
        assert (image.format, image.mode, image.size) == ("PNG", "RGB", (310, 203))
    assert np.abs(lightness(result) - lightness(photo)).mean() < 0.5


def test_api_decoder_alone_is_at_its_newest_epoch(client, photo):
    def bytes_of(**choice) -> bytes:
        return Path(client.predict(image=handle_file(photo), **choice, api_name="/colorize")).read_bytes()

    newest = bytes_of(decoder="transposed", source="study")
    assert newest == bytes_of(decoder="transposed", epoch="8")
    assert newest != bytes_of(decoder="transposed", epoch=0)  # a number will do, and 0 is one
    assert newest != bytes_of(source="study")  # of the first decoder
    general = bytes_of(decoder="transposed")  # a photo of any kind
    assert general == bytes_of(decoder="transposed", epoch="6", source="general") != newest


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        ({"decoder": "sharpest"}, ["sharpest", "compact", "transposed"]),
        ({"decoder": "depthwise"}, ["no checkpoint", "depthwise", "compact", "transposed"]),
        ({"decoder": "transposed", "epoch": "3"}, ["transposed", "3", "0, 8"]),
        ({"epoch": "last"}, ["last", "whole number"]),
    ],
)
def test_api_says_what_it_does_not_have(client, photo, choice, words):
    with pytest.raises(AppError) as caught:
        client.predict(handle_file(photo), **choice, api_name="/colorize")
    assert all(word in str(caught.value) for word in words), str(caught.value)


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        ({"saturation": 9}, ["saturation", "between 0 and 3"]),
        ({"chroma": "sharp"}, ["sharp", "edge-aware", "bilinear"]),
        ({"source": "../../etc"}, ["owner/name"]),
        ({"source": "/tmp"}, ["owner/name"]),
    ],
)
def test_api_says_which_option_is_wrong(client, photo, choice, words):
    with pytest.raises(AppError) as caught:
        client.predict(handle_file(photo), **choice, api_name="/colorize")
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_api_saturation_0_is_gray(client, photo):
    result = client.predict(handle_file(photo), saturation=0, api_name="/colorize")
    pixels = np.asarray(Image.open(result)).astype(int)
    assert np.ptp(pixels, axis=2).max() <= 1


def test_api_offers_and_describes_its_functions(client):
    endpoints = client.view_api(return_format="dict")["named_endpoints"]
    assert set(endpoints) == {"/colorize", "/matrix", "/epochs", "/measure", "/checkpoints"}
    assert all(endpoint["description"] for endpoint in endpoints.values())


def test_api_lists_the_checkpoints(client):
    listed = client.predict(api_name="/checkpoints")
    assert {(each["decoder"], each["epoch"]) for each in listed} == {(d, e) for d, es in EPOCHS.items() for e in es}
    assert listed[-1]["measured"]["images"] == 1234


def test_api_matrix_is_a_zip_with_a_record(client, photo):
    with zipfile.ZipFile(client.predict(handle_file(photo), api_name="/matrix")) as archive:
        record = json.loads(archive.read("record.json"))
        pairs = [(each["decoder"], each["epoch"]) for each in record["colorings"]]
        assert pairs == [("compact", 0), ("compact", 3), ("transposed", 0), ("transposed", 8)]
        with Image.open(archive.open(record["colorings"][0]["file"])) as image:
            assert (image.format, image.size) == ("JPEG", (310, 203))


def test_api_epochs_is_an_animation(client, photo):
    with Image.open(client.predict(handle_file(photo), decoder="transposed", kind="gif", api_name="/epochs")) as image:
        assert (image.format, image.n_frames) == ("GIF", 2)


def test_api_measure_is_a_table(client, photo):
    answer = client.predict(handle_file(photo), epoch="0", api_name="/measure")
    assert answer["colored"] and set(answer["measures"]) == {"left gray", "compact", "transposed"}
    assert answer["measures"]["compact"]["ciede2000"] > 0 and answer["measures"]["compact"]["vivid_kept"] >= 0


def test_assistant_finds_four_tools_with_typed_arguments(server):
    tools, _ = ask(server.url)
    assert set(tools) == {"colorize", "matrix", "measure", "checkpoints"}
    for tool in tools.values():
        arguments = tool.inputSchema["properties"]
        assert tool.description and all(each["type"] and each["description"] for each in arguments.values())
        assert tool.inputSchema.get("required", []) == (["image"] if "image" in arguments else [])
    arguments = tools["colorize"].inputSchema["properties"]
    assert arguments["decoder"]["enum"] == ["", *DECODERS] and arguments["epoch"]["type"] == "integer"
    assert arguments["chroma"]["enum"] == list(MODES) and arguments["saturation"]["type"] == "number"


def test_assistant_gets_what_the_api_gives_and_the_same_refusals(server, client, photo):
    colorize, sent = "colorize", {"image": as_data(photo)}
    _, (picture, table, listed, *refusals) = ask(
        server.url,
        (colorize, sent | {"decoder": "transposed", "epoch": 0}),
        ("measure", sent | {"epoch": 0}),
        ("checkpoints", {}),
        (colorize, sent | {"decoder": "sharpest"}),
        (colorize, sent | {"saturation": 9}),
        (colorize, {"image": "/etc/hostname"}),
        (colorize, {"image": "data:image/png;base64,bm9uZQ=="}),
        (colorize, {"image": f"{server.url}/manifest.json"}),
    )
    by_api = client.predict(handle_file(photo), decoder="transposed", epoch=0, api_name="/colorize")
    assert picture.content[0].mimeType == "image/png"
    got, wanted = Image.open(io.BytesIO(base64.b64decode(picture.content[0].data))), Image.open(by_api)
    np.testing.assert_array_equal(np.asarray(got), np.asarray(wanted))
    assert "'ciede2000'" in table.content[0].text and "'decoder': 'transposed'" in listed.content[0].text
    refused = [each.content[0].text for each in refusals if each.isError]
    of_this_network = f"no photo at {server.url}/manifest.json: "
    wanted = ("sharpest", "between 0 and 3", "provide a url", "not an image", of_this_network)
    for words, text in zip(wanted, refused, strict=True):
        assert words in text and "\n" not in text


def test_page_can_be_installed(server):
    with urllib.request.urlopen(f"{server.url}/manifest.json", timeout=20) as answer:
        assert json.load(answer)["name"] == "ChromaGAN Studio"


def test_health(server):
    with urllib.request.urlopen(f"{server.url}/health", timeout=20) as answer:
        state = json.load(answer)
    assert state["status"] == "ok" and state["checkpoints"] == 4


def test_twenty_people_at_once_are_all_served_their_own_photo(server, client, tmp_path):
    """Each sends a photo of its own brightness, under one name: nobody gets another's."""
    jobs = []
    for level in range(20):
        path = tmp_path / str(level) / "photo.png"
        path.parent.mkdir()
        Image.new("L", (64, 48), 20 + 11 * level).save(path)
        jobs.append((level, client.submit(handle_file(path), saturation=0, api_name="/colorize")))
    for level, job in jobs:
        pixels = np.asarray(Image.open(job.result(timeout=60)))
        assert np.abs(pixels.astype(int) - (20 + 11 * level)).max() <= 1, level


def test_many_requests_leave_memory_flat(server, client, tmp_path):
    def resident() -> int:
        return int(Path(f"/proc/{server.process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    if not Path("/proc/self/statm").exists():
        pytest.skip("needs /proc")
    before = None
    for index in range(40):
        Image.linear_gradient("L").resize((300 + index, 200)).save(tmp_path / "photo.png")
        client.predict(handle_file(tmp_path / "photo.png"), api_name="/colorize")
        if index == 15:
            before = resident()
    assert resident() - before < 100 << 20


# The page


@pytest.fixture(scope="module")
def browser():
    """With a camera that shows a moving pattern, and leave to use it."""
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
        yield context


@pytest.fixture
def page(visitor, server):
    """The page as it is on arrival; what it asked for and complained of is in `page.requests`, `page.faults`."""
    page = visitor.new_page()
    page.set_default_timeout(30_000)
    page.requests, page.faults = [], []
    page.on("request", lambda request: page.requests.append(request.url))
    page.on("pageerror", lambda error: page.faults.append(str(error)))
    page.goto(server.url)
    page.wait_for_function("document.querySelectorAll('#result img').length == 2")
    yield page
    page.close()


def narrow_page(visitor, width: int):
    """An empty page as wide as a phone's, in CSS pixels."""
    page = visitor.new_page()
    page.set_viewport_size({"width": width, "height": 844})
    return page


def sources(page) -> list[str]:
    """The addresses of the gray and of the color image, once both are loaded."""
    images = "[...document.querySelectorAll('#result img')]"
    page.wait_for_function(f"{images}.every(image => image.complete && image.naturalWidth)")
    return page.evaluate(f"{images}.map(image => image.src)")


def sizes(page) -> list[list[int]]:
    return page.evaluate(
        "[...document.querySelectorAll('#result img')].map(image => [image.naturalWidth, image.naturalHeight])"
    )


def upload(page, path: Path):
    page.click("#photo [aria-label='Remove Image']")
    page.set_input_files("#photo input[type=file]", path)
    page.wait_for_selector("#photo [aria-label='Remove Image']")


def upload_of(page, path: Path):
    """As `upload`, of a file that is refused."""
    page.click("#photo [aria-label='Remove Image']")
    page.set_input_files("#photo input[type=file]", path)


def wait_for_another(page, before: list[str]):
    page.wait_for_function(
        "before => document.querySelectorAll('#result img')[1].src != before && "
        "document.querySelectorAll('#result img')[1].complete",
        arg=before[1],
    )


def enter_source(page, source: str):
    """Asks for the checkpoints of a source that is refused; returns with the toast that quotes it."""
    page.click("#options >> text=Options")
    box = page.locator("#source textarea, #source input")
    toast = page.locator("[data-testid=toast-body]", has_text=source)
    for attempt in range(100):
        if attempt % 10 == 0:  # Gradio mounts the box when the accordion opens: once in many runs it hears no Enter yet
            box.fill(source)
            box.press("Enter")  # of the box, whatever else has taken the focus meanwhile
        page.wait_for_timeout(300)
        if toast.count():
            return
    pytest.fail(f"no word about {source}")


def said(page) -> str:
    page.wait_for_selector("[data-testid=toast-body]")
    return page.inner_text("[data-testid=toast-body]")


def test_arrival_shows_a_result(page):
    sources(page)
    gray, color = sizes(page)
    assert gray == color and min(gray) > 200
    assert "Compact" in page.inner_text("#caption") and "epoch 3" in page.inner_text("#caption")
    assert "92,834 parameters" in page.inner_text("#caption")
    assert "CIEDE2000" not in page.inner_text("#caption")  # not measured


def test_photo_in_color_on_the_page_and_as_a_file(page, server, photo, tmp_path):
    before = sources(page)
    upload(page, photo)
    wait_for_another(page, before)
    before = sources(page)
    assert sizes(page) == [[310, 203]] * 2
    page.wait_for_selector("#caption >> text=epoch 5")  # one's own photo: by the network for any kind
    assert page.locator("#network input:checked").get_attribute("value") == "general"
    page.wait_for_function("location.search.includes('network=general')")
    page.click("#network >> text=Imagenette")
    page.wait_for_selector("#caption >> text=epoch 3")
    wait_for_another(page, before)
    before = sources(page)

    page.click("#decoder >> text=Transposed convolutions")  # has no epoch 3: its newest is chosen
    page.wait_for_selector("#caption >> text=epoch 8")
    wait_for_another(page, before)
    caption = page.inner_text("#caption")
    assert all(
        word in caption for word in ("208,058 parameters", "9.9 CIEDE2000", "42%", "1,234 colored validation photos")
    )

    before = sources(page)
    page.click("#epoch >> text=0")
    page.wait_for_selector("#caption >> text=before training")
    page.click("#colorize")
    sources(page)
    with page.expect_download() as download:
        page.click("#download")
    assert download.value.suggested_filename == "harbor-transposed-epoch-0.jpg"
    download.value.save_as(tmp_path / "file")
    with Image.open(tmp_path / "file") as image:
        assert (image.format, image.size) == ("JPEG", (310, 203))
    assert np.abs(lightness(tmp_path / "file") - lightness(photo)).mean() < 1  # JPEG itself costs about half of it
    assert page.faults == []


def test_large_photo_is_shown_small_and_saved_whole(page, tmp_path):
    Image.linear_gradient("L").resize((2000, 1500)).save(tmp_path / "large.png")
    before = sources(page)
    upload(page, tmp_path / "large.png")
    wait_for_another(page, before)
    sources(page)
    assert sizes(page) == [[1600, 1200]] * 2
    with page.expect_download() as download:
        page.click("#download")
    assert download.value.suggested_filename == "large-compact-epoch-5.png"
    with Image.open(download.value.path()) as image:
        assert (image.format, image.size) == ("PNG", (2000, 1500))


def open_tab(page, name: str):
    page.click(f"button[role=tab]:has-text('{name}') >> visible=true")


def test_divider_moves_by_keyboard_and_by_pointer(page):
    sources(page)
    divider = page.locator("#result .compare input")
    assert divider.get_attribute("aria-label").startswith("Divider: Gray on the left")
    divider.focus()
    for _ in range(20):
        page.keyboard.press("ArrowRight")
    assert float(divider.input_value()) == 60  # 0.5 a step
    clip = "getComputedStyle(document.querySelector('#result img.over')).clipPath"
    assert "60%" in page.evaluate(clip)
    box = page.locator("#result .compare").bounding_box()
    page.mouse.move(box["x"] + 0.6 * box["width"], box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.2 * box["width"], box["y"] + box["height"] / 2, steps=4)
    page.mouse.up()
    assert abs(float(divider.input_value()) - 20) < 2
    assert all(page.evaluate("[...document.querySelectorAll('#result img')].map(image => image.alt)"))


def test_matrix_fills_and_compares_any_two(page, photo):
    upload(page, photo)
    open_tab(page, "Matrix")  # is filled without being asked
    page.wait_for_function("document.querySelectorAll('#matrix button.ready').length == 4")
    page.wait_for_selector("#pair img")
    assert page.locator("#matrix [data-key]").count() == 4 and page.locator("#matrix .none").count() == 2
    assert page.locator("#matrix [data-key='transposed/8']").get_attribute("aria-label") == (
        "Transposed convolutions, epoch 8"
    )
    page.click("#matrix [data-key='transposed/8']")
    page.wait_for_selector("#pair .tag.end:has-text('Transposed convolutions, epoch 8')")
    page.focus("#matrix [data-key='compact/0']")
    page.keyboard.press("Enter")
    page.wait_for_selector("#pair .tag.end:has-text('Compact, before training')")
    assert page.inner_text("#pair .tag.start") == "Transposed convolutions, epoch 8"
    page.wait_for_selector("#matrix [data-key='transposed/8'][aria-pressed=true]")
    colored = page.get_attribute("#matrix [data-key='transposed/8'] img", "src")
    page.click("#options >> text=Options")
    page.fill("#saturation input[type=number]", "0")
    page.keyboard.press("Enter")  # what is shown follows, and the two that were chosen stay
    page.wait_for_function(f"document.querySelector(`[data-key='transposed/8'] img`).src !== '{colored}'")
    page.wait_for_selector("#matrix [data-key='transposed/8'][aria-pressed=true]")
    assert page.inner_text("#pair .tag.start") == "Transposed convolutions, epoch 8"
    with page.expect_download() as download:
        page.click("#zip")
    assert download.value.suggested_filename == "harbor-matrix.zip"
    assert len(zipfile.ZipFile(download.value.path()).namelist()) == 6
    assert page.faults == []


def test_stop_ends_long_work(page, photo, tmp_path):
    """One long request runs at a time: had the first gone on, its file would have come before the second's grid."""
    downloads = []
    page.on("download", lambda download: downloads.append(download))
    Image.effect_noise((8000, 6000), 60).save(tmp_path / "large.jpg")  # takes seconds to pack, on any machine
    upload(page, tmp_path / "large.jpg")
    open_tab(page, "Matrix")
    page.wait_for_function("document.querySelectorAll('#matrix button.ready').length == 4")
    before = page.evaluate("document.querySelector('#matrix button.ready img').src")
    page.wait_for_selector("#pair img")
    page.click("#zip")
    page.wait_for_selector("#pair >> text=colorings")  # the filling has "processing" at the same place
    page.click("#stop-fill")
    upload(page, photo)
    page.wait_for_function(
        "before => (ready => ready.length == 4 && ready.every(image => image.src != before))"
        "([...document.querySelectorAll('#matrix button.ready img')])",
        arg=before,
    )
    assert downloads == [] and page.faults == []


def test_epochs_scrub_play_and_animate(page, photo):
    upload(page, photo)
    open_tab(page, "Epochs")
    page.wait_for_selector("#film .scrubber")
    visible = "[...document.querySelectorAll('#film .frames img')].findIndex(image => !image.hidden)"
    assert page.evaluate(visible) == 1
    page.focus("#film input")
    page.keyboard.press("ArrowLeft")
    assert page.evaluate(visible) == 0 and page.inner_text("#film .tag") == "before training"
    assert page.locator("#film .dot.now title").first.text_content().startswith("epoch 0")
    assert page.locator("#film .chart").count() == 3  # the photo has colors
    page.click("#film .play")
    page.wait_for_function(f"{visible} == 1")
    with page.expect_download() as download:
        page.click("#webp")
    assert download.value.suggested_filename == "harbor-compact-epochs.webp"
    with Image.open(download.value.path()) as image:
        assert (image.format, image.n_frames) == ("WEBP", 2)

    # Another photo while it plays: Gradio patches the pictures of the same scrubber, which begins anew.
    page.focus("#film input")
    page.keyboard.press("ArrowLeft")
    page.click("#film .play")
    before = page.get_attribute("#film .frames img", "src")
    page.click("#examples .gallery-item >> nth=1")
    page.wait_for_function(f"document.querySelector('#film .frames img').src !== '{before}'")
    page.wait_for_function(f"document.querySelector('#film .play').ariaPressed === 'false' && {visible} === 1")
    assert page.input_value("#film input") == "1"
    assert page.faults == []


def test_refiner_shows_its_steps_and_what_pixels_did(page, photo):
    upload(page, photo)
    open_tab(page, "Refine")  # is filled without being asked, at the last step
    page.wait_for_selector("#refined .tag.end:has-text('Step 2 of 2')")
    assert page.inner_text("#refined .tag.start") == "Before"
    assert all(action in page.inner_text("#refined .legend") for action in ACTIONS)
    page.click("#step-view >> text=What each pixel did")
    page.wait_for_selector("#refined .tag.end:has-text('Step 2: actions')")
    page.focus("#step input[type=range]")
    page.keyboard.press("ArrowLeft")
    page.wait_for_selector("#refined .tag.end:has-text('Step 1: actions')")
    page.keyboard.press("ArrowLeft")
    page.wait_for_selector("#refined .tag.end:has-text('Before')")
    assert page.locator("#refined .legend").count() == 0 and page.faults == []


def test_measures_of_a_photo_in_color(page, photo):
    upload(page, photo)
    open_tab(page, "Measure")
    page.wait_for_selector("#table >> text=Transposed convolutions, epoch 6")  # by the network for photos of any kind
    assert page.locator("#table tbody tr").count() == 3 and "Each decoder's own" in page.inner_text("#at")
    page.click("#network >> text=Imagenette")  # is measured anew: at epoch 3, that of the nearest checkpoint
    page.wait_for_function("document.querySelectorAll('#table tbody tr').length == 2")
    assert "CIEDE2000" in page.inner_text("#table")
    page.click("#at >> text=0")
    page.wait_for_function("document.querySelectorAll('#table tbody tr').length == 3")
    assert page.locator("#table td.best").count() == 8
    page.wait_for_selector("#errors .tag.end:has-text('CIEDE2000')")
    page.click("#view >> text=Boundaries")
    page.wait_for_selector("#errors .tag.end:has-text('Boundaries')")
    assert page.locator("#seen tbody tr").count() == 10 and "Vivid colors kept, %" in page.inner_text("#seen")
    for view, words in (
        ("False red", "red where the photo is not"),
        ("Small spots", "small spot"),
        ("Border", "4 pix"),
    ):
        page.click(f"#view >> text={view}")
        page.wait_for_selector(f"#errors .legend:has-text('{words}')")
    with page.expect_download() as download:
        page.click("#csv")
    assert download.value.suggested_filename == "harbor-epoch-0-measures.csv"
    assert Path(download.value.path()).read_text().startswith("name,psnr,ssim,ciede2000")
    assert page.faults == []


def test_measures_of_a_gray_photo_say_what_cannot_be_measured(page):
    open_tab(page, "Measure")
    page.click("#examples .gallery-item >> nth=4")
    page.wait_for_selector("#table >> text=no true colors")
    assert page.faults == []


def test_options_change_the_picture(page):
    before = sources(page)
    page.click("#options >> text=Options")
    page.click("#chroma >> text=Bilinear")
    wait_for_another(page, before)
    before = sources(page)
    page.focus("#saturation input[type=range]")  # without a pointer, too
    page.keyboard.press("ArrowRight")
    wait_for_another(page, before)


def test_source_out_of_reach_falls_back_visibly(page):
    enter_source(page, "nobody/nothing")
    assert "shipped checkpoints" in said(page)
    assert page.input_value("#source textarea, #source input") == ""
    page.click("#decoder >> text=Transposed convolutions")
    page.wait_for_selector("#caption >> text=Transposed convolutions")


def test_view_is_in_the_address_and_comes_back(page, visitor, server):
    page.click("#examples .gallery-item >> nth=1")
    page.click("#decoder >> text=Transposed convolutions")  # while the example is colored: the click stays
    page.wait_for_selector("#caption >> text=epoch 8")
    open_tab(page, "Epochs")
    page.wait_for_function("location.search.includes('tab=epochs')")
    page.wait_for_function("location.search.includes('example=rocket')")
    assert "decoder=transposed" in page.url and "epoch=8" in page.url
    page.click("#film-decoder >> text=Transposed convolutions")
    page.wait_for_function("location.search.includes('film=transposed')")
    open_tab(page, "Measure")
    page.click("#at >> text=0")
    page.wait_for_function("location.search.includes('at=0')")
    open_tab(page, "Matrix")
    page.click("#matrix [data-key='transposed/0']")
    page.wait_for_function("location.search.includes('right=transposed%2F0') && location.search.includes('tab=matrix')")
    other = visitor.new_page()
    other.goto(page.url)
    other.wait_for_selector("#pair .tag.end:has-text('Transposed convolutions, before training')")
    open_tab(other, "Epochs")
    other.wait_for_selector("#film .scrubber")
    assert "Transposed" in other.locator("#film .frames img").first.get_attribute("alt")
    open_tab(other, "Measure")
    other.wait_for_selector("#table >> text=Epoch 0, this one photo")
    other.goto(f"{server.url}/?decoder=transposed&tab=epochs")  # as someone would write it
    other.wait_for_selector("#film .scrubber")
    assert "Transposed" in other.locator("#film .frames img").first.get_attribute("alt")
    other.close()


def test_the_network_is_a_choice_that_a_link_carries(page, visitor):
    assert page.locator("#network input:checked").get_attribute("value") == "study"  # of an example
    page.click("#network >> text=Photos of any kind")
    page.wait_for_selector("#caption >> text=epoch 5")
    page.wait_for_function("location.search.includes('network=general') && location.search.includes('epoch=5')")
    other = visitor.new_page()
    other.goto(page.url)
    other.wait_for_selector("#caption >> text=epoch 5")
    other.click("#examples .gallery-item >> nth=1")  # an example is the study's again
    other.wait_for_selector("#caption >> text=epoch 3")
    assert other.locator("#network input:checked").get_attribute("value") == "study"
    other.close()
    assert page.faults == []


def test_address_cannot_put_markup_into_the_page(page, server):
    page.goto(f"{server.url}/?decoder=%3Cimg%20src%3Dnowhere.png%3E")
    toast = page.locator("[data-testid=toast-text]")
    toast.wait_for()
    assert "<img src=nowhere.png>" in toast.inner_text()
    assert toast.locator("img").count() == 0
    assert not any(urlsplit(url).path.endswith("nowhere.png") for url in page.requests)


def test_names_of_files_and_sources_cannot_put_markup_into_the_page(page, tmp_path):
    """A toast is HTML. The first message is Gradio's own, of a file beyond its limit; the second is ours."""
    with (tmp_path / "<img src=nowhere.png onerror=alert(1)>.bmp").open("wb") as file:
        file.truncate(51 << 20)
    upload_of(page, Path(file.name))
    assert "img src=nowhere.png" in said(page)
    enter_source(page, "<img src=nowhere.png>")
    assert page.locator("[data-testid=toast-body] img").count() == 0
    assert not any(urlsplit(url).path.endswith("nowhere.png") for url in page.requests)


FILE = """(bytes, kind) => {
    const data = new DataTransfer();
    const content = Uint8Array.from(atob(bytes), each => each.charCodeAt(0));
    data.items.add(new File([content], 'given.jpg', {type: 'image/jpeg'}));
    const options = {bubbles: true, cancelable: true, clipboardData: data, dataTransfer: data};
    const event = kind === 'paste' ? new ClipboardEvent(kind, options) : new DragEvent(kind, options);
    return document.querySelector('#caption').dispatchEvent(event);
}"""


@pytest.mark.parametrize("kind", ["paste", "drop"])
def test_photo_given_anywhere_on_the_page(page, photo, kind):
    before = sources(page)
    page.evaluate(f"([bytes, kind]) => ({FILE})(bytes, kind)", [base64.b64encode(photo.read_bytes()).decode(), kind])
    wait_for_another(page, before)
    sources(page)
    assert sizes(page) == [[310, 203]] * 2 and page.faults == []


def test_webcam(page):
    before = sources(page)
    page.click("#photo [aria-label='Remove Image']")
    page.click("#photo [aria-label='Capture from camera']")
    page.click("#photo >> text=Click to Access Webcam")
    page.wait_for_function("document.querySelector('#photo video')?.videoWidth > 0")  # before, a click takes no picture
    page.click("#photo [aria-label='capture photo']")
    wait_for_another(page, before)
    assert page.faults == []


def test_keyboard_alone(page):
    """Tab to an example, Enter; on to the decoders, of which arrow keys choose; Tab leaves them."""

    def focus(wanted: str):
        for _ in range(40):
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement.ariaLabel || document.activeElement.value") == wanted:
                return
        pytest.fail(f"Tab does not lead to {wanted}")

    before = sources(page)
    focus("Example photo: cat")
    page.keyboard.press("Enter")
    wait_for_another(page, before)
    before = sources(page)
    focus("compact")
    page.keyboard.press("ArrowRight")
    page.wait_for_selector("#caption >> text=Transposed convolutions")
    wait_for_another(page, before)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.closest('#epoch') !== null")


def test_wide_tables_keep_their_first_column_in_sight(visitor, server):
    page = narrow_page(visitor, 390)
    page.goto(f"{server.url}/?tab=about")
    page.wait_for_selector("#about .scroll")
    page.evaluate("document.querySelector('#about .scroll').scrollLeft = 300")
    table, name = (page.locator(f"#about .scroll {part} >> nth=0").bounding_box() for part in ("", "tbody th"))
    assert abs(name["x"] - table["x"]) < 1 and name["width"] < 0.45 * table["width"]
    page.close()


def test_examples_have_names_for_screen_readers(page):
    page.wait_for_selector("#examples button[aria-label]")
    names = page.locator("#examples button").evaluate_all("all => all.map(each => each.ariaLabel)")
    assert names[:2] == ["Example photo: coffee", "Example photo: rocket"] and all(names)


def test_example_is_colored_when_picked(page):
    before = sources(page)
    page.click("#examples .gallery-item >> nth=1")
    wait_for_another(page, before)
    assert page.faults == []


def test_without_a_photo(page):
    page.click("#photo [aria-label='Remove Image']")
    page.click("#colorize")
    assert "Upload a photo first." in said(page)
    assert len(sources(page)) == 2  # the last picture is still there


@pytest.mark.parametrize("kind", ["text", "half"])
def test_file_that_is_no_photo(page, server, photo, tmp_path, kind):
    path = tmp_path / "broken.jpg"
    path.write_bytes(b"Not a photo at all.\n" if kind == "text" else photo.read_bytes()[:4000])
    upload(page, path)
    page.click("#colorize")
    message = said(page)
    assert "broken.jpg: " in message and str(server.folder) not in message
    assert "Traceback" not in server.log.read_text()


def test_photo_of_too_many_pixels(page, server, tmp_path):
    Image.new("1", (9000, 8000)).save(tmp_path / "wall.png")
    upload(page, tmp_path / "wall.png")
    page.click("#colorize")
    assert "wall.png: more than 64 megapixels" in said(page)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_narrow_page_does_not_scroll_sideways(visitor, server, scheme):
    page = narrow_page(visitor, 390)
    page.emulate_media(color_scheme=scheme)
    page.goto(server.url)
    page.wait_for_selector("#result img")
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    for part in ("#header", "#result", "#caption", "#photo", "#examples", "#network", "#decoder", "#download"):
        box = page.locator(part).bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= 390, part
    assert page.locator("#network").bounding_box()["width"] == page.locator("#options").bounding_box()["width"]
    for name, ready in (
        ("Refine", "#refined .legend"),
        ("Matrix", "#pair img"),
        ("Epochs", "#film .chart"),
        ("Measure", "#classes"),
        ("About", "#about"),
    ):
        open_tab(page, name)
        page.wait_for_selector(f"{ready} >> nth=0")
        assert page.evaluate("document.documentElement.scrollWidth") == 390, name
    page.close()


def test_tabs_that_do_not_fit_are_reached_before_the_picture(visitor, server):
    page = narrow_page(visitor, 320)
    page.goto(server.url)
    page.wait_for_selector("#result img")
    page.click(".overflow-menu > button >> visible=true")
    page.click(".overflow-dropdown button:has-text('About')", timeout=5000)  # waits until nothing lies upon it
    page.wait_for_selector("#about >> visible=true")
    page.close()


def test_page_asks_nobody_else(page):
    page.click("#examples .gallery-item >> nth=2")
    wait_for_another(page, sources(page))
    hosts = {urlsplit(url).hostname for url in page.requests if url.startswith("http")}
    assert hosts == {"127.0.0.1"}


def test_picture_of_the_readme_shows_the_example_and_the_tab_that_are_asked_for(browser, server):
    asked = (("cat", "colorize"), ("coffee", "matrix"))
    pictures = [make_picture.take(browser, server.url, *example_and_tab) for example_and_tab in asked]
    assert [picture.size for picture in pictures] == [(1280, 860), (1280, 1180)]
    cat, coffee = (np.asarray(picture.crop((0, 0, 1280, 860)), int) for picture in pictures)
    assert (np.abs(cat - coffee).max(axis=2) > 8).mean() > 0.1
    assert all(len(make_picture.encoded(picture)) <= 300_000 for picture in pictures)


def test_server_is_clean_afterwards(server):
    assert "Traceback" not in server.log.read_text()
    assert any((server.folder / "tmp").rglob("harbor.jpg"))
    server.process.terminate()
    server.process.wait(20)
    assert sorted(path.name for path in server.folder.iterdir()) == ["log", "tmp"]  # no .gradio/ beside it
    assert not any((server.folder / "tmp").iterdir())  # no one's photo stays behind


# No source, no demo


def test_empty_source_is_one_line_and_status_1(tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    run = subprocess.run(
        [sys.executable, APP],
        env=environment(**of_test(empty, tmp_path / "tmp")),
        capture_output=True,
        text=True,
        timeout=START_SECONDS,
    )
    assert run.returncode == 1
    assert len(run.stderr.splitlines()) == 1 and "no checkpoints" in run.stderr, run.stderr


def test_damaged_source_is_one_line(source, tmp_path, monkeypatch):
    damaged = shutil.copytree(source, tmp_path / "damaged")
    (damaged / "compact" / "epoch-3" / "model.safetensors").write_bytes(b"weights")
    for name, value in of_test(damaged, tmp_path / "tmp").items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as caught:  # Python prints its text, with status 1
        runpy.run_path(str(APP))
    assert "cannot be used" in caught.value.code and "\n" not in caught.value.code


def test_source_within_reach_is_used_and_named(source, tmp_path, monkeypatch, capsys):
    """Without a Hub: the source that ships stands for one that a visitor named."""
    for name, value in of_test(source, tmp_path / "tmp").items():
        monkeypatch.setenv(name, value)
    app = runpy.run_path(str(APP))
    monkeypatch.setattr(app["service"], "source", lambda name: app["service"].shipped)
    assert app["offers_tools"]()
    box, decoder, epoch, *_, network, about = app["updates"].on_source("owner/name", "general")
    assert not network.visible and "no readable" in about  # its networks are no choice; it has no claims.json
    assert (box.value, box.info) == ("owner/name", f"Using {source.name}.")
    assert [value for _, value in decoder.choices] == list(EPOCHS) and epoch.value == "3"

    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert not app["offers_tools"]()
    assert capsys.readouterr().err == "app.py: no tools for assistants: pip install 'gradio[mcp]'\n"
