"""The API of a demo that runs, by gradio_client, and what it answers over HTTP alone."""

import gzip
import io
import json
import os
import urllib.error
import urllib.request
import zipfile
from pathlib import Path

import numpy as np
import pytest
from gradio_client import handle_file
from gradio_client.exceptions import AppError
from made_demo import EPOCHS, lightness
from PIL import Image


def test_api_takes_an_image_alone(client, harbor):
    result = client.predict(handle_file(harbor), api_name="/colorize")
    with Image.open(result) as image:
        assert (image.format, image.mode, image.size) == ("PNG", "RGB", (310, 203))
    assert np.abs(lightness(result) - lightness(harbor)).mean() < 0.5


def test_api_decoder_alone_is_at_its_epoch_nearest_to_the_truth(client, harbor):
    def bytes_of(**choice) -> bytes:
        return Path(client.predict(image=handle_file(harbor), **choice, api_name="/colorize")).read_bytes()

    recommended = bytes_of(decoder="transposed", source="study")
    assert recommended == bytes_of(decoder="transposed", epoch="8") != bytes_of(decoder="transposed", epoch="9")
    assert recommended != bytes_of(decoder="transposed", epoch=0)  # a number will do, and 0 is one
    unmeasured = bytes_of(decoder="compact", source="study")
    assert unmeasured == bytes_of(decoder="compact", epoch="3") != recommended  # the newest
    assert unmeasured == bytes_of(source="study")  # the first decoder
    general = bytes_of(decoder="transposed")  # a photo of any kind
    assert general == bytes_of(decoder="transposed", epoch="6", source="general") != recommended


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        ({"decoder": "sharpest"}, ["sharpest", "compact", "transposed"]),
        ({"decoder": "depthwise"}, ["no checkpoint", "depthwise", "compact", "transposed"]),
        ({"decoder": "transposed", "epoch": "3"}, ["transposed", "3", "0, 8, 9"]),
        ({"epoch": "last"}, ["last", "whole number"]),
    ],
)
def test_api_says_what_it_does_not_have(client, harbor, choice, words):
    with pytest.raises(AppError) as caught:
        client.predict(handle_file(harbor), **choice, api_name="/colorize")
    assert all(word in str(caught.value) for word in words), str(caught.value)


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        ({"saturation": 9}, ["saturation", "0 to 3"]),
        ({"chroma": "sharp"}, ["sharp", "edge-aware", "bilinear"]),
        ({"source": "../../etc"}, ["owner/name"]),
        ({"source": "/tmp"}, ["owner/name"]),
        ({"source": "no\0path"}, ["owner/name"]),
        ({"source": 5}, ["source must be text, got 5"]),  # JSON has other types, too
        ({"source": ["study"]}, ["source must be text, got ['study']"]),
        ({"chroma": []}, ["edge-aware", "bilinear"]),
        ({"refine": {}}, ["default, yes, no"]),
        ({"epoch": [3]}, ["epoch [3] is not a whole number"]),
        ({"kind": [], "api_name": "/epochs"}, ["kind must be one of webp, gif, got []"]),
        ({"source": 5, "api_name": "/epochs"}, ["source must be text, got 5"]),
        ({"source": [5], "api_name": "/matrix"}, ["source must be text, got [5]"]),
        ({"source": 5, "api_name": "/measure"}, ["source must be text, got 5"]),
    ],
)
def test_api_says_which_option_is_wrong(client, harbor, choice, words):
    with pytest.raises(AppError) as caught:
        client.predict(handle_file(harbor), **{"api_name": "/colorize"} | choice)
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_api_saturation_0_is_gray(client, harbor):
    result = client.predict(handle_file(harbor), saturation=0, api_name="/colorize")
    pixels = np.asarray(Image.open(result)).astype(int)
    assert np.ptp(pixels, axis=2).max() <= 1


@pytest.fixture
def answer_of(demo):
    """What the server answers to JSON that no client would send: status and text."""

    def ask(path: str, body) -> tuple[int, str]:
        data = iter([json.dumps(body).encode()])  # in chunks, without a length
        headers = {"Content-Type": "application/json", "Transfer-Encoding": "chunked"}
        try:
            with urllib.request.urlopen(urllib.request.Request(demo.url + path, data, headers), timeout=60) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    return ask


@pytest.fixture
def uploaded(demo, harbor):
    """The path that the server gives to a photo sent as a browser or curl sends it."""
    boundary = "part"
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="files"; filename="harbor.jpg"\r\n\r\n'
    body = head.encode() + harbor.read_bytes() + f"\r\n--{boundary}--\r\n".encode()
    headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    request = urllib.request.Request(f"{demo.url}/gradio_api/upload", body, headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.loads(answer.read())[0]


def test_over_http_too_an_image_is_enough(answer_of, uploaded):
    image = {"path": uploaded}
    alone, defaults = (
        answer_of("/gradio_api/run/colorize", {"data": [image, *others]})
        for others in ([], ["", None, "edge-aware", 1, "", "default"])
    )
    results = [json.loads(answer)["data"][0]["path"] for status, answer in (alone, defaults) if status == 200]
    assert len(results) == 2 and Path(results[0]).read_bytes() == Path(results[1]).read_bytes()
    for name in ("matrix", "epochs", "measure", "checkpoints"):
        data = [] if name == "checkpoints" else [image]
        status, answer = answer_of(f"/gradio_api/run/{name}", {"data": data})
        assert status == 200 and json.loads(answer)["data"][0], answer
    status, answer = answer_of("/gradio_api/run/colorize", {"data": []})
    assert (status, json.loads(answer)["error"]) == (500, "Upload a photo first.")


@pytest.mark.parametrize("name", ["colorize", "matrix", "epochs", "measure"])
@pytest.mark.parametrize("path", [str(Path(__file__).parents[2] / "examples" / "cat.jpg"), "/etc/passwd", "/dev/zero"])
def test_no_file_of_the_server_is_read(answer_of, name, path):
    others = {
        "colorize": ["", None, "edge-aware", 1, "", "no"], "matrix": ["edge-aware", 1, ""],
        "epochs": ["", "webp", "edge-aware", 1, ""], "measure": [None, ""],
    }[name]  # fmt: skip
    status, answer = answer_of(f"/gradio_api/run/{name}", {"data": [{"path": path}, *others]})
    assert status == 500 and json.loads(answer)["error"].startswith("This photo was not uploaded to this server")


def test_a_request_of_megabytes_is_refused(answer_of):
    data = [None, "", None, "edge-aware", 1, "x" * 2_000_000, "no"]
    status, answer = answer_of("/gradio_api/run/colorize", {"data": data})
    assert status == 413 and "at most 1,048,576 bytes" in answer


NOT_UPLOADED = "This photo was not uploaded to this server"


@pytest.mark.parametrize(
    ("image", "words"),
    [
        ({"path": "http://127.0.0.1/x.jpg"}, "no photo at http://127.0.0.1/x.jpg: "),
        ({"url": "http://127.0.0.1/x.jpg"}, "no photo at http://127.0.0.1/x.jpg: "),
        ("http://127.0.0.1/x.jpg", "no photo at http://127.0.0.1/x.jpg: "),
        ({"path": "x.jpg", "meta": {"_type": "gradio.FileData"}}, NOT_UPLOADED),
        ({"path": "x.jpg", "url": "http://127.0.0.1/x.jpg"}, NOT_UPLOADED),
        ("data:image/png;base64,AAAA", NOT_UPLOADED),
        ({"path": ["x"]}, 'an image is {"path": ...}: its URL, or what /gradio_api/upload has answered; got {'),
        (["x"], "an image is"),
        (5, "an image is"),
        ({}, "an image is"),
    ],
)
def test_an_image_is_a_url_or_an_upload(answer_of, image, words):
    status, answer = answer_of("/gradio_api/run/colorize", {"data": [image]})
    assert status == 500 and json.loads(answer)["error"].startswith(words)


def test_nobody_sees_what_others_do(demo):
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(f"{demo.url}/monitoring/summary")
    assert caught.value.code in (403, 404)


def test_api_offers_and_describes_its_functions(client):
    endpoints = client.view_api(return_format="dict")["named_endpoints"]
    assert set(endpoints) == {"/colorize", "/matrix", "/epochs", "/measure", "/checkpoints"}
    assert all(endpoint["description"] for endpoint in endpoints.values())


def test_api_lists_the_checkpoints(client):
    listed = client.predict(api_name="/checkpoints")
    assert {(each["decoder"], each["epoch"]) for each in listed} == {(d, e) for d, es in EPOCHS.items() for e in es}
    assert listed[-1]["measured"]["images"] == 1234


def test_api_matrix_is_a_zip_with_a_record(client, harbor):
    with zipfile.ZipFile(client.predict(handle_file(harbor), api_name="/matrix")) as archive:
        record = json.loads(archive.read("record.json"))
        pairs = [(each["decoder"], each["epoch"]) for each in record["colorings"]]
        assert pairs == [("compact", 0), ("compact", 3), ("transposed", 0), ("transposed", 8), ("transposed", 9)]
        with Image.open(archive.open(record["colorings"][0]["file"])) as image:
            assert (image.format, image.size) == ("JPEG", (310, 203))


def test_api_epochs_is_an_animation(client, harbor):
    with Image.open(client.predict(handle_file(harbor), decoder="transposed", kind="gif", api_name="/epochs")) as image:
        assert (image.format, image.n_frames) == ("GIF", 3)


def test_api_measure_is_a_table(client, harbor):
    answer = client.predict(handle_file(harbor), epoch="0", api_name="/measure")
    assert answer["colored"] and set(answer["measures"]) == {"left gray", "compact", "transposed"}
    assert answer["measures"]["compact"]["ciede2000"] > 0 and answer["measures"]["compact"]["vivid_kept"] >= 0


def test_page_can_be_installed(demo):
    with urllib.request.urlopen(f"{demo.url}/manifest.json", timeout=20) as answer:
        assert json.load(answer)["name"] == "ChromaGAN Studio"


def test_the_icon_has_two_sizes(demo):
    """One of any size would be made while nobody else is served."""
    for size in (192, 512):
        with urllib.request.urlopen(f"{demo.url}/pwa_icon/{size}", timeout=20) as answer:
            assert Image.open(io.BytesIO(answer.read())).size == (size, size)
    for size in (0, -1, 8000):
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(f"{demo.url}/pwa_icon/{size}", timeout=20)


def test_page_is_compressed(demo):
    request = urllib.request.Request(demo.url, headers={"Accept-Encoding": "gzip"})
    with urllib.request.urlopen(request, timeout=20) as answer:
        compressed = answer.read()
    assert b"ChromaGAN Studio" in gzip.decompress(compressed) and len(compressed) < 50_000


def test_health(demo):
    with urllib.request.urlopen(f"{demo.url}/health", timeout=20) as answer:
        state = json.load(answer)
    assert state["status"] == "ok" and state["checkpoints"] == 5


def test_twenty_people_at_once_are_all_served_their_own_photo(demo, client, tmp_path):
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


def test_many_requests_leave_memory_flat(demo, client, tmp_path):
    def resident() -> int:
        return int(Path(f"/proc/{demo.process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    if not Path("/proc/self/statm").exists():
        pytest.skip("needs /proc")
    before = None
    for index in range(40):
        Image.linear_gradient("L").resize((300 + index, 200)).save(tmp_path / "photo.png")
        client.predict(handle_file(tmp_path / "photo.png"), api_name="/colorize")
        if index == 15:
            before = resident()
    assert resident() - before < 100 << 20


def test_no_two_elements_of_the_page_have_one_id(demo):
    with urllib.request.urlopen(f"{demo.url}/config") as answer:
        parts = json.load(answer)["components"]
    ids = [part["props"]["elem_id"] for part in parts if part["props"].get("elem_id")]
    assert len(ids) == len(set(ids)) > 20
