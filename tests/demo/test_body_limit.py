"""The limit of requests, without a server: which of them have which."""

import asyncio

import pytest
from starlette.exceptions import HTTPException

from chromagan.demo import body_limit
from chromagan.demo.body_limit import BodyLimit


def received(path: str, chunks: list[int], kind: str = "http") -> int:
    """How many bytes of a request in chunks the application gets."""
    total, rest = 0, list(chunks)

    async def receive():
        return {"type": "http.request", "body": b"x" * rest.pop(0), "more_body": len(rest) > 0}

    async def app(scope, receive, send):
        nonlocal total
        for _ in chunks:
            total += len((await receive())["body"])

    try:
        asyncio.run(BodyLimit(app, 100)({"type": kind, "path": path}, receive, None))
    finally:
        assert not rest  # all was taken from the client
    return total


def test_what_is_within_its_limit_passes(monkeypatch):
    monkeypatch.setattr(body_limit, "MOST_OF_ASSISTANT", 1000)
    assert received("/gradio_api/queue/join", [60, 40]) == 100
    assert received("/gradio_api/upload", [5000]) == 5000
    assert received("/gradio_api/mcp/", [600, 400]) == 1000
    assert received("/", [5000], kind="websocket") == 5000


@pytest.mark.parametrize(
    "path, chunks",
    [
        ("/run/colorize", [60, 41, 500, 500]),
        ("/uploads", [101]),
        ("/gradio_api/run/upload", [101]),
        ("/gradio_api/mcp", [1001]),
    ],
)
def test_what_is_beyond_is_refused(monkeypatch, path, chunks):
    monkeypatch.setattr(body_limit, "MOST_OF_ASSISTANT", 1000)
    with pytest.raises(HTTPException) as caught:
        received(path, chunks)
    assert caught.value.status_code == 413
