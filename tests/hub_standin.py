"""A stand-in for the Hugging Face Hub on loopback: enough of its HTTP for the real client to push to and pull from.

    with Hub() as hub: ...        # hub.url is what HF_ENDPOINT is set to

Repositories live in memory. `hub.commits(repo)` counts them, `hub.fail_next(n)` breaks the n-th commit from now,
`hub.log` has every request. The right token is TOKEN, its owner OWNER.
"""

import base64
import hashlib
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlparse

from huggingface_hub import ModelCard, RepoCard, constants

from chromagan.hub import repositories

TOKEN, READ_TOKEN, OWNER = "hf_right", "hf_reads", "someone"
SOON = 12  # seconds: on a busy machine more than the two that we give a Hub, and less than the 23 of its client


class Hub:
    def __init__(self):
        self.repos: dict[str, dict] = {}  # (kind/)id -> {"commits": [(oid, files)], "tags": {name: oid}, "private"}
        self.collections: dict[str, list[str]] = {}
        self.variables: dict[str, dict[str, str]] = {}
        self.log: list[str] = []
        self.failing: int | None = None
        self.large_files = False  # whether weights are asked for as LFS, as the Hub does, or within the commit
        self.large: dict[str, bytes] = {}  # by SHA-256
        self.lock = threading.Lock()

    def __enter__(self) -> "Hub":
        handler = type("Bound", (Handler,), {"hub": self})
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        # `shutdown` waits for the end of an interval.
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *error) -> None:
        self.server.shutdown()
        self.server.server_close()

    def commits(self, repo: str) -> int:
        return len(self.repos[repo]["commits"])

    def fail_next(self, commits: int) -> None:
        self.failing = commits

    def files(self, repo: str, revision: str = "main") -> dict[str, bytes] | None:
        """The files at a tag, a commit or main; None where there is no such revision."""
        commits = self.repos[repo]["commits"]
        oid = commits[-1][0] if revision == "main" else self.repos[repo]["tags"].get(revision, revision)
        return next((files for known, files in commits if known == oid), None)

    def is_large(self, name: str) -> bool:
        return self.large_files and name.endswith(".safetensors")

    def oid(self, repo: str, revision: str = "main") -> str:
        commits = self.repos[repo]["commits"]
        return commits[-1][0] if revision == "main" else self.repos[repo]["tags"].get(revision, revision)

    def put(self, repo: str, files: dict[str, bytes | None], tag: str | None = None, private: bool = False) -> None:
        """A commit behind the client's back; None deletes a file."""
        entry = self.repos.setdefault(repo, {"commits": [("0" * 40, {})], "tags": {}, "private": private})
        before = entry["commits"][-1][1]
        oid = hashlib.sha1(repr((len(entry["commits"]), sorted(files))).encode()).hexdigest()
        after = {name: content for name, content in (before | files).items() if content is not None}
        entry["commits"].append((oid, after))
        if tag:
            entry["tags"][tag] = oid


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def git_oid(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


class Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else each answer waits 40 ms, until the client confirms the headers

    def log_message(self, *args) -> None:
        pass

    def answer(self, status: int = 200, body=None, headers: dict | None = None) -> None:
        content = body if isinstance(body, bytes) else json.dumps(body if body is not None else {}).encode()
        self.send_response(status)
        for name, value in ({"Content-Type": "application/json"} | (headers or {})).items():
            self.send_header(name, value)
        if not headers or "Content-Length" not in headers:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def refuse(self, status: int, code: str) -> None:
        self.answer(status, {"error": code}, {"X-Error-Code": code, "X-Error-Message": code})

    @property
    def token(self) -> str | None:
        return (self.headers.get("Authorization") or "").removeprefix("Bearer ") or None

    def may_write(self, repo: str) -> bool:
        if self.token == TOKEN and repo.split("/")[-2] == OWNER:
            return True
        self.answer(401 if self.token != TOKEN else 403, {"error": "Invalid credentials"})
        return False

    def body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def do_HEAD(self) -> None:
        self.route()

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD

    def route(self) -> None:
        url = urlparse(self.path)
        path, self.query = unquote(url.path), parse_qs(url.query)
        content = self.body() if self.command in ("POST", "PUT", "DELETE") else b""
        self.hub.log.append(f"{self.command} {path}")
        with self.hub.lock:
            for pattern, method in ROUTES:
                if match := re.fullmatch(pattern, f"{self.command} {path}"):
                    return getattr(self, method)(content, **match.groupdict())
        return self.answer(404, {"error": f"the stand-in has no {path}"})

    def root(self, content: bytes) -> None:
        self.answer()

    def whoami(self, content: bytes) -> None:
        if self.token not in (TOKEN, READ_TOKEN):
            return self.answer(401, {"error": "Invalid credentials in Authorization header"})
        role = "read" if self.token == READ_TOKEN else "write"
        auth = {"type": "access_token", "accessToken": {"displayName": "a token", "role": role}}
        return self.answer(body={"name": OWNER, "type": "user", "orgs": [{"name": "lab"}], "auth": auth})

    def create(self, content: bytes) -> None:
        wanted = json.loads(content)
        owner = wanted.get("organization") or OWNER
        kind = {"space": "spaces/"}.get(wanted.get("type"), "")
        repo = f"{kind}{owner}/{wanted['name']}"
        if not self.may_write(repo):
            return None
        if repo in self.hub.repos:
            return self.answer(409, {"error": "You already created this repo", "url": f"{self.hub.url}/{repo}"})
        private = wanted.get("private") or wanted.get("visibility") == "private"  # as older and newer clients say it
        first = ("0" * 40, {".gitattributes": b""})
        self.hub.repos[repo] = {"commits": [first], "tags": {}, "private": private, "sdk": wanted.get("sdk")}
        return self.answer(body={"url": f"{self.hub.url}/{repo}", "name": repo, "id": repo})

    def validate_yaml(self, content: bytes) -> None:
        """As the Hub does, but with the client's own reading of a card."""
        try:
            wanted = json.loads(content)
            (ModelCard if wanted["repoType"] == "model" else RepoCard)(wanted["content"], ignore_metadata_errors=False)
        except Exception as error:
            return self.answer(400, {"errors": [{"message": str(error)}], "warnings": []})
        return self.answer(body={"errors": [], "warnings": []})

    def preupload(self, content: bytes, kind: str, repo: str, revision: str) -> None:
        repo = key(kind, repo)
        there = self.hub.files(repo) or {}
        files = []
        for path in (file["path"] for file in json.loads(content)["files"]):
            large, known = self.hub.is_large(path), there.get(path)
            oid = None if known is None else sha256(known) if large else git_oid(known)
            files.append({"path": path, "uploadMode": "lfs" if large else "regular", "shouldIgnore": False, "oid": oid})
        self.answer(body={"files": files})

    def lfs_batch(self, content: bytes, repo: str) -> None:
        """Where to put what is not here yet."""
        objects = json.loads(content)["objects"]
        for item in objects:
            if item["oid"] not in self.hub.large:
                item["actions"] = {"upload": {"href": f"{self.hub.url}/lfs/{item['oid']}"}}
        self.answer(body={"transfer": "basic", "objects": objects})

    def lfs_put(self, content: bytes, oid: str) -> None:
        if sha256(content) != oid:
            return self.answer(400, {"error": "the content is not what was announced"})
        self.hub.large[oid] = content
        return self.answer()

    def commit(self, content: bytes, kind: str, repo: str, revision: str) -> None:
        repo = key(kind, repo)
        if not self.may_write(repo):
            return None
        if self.hub.failing is not None:
            self.hub.failing -= 1
            if self.hub.failing == 0:
                self.hub.failing = None
                return self.answer(400, {"error": "the connection broke"})
        files = {}
        for line in content.decode().splitlines():
            entry = json.loads(line)
            if entry["key"] == "file":
                files[entry["value"]["path"]] = base64.b64decode(entry["value"]["content"])
            elif entry["key"] == "lfsFile":
                files[entry["value"]["path"]] = self.hub.large[entry["value"]["oid"]]
            elif entry["key"] == "deletedFile":
                if entry["value"]["path"] not in self.hub.files(repo):
                    return self.answer(400, {"error": "A file to delete does not exist"})
                files[entry["value"]["path"]] = None
        self.hub.put(repo, files)
        oid = self.hub.oid(repo)
        return self.answer(body={"commitUrl": f"{self.hub.url}/{repo}/commit/{oid}", "commitOid": oid, "success": True})

    def tag(self, content: bytes, kind: str, repo: str, revision: str) -> None:
        repo, name = key(kind, repo), json.loads(content)["tag"]
        if not self.may_write(repo):
            return None
        if name in self.hub.repos[repo]["tags"]:
            return self.answer(409, {"error": "Tag exists"})
        self.hub.repos[repo]["tags"][name] = self.hub.oid(repo, revision)
        return self.answer()

    def untag(self, content: bytes, kind: str, repo: str, revision: str) -> None:
        self.hub.repos[key(kind, repo)]["tags"].pop(revision)
        self.answer()

    def visible(self, repo: str, revision: str | None = None) -> bool:
        if self.token not in (None, TOKEN, READ_TOKEN):
            self.answer(401, {"error": "x"}, {"X-Error-Message": "Invalid credentials in Authorization header"})
            return False
        if repo not in self.hub.repos or (self.hub.repos[repo]["private"] and self.token != TOKEN):
            self.refuse(404 if self.token else 401, "RepoNotFound")
            return False
        if revision is not None and self.hub.files(repo, revision) is None:
            self.refuse(404, "RevisionNotFound")
            return False
        return True

    def refs(self, content: bytes, kind: str, repo: str) -> None:
        repo = key(kind, repo)
        if self.visible(repo):
            self.answer(body={
                "branches": [{"name": "main", "ref": "refs/heads/main", "targetCommit": self.hub.oid(repo)}],
                "tags": [
                    {"name": name, "ref": f"refs/tags/{name}", "targetCommit": oid}
                    for name, oid in self.hub.repos[repo]["tags"].items()
                ],
                "converts": [],
            })  # fmt: skip

    def info(self, content: bytes, kind: str, repo: str, revision: str = "main") -> None:
        repo = key(kind, repo)
        if self.visible(repo, revision):
            siblings = [{"rfilename": name} for name in self.hub.files(repo, revision)]
            self.answer(body={
                "id": repo, "modelId": repo, "sha": self.hub.oid(repo, revision), "private": False, "tags": [],
                "siblings": siblings, "sdk": "gradio",
            })  # fmt: skip

    def entries(self, repo: str, revision: str) -> list[dict]:
        return [
            {"type": "file", "path": name, "size": len(content), "oid": git_oid(content)}
            | (
                {"lfs": {"oid": sha256(content), "size": len(content), "pointerSize": 134}}
                if self.hub.is_large(name)
                else {}
            )
            for name, content in self.hub.files(repo, revision).items()
        ]

    def tree(self, content: bytes, kind: str, repo: str, revision: str, below: str = "") -> None:
        repo = key(kind, repo)
        if self.visible(repo, revision):
            prefix = f"{below}/" if below else ""
            found = [entry for entry in self.entries(repo, revision) if entry["path"].startswith(prefix)]
            if self.query.get("recursive", [""])[0].lower() not in ("1", "true"):  # folders in place of what is in them
                deeper = {entry["path"] for entry in found if "/" in entry["path"].removeprefix(prefix)}
                folders = {prefix + path.removeprefix(prefix).split("/")[0] for path in deeper}
                found = [entry for entry in found if entry["path"] not in deeper]
                found += [{"type": "directory", "path": path, "size": 0, "oid": "0" * 40} for path in sorted(folders)]
            self.answer(body=found)

    def paths_info(self, content: bytes, kind: str, repo: str, revision: str) -> None:
        repo = key(kind, repo)
        if self.visible(repo, revision):
            text = content.decode()
            wanted = json.loads(text)["paths"] if text.startswith("{") else parse_qs(text)["paths"]
            self.answer(body=[entry for entry in self.entries(repo, revision) if entry["path"] in wanted])

    def resolve(self, content: bytes, repo: str, revision: str, file: str) -> None:
        if not self.visible(repo, revision):
            return
        files = self.hub.files(repo, revision)
        if file not in files:
            self.answer(404, {"error": "EntryNotFound"}, {
                "X-Error-Code": "EntryNotFound", "X-Repo-Commit": self.hub.oid(repo, revision),
            })  # fmt: skip
            return
        self.answer(200, files[file], {
            "Content-Length": str(len(files[file])), "ETag": f'"{git_oid(files[file])}"',
            "X-Repo-Commit": self.hub.oid(repo, revision), "Content-Type": "application/octet-stream",
        })  # fmt: skip

    def collection(self, content: bytes) -> None:
        wanted = json.loads(content)
        slug = f"{wanted['namespace']}/{wanted['title']}-0123456789abcdef01234567"
        self.hub.collections.setdefault(slug, [])
        self.answer(body=collection_body(slug, wanted))

    def collection_there(self, content: bytes, slug: str) -> None:
        self.answer(body=collection_body(slug, {"title": "study", "namespace": OWNER}))

    def collection_item(self, content: bytes, slug: str) -> None:
        items = self.hub.collections[slug]
        item = json.loads(content)["item"]["id"]
        if item in items:
            return self.answer(409, {"error": "Item already exists"})
        items.append(item)
        return self.answer(body=collection_body(slug, {"title": "study", "namespace": OWNER}))

    def variable(self, content: bytes, repo: str) -> None:
        wanted = json.loads(content or b"{}")
        variables = self.hub.variables.setdefault(repo, {})
        if self.command == "POST":
            variables[wanted["key"]] = wanted["value"]
        elif self.command == "DELETE":
            variables.pop(wanted["key"])
        self.answer(body={name: {"key": name, "value": value, "updatedAt": None} for name, value in variables.items()})


def key(kind: str, repo: str) -> str:
    return repo if kind == "models" else f"{kind}/{repo}"


def collection_body(slug: str, wanted: dict) -> dict:
    return {
        "slug": slug, "title": wanted["title"], "owner": {"name": wanted["namespace"]}, "items": [],
        "lastUpdated": "2026-01-01T00:00:00.000Z", "position": 0, "private": False, "theme": "blue", "upvotes": 0,
    }  # fmt: skip


REPO = r"/api/(?P<kind>models|spaces|datasets)/(?P<repo>[^/]+/[^/]+)"
ROUTES = [
    (r"(HEAD|GET) /?", "root"),
    (r"GET /api/whoami-v2", "whoami"),
    (r"POST /api/repos/create", "create"),
    (r"POST /api/validate-yaml", "validate_yaml"),
    (r"POST /(?P<repo>[^/]+/[^/]+)[.]git/info/lfs/objects/batch", "lfs_batch"),
    (r"PUT /lfs/(?P<oid>[0-9a-f]{64})", "lfs_put"),
    (rf"POST {REPO}/preupload/(?P<revision>.+)", "preupload"),
    (rf"POST {REPO}/commit/(?P<revision>.+)", "commit"),
    (rf"POST {REPO}/tag/(?P<revision>.+)", "tag"),
    (rf"DELETE {REPO}/tag/(?P<revision>.+)", "untag"),
    (rf"GET {REPO}/refs", "refs"),
    (rf"GET {REPO}/revision/(?P<revision>.+)", "info"),
    (rf"GET {REPO}/tree/(?P<revision>[^/]+)/?(?P<below>.*)", "tree"),
    (rf"POST {REPO}/paths-info/(?P<revision>.+)", "paths_info"),
    (r"(GET|POST|DELETE) /api/spaces/(?P<repo>[^/]+/[^/]+)/variables", "variable"),
    (rf"GET {REPO}", "info"),
    (r"POST /api/collections", "collection"),
    (r"GET /api/collections/(?P<slug>.+)", "collection_there"),
    (r"POST /api/collections/(?P<slug>.+)/items?", "collection_item"),
    (r"(HEAD|GET) /(?P<repo>(datasets/)?[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<file>.+)", "resolve"),
]


def connect(monkeypatch, url, cache, token=TOKEN):
    """What HF_ENDPOINT, HF_HUB_CACHE and HF_TOKEN do when the client is imported."""
    monkeypatch.setattr(constants, "ENDPOINT", url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", url + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("HF_TOKEN", token)
    monkeypatch.setitem(repositories._probe, "at", -float("inf"))


def disconnect(monkeypatch, cache):
    connect(monkeypatch, "http://127.0.0.1:9", cache)  # nothing listens there


def repository_files(folder: Path) -> dict[str, bytes]:
    """What the Hub's repository of a checkpoint in `folder` holds: name -> content, the trunk's file among them."""
    paths = [*folder.iterdir(), *folder.parents[1].glob("*.safetensors")]
    return {path.name: path.read_bytes() for path in paths}
