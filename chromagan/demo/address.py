"""Where the demo listens, from its environment, and how it reaches itself there."""

import errno
import os
import socket
from collections.abc import MutableMapping

from chromagan.errors import ChromaGANError

HOST, PORT = "GRADIO_SERVER_NAME", "GRADIO_SERVER_PORT"
LOCAL = ("localhost", "127.0.0.1", "::1")
PROXIES = ("http", "https", "socks5", "socks5h")  # what httpx, by which Gradio and the Hub are asked, goes through


class AddressError(ChromaGANError, ValueError):
    """An address that the demo cannot listen at: the message says why, and what to do."""


def listening_address(environment: MutableMapping[str, str] = os.environ) -> tuple[str, int | None]:
    """Host and port that the environment asks for; port None: the first free one from 7860 on.

    The host is an IPv6 address in brackets, as in a URL, or any other name. Raises AddressError where the demo cannot
    listen there. What Gradio could not make sense of is taken out of the environment: call this before importing it.
    """
    host, port = environment.get(HOST, "").strip(), environment.get(PORT, "").strip()
    if not host or ":" in host:  # Gradio looks for a free port by IPv4 alone
        environment.pop(HOST, None)
    if not port:
        environment.pop(PORT, None)
    elif not (port.isascii() and port.isdecimal() and 1 <= int(port) <= 65535):
        raise AddressError(f"{PORT} is a port from 1 to 65535, got {port!r}")
    bare = (host or "127.0.0.1").removeprefix("[").removesuffix("]")
    _try(bare, int(port or 0))
    return f"[{bare}]" if ":" in bare else bare, int(port) if port else None


def _try(host: str, port: int) -> None:
    """AddressError where nothing can listen at `port` of `host` now. Port 0: whether at any port."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except (OSError, UnicodeError) as error:
        number = getattr(error, "errno", None)
        if number == errno.EADDRINUSE:
            reason = f"port {port} of {host} is taken: end what listens there, or give another {PORT}"
        elif number == errno.EACCES:
            reason = f"port {port} is not for everybody: give a {PORT} of 1024 or more"
        else:
            reason = f"{HOST} {host!r} is no address of this machine: 127.0.0.1 serves it alone, 0.0.0.0 all networks"
        raise AddressError(reason) from error


def reach_without_proxy(host: str, environment: MutableMapping[str, str] = os.environ) -> None:
    """Add this machine and `host` to what the environment says is asked without a proxy.

    Gradio asks its own address when it starts, by a client that goes through http_proxy and the like. What
    this client cannot read of no_proxy, such as ranges of IPv6, is left out of it. Raises AddressError for a kind of
    proxy that it does not know and for an address that it cannot read, with which Gradio could not even be imported.
    """
    for name in ("http", "https", "all"):
        for variable in (f"{name}_proxy", f"{name}_proxy".upper()):
            proxy = environment.get(variable, "")
            kind, separator, _ = proxy.partition("://")
            if separator and kind.lower() not in PROXIES:
                raise AddressError(f"{variable} is a proxy of the kind {kind}://; known are {', '.join(PROXIES)}")
            if not _is_read(proxy if separator else f"http://{proxy}"):  # it may hold a password: not shown
                raise AddressError(f"{variable} is no address: it is written http://name:port")
    bare = host.removeprefix("[").removesuffix("]")
    given = environment.get("no_proxy") or environment.get("NO_PROXY", "")  # the first counts where both are there
    hosts = [name.strip().removeprefix("[").removesuffix("]") for name in given.split(",")]
    hosts = [name for name in hosts if name and _is_read(_pattern(name))]
    hosts += [name for name in dict.fromkeys((*LOCAL, bare)) if name not in hosts]
    environment["no_proxy"] = environment["NO_PROXY"] = ",".join(hosts)


def _pattern(name: str) -> str:
    """What httpx makes of a name that is asked without a proxy."""
    return name if "://" in name else f"all://[{name}]" if name.count(":") > 1 else f"all://*{name}"


def _is_read(address: str) -> bool:
    import httpx  # which takes a moment, and Ctrl-C is heeded by then

    try:
        return bool(httpx.URL(address))
    except httpx.InvalidURL:
        return False
