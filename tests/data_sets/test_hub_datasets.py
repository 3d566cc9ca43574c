"""Imagenette from the Hub over real HTTP: the real client, a stand-in that holds two commits of it, on loopback."""

import hashlib
import io
import json
import os
import re
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlparse

import datasets
import pytest
from made_photos import made_photo

from chromagan.data import DataError, load_photos
from chromagan.data_sets.readers import IMAGENETTE, IMAGENETTE_CONFIG, IMAGENETTE_REVISION, _load

OTHER = "b" * 40
COUNTS = {IMAGENETTE_REVISION: (3, 2), OTHER: (5, 1)}  # photos of train and validation at each commit

ROOT = Path(__file__).resolve().parents[2]
LOAD = """
import sys
from chromagan.data import DataError, load_photos
for data in sys.argv[1:]:
    try:
        print(*(len(load_photos(data, split, size=32)) for split in ("train", "validation")))
    except DataError as error:
        print("DataError:", error)
"""


def parquet(photos: int) -> bytes:
    features = datasets.Features({"image": datasets.Image(), "label": datasets.Value("int64")})
    rows = {"image": [made_photo(index) for index in range(photos)], "label": [0] * photos}
    content = io.BytesIO()
    datasets.Dataset.from_dict(rows, features).to_parquet(content)
    return content.getvalue()


class Handler(BaseHTTPRequestHandler):
    """What HfFileSystem asks of a dataset repository; `main` is the other commit, and there is no loading script."""

    commits: dict[str, dict[str, bytes]]

    def do_GET(self):
        path = unquote(unquote(urlparse(self.path).path))
        kind = re.fullmatch(rf"/api/datasets/{IMAGENETTE}(?:/(revision|tree|paths-info)/([^/]+)/?(.*))?", path)
        file = re.fullmatch(rf"/datasets/{IMAGENETTE}/resolve/([^/]+)/(.+)", path)
        revision = file[1] if file else (kind and kind[2]) or "main"
        commit = OTHER if revision == "main" else revision
        if not (kind or file):
            return self.answer(404, b"{}", {"X-Error-Code": "RepoNotFound"})
        if commit not in self.commits:
            return self.answer(404, b"{}", {"X-Error-Code": "RevisionNotFound"})
        files = self.commits[commit]
        if file and file[2] not in files:
            return self.answer(404, b"{}", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": commit})
        if file:
            content = files[file[2]]
            etag = f'"{hashlib.sha1(content).hexdigest()}"'
            return self.answer(200, content, {"ETag": etag, "X-Repo-Commit": commit})
        if kind[1] in ("tree", "paths-info"):
            listed = [
                {"type": "file", "path": name, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}
                for name, content in files.items()
            ]
            folder = {"type": "directory", "path": IMAGENETTE_CONFIG, "oid": "0" * 40}
            wanted = unquote(self.body()) if kind[1] == "paths-info" else ""
            if kind[1] == "tree":
                found = listed if kind[3] else [folder]
            else:
                found = [entry for entry in [folder, *listed] if re.search(rf"{entry['path']}($|[&\"])", wanted)]
            return self.answer(200, json.dumps(found).encode())
        siblings = [{"rfilename": name} for name in files]
        return self.answer(200, json.dumps({"id": IMAGENETTE, "sha": commit, "siblings": siblings}).encode())

    do_HEAD = do_POST = do_GET

    def body(self) -> str:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()

    def answer(self, status: int, content: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(content))} | (headers or {})).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, *args) -> None:
        pass


def test_imagenette_is_read_at_the_pinned_commit_or_at_the_one_that_was_asked_for(tmp_path):
    commits = {
        commit: {
            f"{IMAGENETTE_CONFIG}/{split}-00000-of-00001.parquet": parquet(count)
            for split, count in zip(("train", "validation"), counts, strict=True)
        }
        for commit, counts in COUNTS.items()
    }
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"commits": commits}))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    env = os.environ | {  # all read at import: a process of its own
        "HF_ENDPOINT": f"http://127.0.0.1:{server.server_address[1]}", "HF_HOME": str(tmp_path),
        "HF_HUB_OFFLINE": "0", "HF_DATASETS_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1",
    }  # fmt: skip
    names = [IMAGENETTE, f"{IMAGENETTE}@{OTHER}", f"{IMAGENETTE}@main", f"{IMAGENETTE}@{'c' * 40}"]
    try:
        done = subprocess.run(
            [sys.executable, "-c", LOAD, *names], cwd=ROOT, env=env,
            capture_output=True, text=True, timeout=120,
        )  # fmt: skip
    finally:
        server.shutdown()
        server.server_close()
    assert done.returncode == 0, done.stderr
    pinned, other, main, missing = done.stdout.splitlines()
    assert (pinned, other, main) == ("3 2", "5 1", "5 1")
    assert missing.startswith(f"DataError: cannot load '{names[-1]}'")


def test_an_at_sign_without_a_revision_is_one_line():
    with pytest.raises(DataError, match="'frgfm/imagenette@' names no revision after the @"):
        load_photos(f"{IMAGENETTE}@", "train")


def test_several_configurations_are_one_line(tmp_path):
    """A folder speaks for the repository whose files it has."""
    for name in ("large", "small"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "train.parquet").write_bytes(parquet(1))
    configs = "".join(f"- config_name: {name}\n  data_files: {name}/*.parquet\n" for name in ("large", "small"))
    (tmp_path / "README.md").write_text(f"---\nconfigs:\n{configs}---\n")
    with pytest.raises(DataError, match="^'owner/name' has several configurations: download the files of one of them"):
        _load("owner/name", str(tmp_path))
