"""Where the demo listens, and that it reaches itself there: by its rules, and by real starts."""

import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from pathlib import Path

import httpx
import pytest

from chromagan.demo.address import AddressError, is_local, listening_address, reach_without_proxy

APP = Path(__file__).resolve().parents[2] / "app.py"
START_SECONDS = 300  # importing torch and gradio takes nearly all of it, on a busy machine
PROXIES = {name for word in ("http", "https", "all", "no") for name in (f"{word}_proxy", f"{word}_proxy".upper())}


@contextlib.contextmanager
def listening(port: int = 0):
    """The port of a socket that listens."""
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", port))
        taken.listen()
        yield taken.getsockname()[1]


def start(source: Path, scratch: Path, **environment: str) -> subprocess.Popen:
    ours = {name: value for name, value in os.environ.items() if not name.startswith("GRADIO") and name not in PROXIES}
    ours |= {"CHROMAGAN_SOURCE": str(source), "TMPDIR": str(scratch), "HF_HUB_OFFLINE": "1", "PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(
        [sys.executable, APP], env=ours | environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@pytest.mark.parametrize(
    "environment, expected",
    [
        ({}, ("127.0.0.1", None)),
        ({"GRADIO_SERVER_NAME": "", "GRADIO_SERVER_PORT": " "}, ("127.0.0.1", None)),
        ({"GRADIO_SERVER_NAME": "0.0.0.0"}, ("0.0.0.0", None)),
        ({"GRADIO_SERVER_NAME": "localhost"}, ("localhost", None)),
    ],
)
def test_address_of_the_environment(environment, expected):
    assert listening_address(environment) == expected
    assert "" not in map(str.strip, environment.values())  # which Gradio would take for a number


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6")
def test_ipv6_is_written_as_in_a_url():
    with contextlib.closing(socket.socket(socket.AF_INET6)) as probe:
        try:
            probe.bind(("::1", 0))
        except OSError:
            pytest.skip("no IPv6")
    for name in ("::1", "[::1]"):
        environment = {"GRADIO_SERVER_NAME": name}
        assert listening_address(environment) == ("[::1]", None) and not environment


@pytest.mark.parametrize("port", ["0", "-1", "65536", "80a", "7860.0", "\u0661"])
def test_a_port_that_is_none_is_refused(port):
    with pytest.raises(AddressError, match="GRADIO_SERVER_PORT must be a port from 1 to 65535, got"):
        listening_address({"GRADIO_SERVER_PORT": port})


@pytest.mark.parametrize("host", ["203.0.113.7", "http://localhost", "a..b", "no-such-host.invalid"])
def test_a_host_that_is_not_of_this_machine_is_refused(host):
    with pytest.raises(AddressError, match="GRADIO_SERVER_NAME .* is not an address of this machine"):
        listening_address({"GRADIO_SERVER_NAME": host})


def test_a_port_that_is_taken_is_refused_and_one_that_was_is_not():
    with listening() as port, pytest.raises(AddressError, match=f"port {port} of 127.0.0.1 is in use"):
        listening_address({"GRADIO_SERVER_PORT": str(port)})
    assert listening_address({"GRADIO_SERVER_PORT": str(port)}) == ("127.0.0.1", port)


@pytest.mark.parametrize(
    "given, expected",
    [
        ({}, "localhost,127.0.0.1,::1,here"),
        ({"NO_PROXY": "example.org, 127.0.0.1"}, "example.org,127.0.0.1,localhost,::1,here"),
        ({"NO_PROXY": "upper", "no_proxy": "lower"}, "lower,localhost,127.0.0.1,::1,here"),  # as urllib has it
        ({"no_proxy": "[::1],fe80::/64, .corp,10.0.0.0/8,a:b"}, "::1,.corp,10.0.0.0/8,localhost,127.0.0.1,here"),
        ({"NO_PROXY": "*"}, "*,localhost,127.0.0.1,::1,here"),
    ],
)
def test_own_addresses_are_added_to_what_needs_no_proxy(given, expected):
    reach_without_proxy("here", given)
    assert given == {"NO_PROXY": expected, "no_proxy": expected}


def test_the_client_of_gradio_goes_by_it(monkeypatch):
    """Own addresses directly, others through the proxy as before."""
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "intern.example")
    reach_without_proxy("192.0.2.4")
    with httpx.Client() as client:
        for host in ("localhost", "127.0.0.1", "[::1]", "192.0.2.4", "a.intern.example"):
            assert client._transport_for_url(httpx.URL(f"http://{host}:7860/")) is client._transport, host
        assert client._transport_for_url(httpx.URL("http://example.org/")) is not client._transport


@pytest.mark.parametrize("address", ["http://127.0.0.1:x", "127.0.0.1:x", "http://[::1:9", "http://u:secret@h:9a"])
def test_a_proxy_whose_address_is_none_is_one_line(address):
    with pytest.raises(AddressError, match="^https_proxy is not a proxy's address: write it as http://name:port$"):
        reach_without_proxy("127.0.0.1", {"https_proxy": address})


def test_a_kind_of_proxy_that_is_not_known_is_one_line():
    with pytest.raises(AddressError, match="ALL_PROXY is a socks:// proxy; supported are http, https, socks5"):
        reach_without_proxy("127.0.0.1", {"ALL_PROXY": "socks://user:secret@127.0.0.1:9"})


@pytest.mark.parametrize(
    ("host", "local"), [("127.0.0.1", True), ("[::1]", True), ("localhost", True), ("0.0.0.0", False), ("[::]", False)]
)
def test_what_only_this_machine_reaches(host, local):
    assert is_local(host) is local


def test_demo_for_all_networks_starts_under_a_dead_proxy_and_a_port_nobody_asked_for_moves(source, tmp_path):
    dead = {"http_proxy": "http://127.0.0.1:9", "HTTP_PROXY": "http://127.0.0.1:9", "ALL_PROXY": "socks5://127.0.0.1:9"}
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):  # taken by another program: as good
            stack.enter_context(listening(7860))
        demo = start(source, tmp_path, GRADIO_SERVER_NAME="0.0.0.0", **dead)
        stack.callback(demo.communicate)
        stack.callback(demo.terminate)
        late = threading.Timer(START_SECONDS, demo.kill)  # reading its output below waits for it
        stack.callback(late.cancel)
        late.start()
        url = next((found[1] for line in demo.stdout if (found := re.search(r"(http://0\.0\.0\.0:\d+)", line))), None)
        assert url is not None, demo.stderr.read()
        assert url != "http://0.0.0.0:7860"
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        assert opener.open(f"{url}/health", timeout=START_SECONDS).status == 200
        controls = json.load(opener.open(f"{url}/config", timeout=START_SECONDS))["components"]
        network = next(each["props"] for each in controls if each["props"].get("elem_id") == "network")
        assert network["visible"] is False  # the source has no `general`: there is nothing to choose
        direct = urllib.request.Request(
            f"{url}/gradio_api/run/checkpoints", b'{"data": []}', {"Content-Type": "application/json"}
        )
        with pytest.raises(urllib.error.HTTPError, match="404"):  # it would skip the queue
            opener.open(direct, timeout=START_SECONDS)
        with pytest.raises(subprocess.TimeoutExpired):  # it goes on behind Gradio's questions to itself
            demo.wait(2)


def test_a_port_that_is_asked_for_and_taken_is_one_line_and_status_1(source, tmp_path):
    with listening() as port:
        demo = start(source, tmp_path, GRADIO_SERVER_PORT=str(port))
        out, problem = demo.communicate(timeout=START_SECONDS)
    assert (demo.returncode, out) == (1, "")
    assert problem.startswith(f"app.py: port {port} of 127.0.0.1 is in use: ") and len(problem.splitlines()) == 1


def test_a_proxy_of_an_unknown_kind_is_one_line():
    environment = os.environ | {"http_proxy": "gopher://proxy:70", "GRADIO_SERVER_PORT": ""}
    result = subprocess.run(
        [sys.executable, Path(__file__).parents[2] / "app.py"], env=environment, capture_output=True, text=True
    )
    assert result.returncode == 1
    assert result.stderr == "app.py: http_proxy is a gopher:// proxy; supported are http, https, socks5, socks5h\n"
