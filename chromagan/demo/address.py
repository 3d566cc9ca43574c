"""Where the demo listens, from environment variables, and how it reaches itself there."""

import errno
import os
import socket
from collections.abc import MutableMapping

from chromagan.errors import ChromaGANError

HOST, PORT = "GRADIO_SERVER_NAME", "GRADIO_SERVER_PORT"
LOCAL = ("localhost", "127.0.0.1", "::1")
PROXIES = ("http", "https", "socks5", "socks5h")  # those supported by httpx, the HTTP client of Gradio and the Hub


class AddressError(ChromaGANError, ValueError):
    """An address that the demo cannot listen on: the message says why and what to do."""


def listening_address(environment: MutableMapping[str, str] = os.environ) -> tuple[str, int | None]:
    """Host and port from the environment; port None means the first free one from 7860 on.

    The host is an IPv6 address in brackets, as in a URL, or any other name. Raises AddressError if the demo cannot
    listen there. Values that Gradio cannot handle are removed from the environment: call this before importing it.
    """
    host, port = environment.get(HOST, "").strip(), environment.get(PORT, "").strip()
    if not host or ":" in host:  # Gradio looks for a free port with IPv4 only
        environment.pop(HOST, None)
    if not port:
        environment.pop(PORT, None)
    elif not (port.isascii() and port.isdecimal() and 1 <= int(port) <= 65535):
        raise AddressError(f"{PORT} must be a port from 1 to 65535, got {port!r}")
    bare = _bare(host or "127.0.0.1")
    _try(bare, int(port or 0))
    return f"[{bare}]" if ":" in bare else bare, int(port) if port else None


def is_local(host: str) -> bool:
    """Whether what listens on `host`, as returned by `listening_address`, can be reached from this machine only."""
    return _bare(host) in LOCAL


def _bare(host: str) -> str:
    """A host without the brackets that an IPv6 address has in a URL."""
    return host.removeprefix("[").removesuffix("]")


def _try(host: str, port: int) -> None:
    """Raise AddressError if `port` of `host` cannot be listened on now. Port 0: any port."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except (OSError, UnicodeError) as error:
        number = getattr(error, "errno", None)
        if number == errno.EADDRINUSE:
            reason = f"port {port} of {host} is in use: stop the program that listens there, or set another {PORT}"
        elif number == errno.EACCES:
            reason = f"port {port} is privileged: set {PORT} to 1024 or more"
        else:
            reason = (
                f"{HOST} {host!r} is not an address of this machine: use 127.0.0.1 to serve this machine only, "
                "0.0.0.0 for all networks"
            )
        raise AddressError(reason) from error


def reach_without_proxy(host: str, environment: MutableMapping[str, str] = os.environ) -> None:
    """Add this machine and `host` to the environment's hosts that are reached without a proxy.

    Gradio requests its own address at startup, with a client that honors http_proxy and the like. Entries of no_proxy
    that this client cannot parse, such as IPv6 ranges, are dropped. Raises AddressError for an unsupported kind of
    proxy or an invalid proxy address, with either of which Gradio could not even be imported.
    """
    for name in ("http", "https", "all"):
        for variable in (f"{name}_proxy", f"{name}_proxy".upper()):
            proxy = environment.get(variable, "")
            kind, separator, _ = proxy.partition("://")
            if separator and kind.lower() not in PROXIES:
                raise AddressError(f"{variable} is a {kind}:// proxy; supported are {', '.join(PROXIES)}")
            if not _is_read(proxy if separator else f"http://{proxy}"):  # not shown: it may hold a password
                raise AddressError(f"{variable} is not a proxy's address: write it as http://name:port")
    bare = _bare(host)
    given = environment.get("no_proxy") or environment.get("NO_PROXY", "")  # the first wins if both are set
    hosts = [_bare(name.strip()) for name in given.split(",")]
    hosts = [name for name in hosts if name and _is_read(_pattern(name))]
    hosts += [name for name in dict.fromkeys((*LOCAL, bare)) if name not in hosts]
    environment["no_proxy"] = environment["NO_PROXY"] = ",".join(hosts)


def _pattern(name: str) -> str:
    """The URL pattern that httpx makes of an entry of no_proxy."""
    return name if "://" in name else f"all://[{name}]" if name.count(":") > 1 else f"all://*{name}"


def _is_read(address: str) -> bool:
    import httpx  # here, since it takes a moment: by now Ctrl-C is handled

    try:
        return bool(httpx.URL(address))
    except httpx.InvalidURL:
        return False
