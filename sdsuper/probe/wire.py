"""Connections to what is asked.

Promises: of several addresses of a name each is tried, and the first one's error told; a name that hangs keeps only
those waiting who ask for it. Must not: say anything there.
"""

import asyncio
import ssl
from socket import AI_NUMERICHOST, SOCK_STREAM, gaierror, getaddrinfo
from typing import Any

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]

#: Names that are being looked up: each has a thread, which cannot be ended, so there is one for all who ask.
_lookups: "dict[str, asyncio.Task[list[Any]]]" = {}


async def connect_tcp(target: str, tls: ssl.SSLContext | None = None) -> Connection:
    """To `host:port`; IPv6 addresses in brackets. Raises OSError."""
    host, _colon, port = target.rpartition(":")
    host = host.strip("[]")
    first: OSError | None = None
    for address in dict.fromkeys(str(place[0]) for *_kind, place in await _addresses(host)):
        try:
            return await asyncio.open_connection(address, int(port), ssl=tls, server_hostname=host if tls else None)
        except OSError as error:
            first = first or error
    raise first or OSError("no address")


async def _addresses(host: str) -> list[Any]:
    """Those of a name. Raises OSError."""
    name = host.encode()        # as bytes: a name that is none is then an OSError, like one that is not known
    try:
        return getaddrinfo(name, None, type=SOCK_STREAM, flags=AI_NUMERICHOST)      # which asks nobody
    except gaierror:
        pass
    if host not in _lookups:
        _lookups[host] = asyncio.create_task(asyncio.to_thread(getaddrinfo, name, None, type=SOCK_STREAM))
        _lookups[host].add_done_callback(lambda done: _forget(host, done))
    return await asyncio.shield(_lookups[host])


def _forget(host: str, done: "asyncio.Task[list[Any]]") -> None:
    del _lookups[host]
    done.exception()            # there may be nobody left who wants to know


async def connect_unix(target: str) -> Connection:
    """To a path. Raises OSError."""
    return await asyncio.open_unix_connection(target)
