"""What every request passes before a route sees it: is it for us, may it change anything, who sends it.

Promises: no route is reached without the listener's password; a browser that another site drives changes nothing
(cross-site request forgery), and cannot be made to take us for another site (DNS rebinding); guesses of passwords are
slowed down, and neither a right password that is known nor other peers suffer for it; no answer leaves without the
security headers. Must not: know the routes.

Sources: RFC 7617 (Basic), RFC 6454 (Origin), W3C Fetch Metadata, OWASP on cross-site request forgery.
"""

import asyncio
import ipaddress
import socket
import sys
import traceback
from base64 import b64decode
from email.utils import formatdate
from math import ceil
from time import monotonic
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sdsuper.api.daemon import Gone
from sdsuper.api.passwords import Busy, Passwords
from sdsuper.api.throttle import Throttle
from sdsuper.api.transport import Peer

SAFE = ("GET", "HEAD")
SHORT_BYTES = 64 * 1024     # of a body
REFUSED_SECONDS = 1.0       # for the body of a request that is refused anyway
SILENT_SECONDS = 60.0       # between two lines of the log about guesses
BUSY_SECONDS = 2            # until asking again makes sense when passwords queue up
SECURITY_HEADERS = (
    (b"content-security-policy", b"default-src 'self'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"same-origin"),       # with no-referrer browsers send "Origin: null" for our own forms
    (b"x-content-type-options", b"nosniff"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
    (b"server", b"sdsuper"),
)


class Refused(Exception):
    """The request goes no further."""

    def __init__(self, status: int, text: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(text)
        self.status, self.text, self.headers = status, text, headers


class Guard:
    """An ASGI application around another one."""

    def __init__(self, app: ASGIApp, passwords: Passwords, hosts: list[str]) -> None:
        self._app, self._passwords = app, passwords
        self._throttle = Throttle()
        self._silent_until = 0.0
        name = socket.gethostname()
        self._hosts = {host.lower() for host in ("localhost", name, name.partition(".")[0], *hosts)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check, then let the application answer."""
        started = False

        async def decorated(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                message["headers"] = [*message.get("headers", ()), *SECURITY_HEADERS,
                                      (b"date", formatdate(usegmt=True).encode())]
            await send(message)

        try:
            headers = Headers(scope=scope)
            try:
                await self._check(scope, headers)
            except Refused:
                receive = await _short_body(headers, receive, REFUSED_SECONDS)
                raise
            receive = await _short_body(headers, receive, None)
            await self._app(scope, receive, decorated)
        except Refused as refused:
            answer = PlainTextResponse(refused.text + "\n", refused.status, refused.headers)
            await answer(scope, receive, decorated)
        except ClientDisconnect:
            pass
        except Gone:
            if not started:
                await PlainTextResponse("supervisord has ended\n", 503)(scope, receive, decorated)
        except Exception:
            traceback.print_exc(file=sys.stderr)
            if not started:
                await PlainTextResponse("unexpected error, the daemon's log has it\n", 500)(scope, receive, decorated)

    async def _check(self, scope: Scope, headers: Headers) -> None:
        peer = scope["peer"]
        self._check_host(headers, peer)
        if scope["method"] not in SAFE:
            self._check_origin(headers)
        if headers.get("content-encoding", "identity") != "identity":
            raise Refused(415, "a body must not be encoded")
        if not self._passwords.open(peer.listener):
            await self._check_password(headers.get("authorization", ""), peer)

    # ---- browsers -------------------------------------------------------------------------------------------------

    def _check_host(self, headers: Headers, peer: Peer) -> None:
        host = headers.get("host")
        if host is None or (peer.unix and "origin" not in headers):
            return                      # no browser
        if not self._ours(host):
            raise Refused(421, "this host name is not one of ours; allowed_hosts of [inet_http_server] adds names")

    def _ours(self, authority: str) -> bool:
        name = _host(authority)
        if name is None:
            return False
        return name in self._hosts or _address(name) is not None

    def _check_origin(self, headers: Headers) -> None:
        if headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
            raise Refused(403, "a request from another site changes nothing here")
        origin = headers.get("origin")
        if origin is None:
            return
        _scheme, separator, authority = origin.partition("://")
        default = ":443" if origin.startswith("https:") else ":80"
        same = authority.lower().removesuffix(default) == headers.get("host", "").lower().removesuffix(default)
        if not separator or not (same and self._ours(authority)):
            raise Refused(403, "a request from another site changes nothing here")

    # ---- passwords ------------------------------------------------------------------------------------------------

    async def _check_password(self, authorization: str, peer: Peer) -> None:
        pair = _pair(authorization)
        if pair is None:
            raise _unauthorized()
        if self._passwords.known(peer.listener, *pair):
            return
        again = self._passwords.in_work(peer.listener, *pair)
        delay = 0.0 if again else self._throttle.ask(peer.name, monotonic())
        if delay:
            self._note(peer)
            raise Refused(429, "too many wrong passwords", {"Retry-After": str(ceil(delay))})
        try:
            right = await self._passwords.right(peer.listener, *pair)
        except Busy:
            self._throttle.untried(peer.name)
            raise Refused(429, "too many passwords to check", {"Retry-After": str(BUSY_SECONDS)}) from None
        if not right:
            raise _unauthorized()
        self._throttle.right(peer.name)

    def _note(self, peer: Peer) -> None:
        """Say that somebody guesses, once in a while: there may be thousands of them."""
        now = monotonic()
        if now >= self._silent_until:
            self._silent_until = now + SILENT_SECONDS
            print(f"many wrong passwords, {peer.name} has to wait between tries", file=sys.stderr, flush=True)


async def _short_body(headers: Headers, receive: Receive, seconds: float | None) -> Receive:
    """Take a short body in before anything is answered: a connection can be kept only when its request was read to its
    end. What has not come after `seconds` is not waited for. Raises ClientDisconnect.
    """
    length = int(headers.get("content-length", "0"))
    if not 0 < length <= SHORT_BYTES or "expect" in headers:
        return receive
    body, now = b"", asyncio.get_running_loop().time()
    while len(body) < length:
        try:
            async with asyncio.timeout_at(None if seconds is None else now + seconds):
                message = await receive()
        except TimeoutError:
            return receive
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        body += message.get("body", b"")
    taken = iter([{"type": "http.request", "body": body, "more_body": False}])

    async def again() -> Message:
        return next(taken, None) or await receive()

    return again


def _unauthorized() -> Refused:
    return Refused(401, "user name and password, please", {"WWW-Authenticate": 'Basic realm="default"'})


def _pair(authorization: str) -> tuple[bytes, bytes] | None:
    """User and password of an Authorization header, or None when it is no Basic one."""
    scheme, _blank, data = authorization.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user, colon, password = b64decode(data.strip(), validate=True).partition(b":")
    except ValueError:
        return None
    return (user, password) if colon else None


def _host(authority: str) -> str | None:
    """The host of `host:port`, in small letters, an IPv6 address without its brackets; None: it is none."""
    try:
        parts = urlsplit(f"//{authority}")
        _port = parts.port              # raises ValueError when it is no number
    except ValueError:
        return None
    if parts.path or parts.query or parts.fragment or "@" in authority or not parts.hostname:
        return None
    return parts.hostname.removesuffix(".")


def _address(host: str) -> object:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def peer_name(address: str) -> str:
    """What an address is counted by: one customer has a whole /64 of IPv6, each user of this machine all of 127/8."""
    found = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is not None:
            return str(found.ipv4_mapped)
        return str(ipaddress.ip_network((found, 64), strict=False))
    return "127.0.0.1" if found.is_loopback else address
