"""Where the servers are: what a user may write, and what gRPC is told."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass

DEFAULT_PORT = 50051


@dataclass(frozen=True, slots=True)
class Server:
    """A server as its user names it: by an address, or by a name that stands for several addresses."""

    host: str
    port: int
    tls: bool

    @property
    def is_address(self) -> bool:
        """Whether the host is an IP address."""
        try:
            ipaddress.ip_address(self.host)
        except ValueError:
            return False
        return True

    @property
    def authority(self) -> str:
        """What the server is called in HTTP/2 and in its certificate.

        gRPC makes it out of what it connects to. That is an address here, also if the user gave a name.
        """
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Address:
    """One address of a server."""

    server: Server
    ip: str

    @property
    def target(self) -> str:
        """The address as gRPC reads it."""
        if ":" in self.ip:
            return f"ipv6:[{self.ip}]:{self.server.port}"
        return f"ipv4:{self.ip}:{self.server.port}"


def read_servers(endpoints: str | Sequence[str], tls: bool) -> list[Server]:
    """Reads endpoints such as `aka.internal:50051`, `https://10.0.0.1:50051` or `[::1]`.

    Raises:
        ValueError: If one is no endpoint, if there is none, or if some have TLS and others not.

    """
    texts = [endpoints] if isinstance(endpoints, str) else list(endpoints)
    servers = [_read_server(text, tls) for text in texts]
    if not servers:
        raise ValueError("no endpoint is named")
    if len({server.tls for server in servers}) > 1:
        raise ValueError("some endpoints are https:// and others http://; name one kind")
    return list(dict.fromkeys(servers))


def _read_server(text: str, tls: bool) -> Server:
    scheme, has_scheme, rest = text.strip().partition("://")
    if not has_scheme:
        scheme, rest = "", scheme
    elif scheme not in ("http", "https", "dns"):
        raise ValueError(f"the endpoint {text!r} is none of http://, https://, dns:// or host:port")
    if scheme == "http" and tls:
        raise ValueError(f"the endpoint {text!r} is http://, but a certificate is named")
    rest = rest.strip("/")
    host, port = rest, ""
    if rest.startswith("["):
        host, closed, port = rest[1:].partition("]")
        if not closed or (port and not port.startswith(":")):
            raise ValueError(f"the endpoint {text!r} is not [address]:port")
        port = port[1:]
    elif rest.count(":") == 1:
        host, _, port = rest.partition(":")
    if not host or any(c in "/,@?# \t" for c in host) or (port and not (port.isascii() and port.isdigit())):
        raise ValueError(f"the endpoint {text!r} is not host:port")
    number = int(port) if port else DEFAULT_PORT
    if not 0 < number < 65536:
        raise ValueError(f"the port of the endpoint {text!r} is not from 1 to 65535")
    return Server(host, number, tls or scheme == "https")
