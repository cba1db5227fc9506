"""Connections to what is asked.

Promises: of several addresses of a name each is tried, and the first one's error told. Must not: say anything there.
"""

import asyncio
import ssl
from socket import SOCK_STREAM

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def connect_tcp(target: str, tls: ssl.SSLContext | None = None) -> Connection:
    """To `host:port`; IPv6 addresses in brackets. Raises OSError."""
    host, _colon, port = target.rpartition(":")
    host = host.strip("[]")
    # as bytes: a name that is none is then an OSError, like one that is not known
    found = await asyncio.get_running_loop().getaddrinfo(host.encode(), int(port), type=SOCK_STREAM)
    first: OSError | None = None
    for address in dict.fromkeys(str(place[0]) for *_kind, place in found):
        try:
            return await asyncio.open_connection(address, int(port), ssl=tls, server_hostname=host if tls else None)
        except OSError as error:
            first = first or error
    raise first or OSError("no address")


async def connect_unix(target: str) -> Connection:
    """To a path. Raises OSError."""
    return await asyncio.open_unix_connection(target)
