"""Photos named by a URL, from a server on this machine that answers as hosts of any kind may."""

import asyncio
import gzip
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import safehttpx

from chromagan.demo import remote_photo
from chromagan.demo.remote_photo import FetchError, fetch_photo

PHOTO = bytes(range(256)) * 40
MOST = len(PHOTO)


class Host(BaseHTTPRequestHandler):
    def do_GET(self):
        getattr(self, self.path.split("/")[1].split("?")[0])()

    def answer(self, status: int, body: bytes = b"", **headers: str):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def photos(self):
        assert self.headers["Accept-Encoding"] == "identity"
        self.answer(200, PHOTO, Content_Length=str(len(PHOTO)))

    def unsaid(self):  # its size
        self.answer(200, PHOTO + b"x")

    def large(self):  # what follows is never read
        self.answer(200, Content_Length=str(MOST + 1))

    def bomb(self):
        self.answer(200, gzip.compress(PHOTO), Content_Encoding="gzip")

    def half(self):
        self.answer(200, PHOTO[:100], Content_Length=str(MOST))

    def missing(self):
        self.answer(404, PHOTO)

    def moved(self):
        self.answer(302, Location=f"/photos{self.path.removeprefix('/moved')}")

    def inside(self):
        self.answer(302, Location=f"http://127.0.0.2:{self.server.server_port}/photos/x.jpg")

    def file(self):
        self.answer(302, Location="file:///etc/hostname")

    def round(self):
        self.answer(302, Location="/round")

    def slow(self):
        self.answer(200, PHOTO[:100], Content_Length=str(MOST))
        self.wfile.flush()
        time.sleep(1)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def host():
    server = ThreadingHTTPServer(("0.0.0.0", 0), Host)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture(autouse=True)
def limits(monkeypatch):
    """127.0.0.1 stands for a host of the internet; every other address of this machine is still its own."""
    monkeypatch.setattr(safehttpx, "is_public_ip", lambda ip: ip == "127.0.0.1")
    monkeypatch.setattr(safehttpx, "async_resolve_hostname_google", no_names)
    monkeypatch.setattr(remote_photo, "MOST_BYTES", MOST)


async def no_names(_) -> list[str]:
    return []


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("photos/old%20house.jpg?size=1#top", "old house.jpg"),
        ("moved/harbor.png", "harbor.png"),
        ("photos/", "photos"),
        ("photos/..%2F..%2Fx.jpg", "x.jpg"),
    ],
)
def test_a_photo_is_a_file_of_its_name(host, tmp_path, path, name):
    first, second = (asyncio.run(fetch_photo(f"{host}/{path}", tmp_path)) for _ in range(2))
    assert first.read_bytes() == PHOTO and first.name == name and first.parent.parent == tmp_path
    assert second.is_file() and first != second  # a camera's URL gives another photo each time


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("unsaid/x.jpg", "it is larger than 0 MB"),
        ("large/x.jpg", "it is larger than 0 MB"),
        ("bomb/x.jpg", r"it is sent compressed \(gzip\)"),
        ("half/x.jpg", "."),
        ("missing/x.jpg", "HTTP status 404"),
        ("inside", "127.0.0.2 failed validation"),
        ("file", "it redirects to file"),
        ("round", "more than 5 redirects"),
    ],
)
def test_what_is_not_fetched_leaves_nothing(host, tmp_path, path, reason):
    with pytest.raises(FetchError, match=reason):
        asyncio.run(fetch_photo(f"{host}/{path}", tmp_path))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("url", ["http://127.0.0.2/x.jpg", "http://", "http://[::1]/x.jpg", "http://localhost.:99999/"])
def test_addresses_that_are_never_asked(tmp_path, url):
    with pytest.raises(FetchError) as caught:
        asyncio.run(fetch_photo(url, tmp_path))
    assert str(caught.value) and "\n" not in str(caught.value)


def test_a_host_that_sends_without_end_is_given_up(host, tmp_path, monkeypatch):
    monkeypatch.setattr(remote_photo, "FETCH_SECONDS", 0.2)
    with pytest.raises(FetchError, match=r"more than 0.2 seconds"):
        asyncio.run(fetch_photo(f"{host}/slow/x.jpg", tmp_path))
    assert list(tmp_path.iterdir()) == []
