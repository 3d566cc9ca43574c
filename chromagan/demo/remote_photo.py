"""A photo that a request names by its URL, fetched into a file within limits of size and time.

Gradio has its own way to do this, which reads any number of bytes into memory, compressed ones of any size behind them,
follows no redirect, and never asks the same URL twice.
"""

import asyncio
import secrets
import shutil
from pathlib import Path

import httpx
import safehttpx
from gradio_client.utils import strip_invalid_filename_characters

MOST_BYTES = 50 << 20  # of a photo's file, whether it is fetched or uploaded
FETCH_SECONDS = 15  # nobody else is served in the meantime
MOST_REDIRECTS = 5
UNCOMPRESSED = "identity"
HEADERS = {"Accept-Encoding": UNCOMPRESSED, "User-Agent": "chromagan-studio"}  # some hosts answer only who has a name


class FetchError(Exception):
    """A URL that gives no photo: the message says why, in one line."""


async def fetch_photo(url: str, folder: Path) -> Path:
    """The path of what `url` (http or https) answers now, in a new folder below `folder`, under the name in the URL.

    Raises FetchError; then nothing is left in `folder`. Only hosts with a public address are asked, at that address,
    and so with each redirect: a request must not reach what only this machine can.
    """
    place = folder / secrets.token_hex(16)
    try:
        return await asyncio.wait_for(_fetch(url, place), FETCH_SECONDS)
    except BaseException as error:  # of a visitor who has left, too
        shutil.rmtree(place, ignore_errors=True)
        if isinstance(error, TimeoutError):
            raise FetchError(f"it takes more than {FETCH_SECONDS} seconds") from error
        # Of many kinds: an unknown or private host, no connection, no valid address, a full disk.
        if isinstance(error, Exception) and not isinstance(error, FetchError):
            raise FetchError(" ".join(str(error).split()) or type(error).__name__) from error
        raise


async def _fetch(url: str, place: Path) -> Path:
    address = httpx.URL(url)
    for _ in range(1 + MOST_REDIRECTS):
        if address.scheme not in ("http", "https"):
            raise FetchError(f"it redirects to {address.scheme}, not to http or https")
        transport = safehttpx.AsyncSecureTransport(await safehttpx.async_validate_url(address.host))
        async with (
            httpx.AsyncClient(transport=transport, timeout=None, headers=HEADERS) as client,
            client.stream("GET", address) as answer,
        ):
            if answer.has_redirect_location:
                address = address.join(answer.headers["Location"])
                continue
            if answer.status_code != httpx.codes.OK:
                raise FetchError(f"HTTP status {answer.status_code}")
            return await _save(answer, place / (strip_invalid_filename_characters(Path(address.path).name) or "file"))
    raise FetchError(f"more than {MOST_REDIRECTS} redirects")


async def _save(answer: httpx.Response, path: Path) -> Path:
    """Write an answer's body to a new file; FetchError once it is known to be too large."""
    if (encoding := answer.headers.get("Content-Encoding", UNCOMPRESSED)) != UNCOMPRESSED:
        raise FetchError(f"it is sent compressed ({encoding:.20}), though asked for as it is")
    too_large = FetchError(f"it is larger than {MOST_BYTES >> 20} MB")
    announced = answer.headers.get("Content-Length", "")
    if announced.isdecimal() and int(announced) > MOST_BYTES:
        raise too_large
    path.parent.mkdir(parents=True)
    with path.open("wb") as file:
        async for part in answer.aiter_raw():
            if file.tell() + len(part) > MOST_BYTES:
                raise too_large
            file.write(part)
    return path
