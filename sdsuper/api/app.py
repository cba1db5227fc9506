"""The routes of the face, and the answers of XML-RPC and of the log endpoints. The pages are in pages.py.

Promises: nothing that a GET reaches changes anything. Must not: check who asks (guard.py has), or know the daemon's
commands.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Coroutine
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route, Router
from starlette.types import Receive, Scope, Send

from sdsuper.api import inform, marshal, rpc
from sdsuper.api.bodies import body
from sdsuper.api.daemon import Daemon
from sdsuper.api.guard import Refused
from sdsuper.api.logs import Follower, Span
from sdsuper.api.names import exact, target
from sdsuper.api.pages import page_routes
from sdsuper.api.unmarshal import NotXmlRpc
from sdsuper.api.unmarshal import request as unmarshalled
from sdsuper.errors import Refusal

SLICE_CHARACTERS = 64 * 1024    # of a long reply at once: between two of them others are answered


def make_app(daemon: Daemon, body_bytes: int) -> Router:
    """All routes."""
    endpoints = Endpoints(daemon, body_bytes)
    return Router([
        Route("/RPC2{rest:path}", endpoints.rpc, methods=["POST"]),
        Route("/logtail", _no_log, methods=["GET"]),
        Route("/logtail/{name:path}", endpoints.process_log, methods=["GET"]),
        Route("/mainlogtail{rest:path}", endpoints.main_log, methods=["GET"]),
        Route("/conf/{name:path}", endpoints.conf, methods=["GET"]),
        *page_routes(daemon, body_bytes),
    ], redirect_slashes=False)


class Ending(StreamingResponse):
    """A file in parts, or what is followed until the client leaves."""

    def __init__(self, parts: AsyncIterator[str] | AsyncIterator[bytes], file: Follower | Span,
                 headers: dict[str, str]) -> None:
        super().__init__(parts, headers=headers)
        self._file = file

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, and let the file go however it ends."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._file.close()


class Endpoints:
    """The answers that need the daemon."""

    def __init__(self, daemon: Daemon, body_bytes: int) -> None:
        self._daemon, self._body_bytes = daemon, body_bytes
        self._context = inform.make_context(daemon)

    async def rpc(self, request: Request) -> Response:
        """One XML-RPC call."""
        try:
            name, values = unmarshalled(await body(request, self._body_bytes))
        except NotXmlRpc as error:
            raise Refused(400, str(error)) from None
        parts = await _while_connected(request, rpc.answer(self._context, name, values))
        if all(isinstance(part, str) for part in parts):
            data = "".join([part for part in parts if isinstance(part, str)]).encode()
            if len(data) <= SLICE_CHARACTERS:
                return Response(data, media_type="text/xml")
            return StreamingResponse(_slices(data), headers={"Content-Length": str(len(data))}, media_type="text/xml")
        return StreamingResponse(_sent(parts), media_type="text/xml")

    async def process_log(self, request: Request) -> Response:
        """`/logtail/NAME`, `/logtail/NAME/stdout`, `/logtail/NAME/stderr`."""
        name, _slash, channel = request.path_params["name"].lstrip("/").partition("/")
        wanted = target(name)
        if wanted.process is None or channel not in ("", "stdout", "stderr"):
            raise Refused(404, "no such log")
        # tells a proxy in front (nginx) not to wait for more
        return await self._follow(request, wanted.full, channel or "stdout", {"X-Accel-Buffering": "no"})

    async def main_log(self, request: Request) -> Response:
        """`/mainlogtail`."""
        return await self._follow(request, None, "stdout", {})

    async def conf(self, request: Request) -> Response:
        """`/conf/NAME`, Go's: the file of the program's that `conf_file` names, as it is now."""
        wanted = target(request.path_params["name"])
        if wanted.process is None:
            raise Refused(404, "no such file")
        try:
            fd = await self._daemon.open_conf(await exact(self._daemon, wanted))
        except Refusal as refusal:
            raise _refused(refusal) from None
        part = Span(fd, 0, os.fstat(fd).st_size)
        return Ending(part.text(), part, {"Content-Type": "text/plain;charset=utf-8"})

    async def _follow(self, request: Request, name: str | None, channel: str, headers: dict[str, str]) -> Response:
        if request.method != "GET":         # HEAD comes along with GET, and would follow for nothing
            raise Refused(405, "only GET is for this", {"Allow": "GET"})
        try:
            fd = await self._daemon.open_log(name, channel)
        except Refusal as refusal:
            raise _refused(refusal) from None
        follower = Follower(self._daemon, name, channel, fd)
        return Ending(follower.news(), follower, {"Last-Modified": follower.modified,
                                                  "Content-Type": "text/plain;charset=utf-8", **headers})


def _refused(refusal: Refusal) -> Refused:
    """The status for what the daemon does not hand out."""
    return Refused(404 if refusal.fault in ("BAD_NAME", "NO_FILE") else 503, refusal.fault)


async def _no_log(_request: Request) -> Response:
    return PlainTextResponse("which log?\n", 404)


async def _while_connected(request: Request, answering: Coroutine[Any, Any, list[marshal.Part]]) -> list[marshal.Part]:
    """What `answering` comes to. It is given up when the client leaves, as Supervisor does: a call that waits must not
    keep its place for nobody. Raises ClientDisconnect.
    """
    task = asyncio.ensure_future(answering)
    leaving = asyncio.ensure_future(_left(request))
    try:
        await asyncio.wait((task, leaving), return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise ClientDisconnect
    finally:
        task.cancel()
        leaving.cancel()


async def _left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _slices(data: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(data), SLICE_CHARACTERS):
        yield data[start:start + SLICE_CHARACTERS]


async def _sent(parts: list[marshal.Part]) -> AsyncIterator[bytes]:
    for part in parts:
        if isinstance(part, str):
            for start in range(0, len(part), SLICE_CHARACTERS):
                yield part[start:start + SLICE_CHARACTERS].encode()
        else:
            async for text in part.text():
                yield marshal.text(text).encode()
