"""Questions over HTTP.

Promises: the status decides, as soon as it is there; no more than a little of a body is read, and that afterwards. A
redirect on the same host and port is followed, five times at the most and never from https to http; one to another is
an answer, for the program has given it. Certificates are checked unless somebody has said otherwise. Must not: tell of
a URL, a header or a body, or let one server keep the others waiting. Sources: RFC 9110, RFC 9112.
"""

import asyncio
import os
import ssl
from base64 import b64encode
from time import monotonic
from typing import Any
from urllib.parse import SplitResult, unquote, urljoin, urlsplit

import h11

from sdsuper.probe.wire import connect_tcp

REDIRECTS = 5
INTERIM = 10                # answers of a status below 200 before the one that counts
HEAD_BYTES = 65536
READ_BYTES = 4096           # that are looked at before it is somebody else's turn
BODY_BYTES = 65536          # that are read at the most, so that a server hears no error for what it has just sent
BODY_SECONDS = 1.0
CONTEXTS_MOST = 64
CONTEXT_SECONDS = 300.0     # after which the system's certificates are read again, for they may be others by now
_REDIRECTING = frozenset((301, 302, 303, 307, 308))

#: With when they were made.
_contexts: dict[tuple[Any, ...], tuple[ssl.SSLContext, float]] = {}
_reading: set[asyncio.Task[None]] = set()


class NoAnswer(Exception):
    """What came, or did not, is no answer; the text says why."""


async def ask(question: dict[str, Any]) -> str:
    """Why the answer is bad, or nothing. Raises OSError, NoAnswer."""
    url, data = question["target"], question.get("data")
    method = "GET" if data is None else "POST"
    body = b"" if data is None else data.encode("latin-1")
    for _ in range(REDIRECTS + 1):
        status, location = await _once(urlsplit(url), method, body, question)
        if status not in _REDIRECTING or not location:
            return "" if 200 <= status < 400 else f"HTTP {status}"
        before, after = urlsplit(url), _target(url, location)
        if after.hostname != before.hostname:
            return ""
        if (before.scheme, after.scheme) == ("https", "http"):
            raise NoAnswer("redirected from https to http")
        if _port(after) != _port(before):
            return ""           # somebody else may listen there, whom headers and data are not meant for
        if status == 303 or (status in (301, 302) and method == "POST"):
            method, body = "GET", b""
        url = after.geturl()
    raise NoAnswer(f"more than {REDIRECTS} redirects")


def _target(url: str, location: str) -> SplitResult:
    try:
        after = urlsplit(urljoin(url, location))
        if after.scheme in ("http", "https") and after.hostname and after.port != 0 and location.isascii():
            user, at, _place = urlsplit(url).netloc.rpartition("@")     # ours, wherever on this host it goes on
            return after._replace(netloc=f"{user}{at}{after.netloc.rpartition('@')[2]}")
    except ValueError:
        pass
    raise NoAnswer("redirected to what is no URL")


def _port(url: SplitResult) -> int:
    return url.port or (443 if url.scheme == "https" else 80)


async def _once(url: SplitResult, method: str, body: bytes, question: dict[str, Any]) -> tuple[int, str]:
    """Status and Location of one request."""
    secure = url.scheme == "https"
    host = url.hostname or ""
    bracketed = f"[{host}]" if ":" in host else host
    port = _port(url)
    reader, writer = await connect_tcp(f"{bracketed}:{port}", _context(question) if secure else None)
    http = h11.Connection(h11.CLIENT, max_incomplete_event_size=HEAD_BYTES)
    answered = False
    try:
        usual = port == (443 if secure else 80)
        head = _headers(url, bracketed if usual else f"{bracketed}:{port}", method, body, question["headers"])
        target = (url.path or "/") + (f"?{url.query}" if url.query else "")
        writer.write((http.send(h11.Request(method=method, target=target, headers=head)) or b"")
                     + (http.send(h11.Data(data=body)) or b"" if body else b"")
                     + (http.send(h11.EndOfMessage()) or b""))
        found = await _answer(http, reader)
        answered = True
    except h11.ProtocolError:
        raise NoAnswer("the answer is no HTTP") from None
    finally:
        if not answered:
            writer.transport.abort()
    task = asyncio.create_task(_read_body(http, reader, writer))
    _reading.add(task)
    task.add_done_callback(_reading.discard)
    return found


def _headers(url: SplitResult, host: str, method: str, body: bytes, given: list[list[str]]
             ) -> list[tuple[bytes, bytes]]:
    """Ours, as far as nobody has given others, and those."""
    found = {"host": ("Host", host), "user-agent": ("User-Agent", "sdsuper-check"), "accept": ("Accept", "*/*"),
             "connection": ("Connection", "close")}
    if url.username is not None:
        known = f"{unquote(url.username)}:{unquote(url.password or '')}"
        found["authorization"] = ("Authorization", f"Basic {b64encode(known.encode()).decode()}")
    if method == "POST":
        found["content-type"] = ("Content-Type", "application/x-www-form-urlencoded")
        found["content-length"] = ("Content-Length", str(len(body)))
    for name, _value in given:
        found.pop(name.lower(), None)
    return [(name.encode(), value.encode()) for name, value in (*found.values(), *given)]


async def _answer(http: h11.Connection, reader: asyncio.StreamReader) -> tuple[int, str]:
    interim = 0
    while True:
        event = http.next_event()
        if event is h11.NEED_DATA:
            data = await _some(reader)
            if not data:
                raise NoAnswer("the connection was closed without an answer")
            http.receive_data(data)
        elif isinstance(event, h11.InformationalResponse):
            if event.status_code == 101:
                return 101, ""          # what follows is no HTTP any more
            interim += 1
            if interim > INTERIM:
                raise NoAnswer(f"more than {INTERIM} interim answers")
        elif isinstance(event, h11.Response):
            location = next((value for name, value in event.headers if name == b"location"), b"")
            return event.status_code, location.decode("latin-1")


async def _some(reader: asyncio.StreamReader) -> bytes:
    """What comes next. Others have their turn meanwhile, also if it is there already."""
    await asyncio.sleep(0)
    return await reader.read(READ_BYTES)


async def _read_body(http: h11.Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    size = 0
    try:
        async with asyncio.timeout(BODY_SECONDS):
            while size < BODY_BYTES:
                event = http.next_event()
                if event is h11.NEED_DATA:
                    data = await _some(reader)
                    size += len(data)           # with what chunks are wrapped in
                    http.receive_data(data)
                elif not isinstance(event, h11.Data):
                    break
    except (OSError, h11.ProtocolError, TimeoutError):
        pass
    finally:
        writer.transport.abort()        # nobody waits for the other side's farewell


def _context(question: dict[str, Any]) -> ssl.SSLContext:
    """How to speak TLS. Raises NoAnswer."""
    wanted = question["insecure"], question.get("ca"), question.get("cert"), question.get("key")
    found = _contexts.get(wanted)
    if found is None or found[1] + CONTEXT_SECONDS < monotonic():
        if len(_contexts) >= CONTEXTS_MOST:
            _contexts.clear()
        found = _contexts[wanted] = _made(*wanted), monotonic()
    return found[0]


def _made(insecure: bool, ca: str | None, cert: str | None, key: str | None) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cadata=ca)
        if insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if cert:
            fd = os.memfd_create("identity", os.MFD_CLOEXEC)        # what can only be read from a file
            try:
                os.write(fd, f"{cert}\n{key}\n".encode())
                context.load_cert_chain(f"/proc/self/fd/{fd}", password=_no_password)
            finally:
                os.close(fd)
    except (OSError, ValueError) as error:
        raise NoAnswer("cannot use the certificates: "
                       + (str(error.reason) if isinstance(error, ssl.SSLError) else str(error))) from None
    return context


def _no_password() -> str:
    raise ValueError("the key has a password")
