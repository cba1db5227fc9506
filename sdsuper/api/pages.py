"""The status page: what runs, and start, stop, restart, clear and tail for each process.

Promises: state changes by POST alone, with a redirect to the page after it; all text is escaped; no script, nothing
from elsewhere. Must not: check who asks or from where (guard.py has).
"""

from collections.abc import Awaitable, Callable
from functools import cache
from importlib import resources
from time import ctime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from sdsuper import VERSION
from sdsuper.api import inform, operate, readlogs
from sdsuper.api.bodies import form
from sdsuper.api.daemon import Daemon
from sdsuper.api.guard import Refused
from sdsuper.api.logs import Span
from sdsuper.api.names import shown
from sdsuper.errors import Refusal
from sdsuper.usage import memory

if TYPE_CHECKING:
    from jinja2 import Environment

TAIL_BYTES, TAIL_MOST = 1024, 200_000
STATIC = {"style.css": "text/css"}

#: what may be done in a state; the others have nothing but their logs
ACTIONS = {
    "RUNNING": (("restart", "Restart"), ("stop", "Stop")),
    "STOPPED": (("start", "Start"),), "EXITED": (("start", "Start"),), "FATAL": (("start", "Start"),),
    "STARTING": (), "BACKOFF": (("stop", "Stop"),), "STOPPING": (), "UNKNOWN": (),
}
LOOKS = {"RUNNING": "running", "FATAL": "error", "BACKOFF": "error"}
#: what Supervisor's page says of a fault
WORDS = {
    "NO_FILE": "no such file", "NOT_EXECUTABLE": "file not executable", "ALREADY_STARTED": "already started",
    "SPAWN_ERROR": "spawn error", "ABNORMAL_TERMINATION": "abnormal termination", "NOT_RUNNING": "not running",
}


def page_routes(daemon: Daemon, body_bytes: int) -> list[Route]:
    """The routes of all pages."""
    pages = Pages(daemon, body_bytes)
    return [
        Route("/", pages.status, methods=["GET"]),
        Route("/index.html", pages.status, methods=["GET"]),
        Route("/", pages.act, methods=["POST"]),
        Route("/index.html", pages.act, methods=["POST"]),
        Route("/tail.html", pages.tail, methods=["GET"]),
        Route("/ok.html", _ok, methods=["GET"]),
        Route("/static/{name}", _static, methods=["GET"]),
    ]


class Pages:
    """The pages that need the daemon."""

    def __init__(self, daemon: Daemon, body_bytes: int) -> None:
        self._context, self._body_bytes = inform.make_context(daemon), body_bytes
        self._actions: dict[str, Callable[[str], Awaitable[str]]] = {
            "start": self._start, "stop": self._stop, "restart": self._restart, "clearlog": self._clear,
        }

    async def status(self, request: Request) -> Response:
        """The table of all processes."""
        action = request.query_params.get("action")
        if action == "refresh":
            return _back(f"Page refreshed at {ctime()}")
        if action is not None:
            raise Refused(405, "a GET changes nothing here, use POST", {"Allow": "POST"})
        message = request.query_params.get("message", "")
        try:
            rows = await inform.list_processes(self._context)
            runs = (await self._context.daemon.call("ListRuns"))["runs"]
        except Refusal as refusal:
            rows, runs, message = [], [], str(refusal)
        used = {(run["group"], run["name"]): memory(run) for run in runs}
        for row in rows:
            row["memory"] = _amount(used.get((row["group"], row["name"])))
            row["full"] = shown(row["group"], row["name"])
            row["look"] = LOOKS.get(row["state"], "nominal")
            row["actions"] = ACTIONS.get(row["state"], ())
        return _page("status.html", rows=rows, message=message, measured=any(row["memory"] for row in rows))

    async def act(self, request: Request) -> Response:
        """Do what a form asks, and go back to the table with a message."""
        fields = await form(request, self._body_bytes)
        action, name = fields.get("action", ""), fields.get("processname", "")
        try:
            if action == "stopall":
                await operate.stop_all(self._context, True)
                return _back(f"All stopped at {ctime()}")
            if action == "restartall":
                await operate.stop_all(self._context, True)
                await operate.start_all(self._context, True)
                return _back(f"All restarted at {ctime()}")
        except Refusal as refusal:
            return _back(f"ERROR: {refusal}")
        if action not in self._actions or not name:
            raise Refused(400, "an action is start, stop, restart or clearlog of a processname, stopall or restartall")
        try:
            await inform.process_info(self._context, name)
            return _back(await self._actions[action](name))
        except Refusal as refusal:
            if refusal.fault == "BAD_NAME":
                return _back(f"No such process named {name}")
            return _back(f"ERROR: Process {name}: {WORDS.get(refusal.fault, str(refusal))}")

    async def _start(self, name: str) -> str:
        await operate.start_process(self._context, name, True)
        return f"Process {name} started"

    async def _stop(self, name: str) -> str:
        await operate.stop_process(self._context, name, True)
        return f"Process {name} stopped"

    async def _restart(self, name: str) -> str:
        try:
            await operate.stop_process(self._context, name, True)
        except Refusal as refusal:
            if refusal.fault != "NOT_RUNNING":
                raise
        await operate.start_process(self._context, name, True)
        return f"Process {name} restarted"

    async def _clear(self, name: str) -> str:
        await readlogs.clear_process_logs(self._context, name)
        return f"Log for {name} cleared"

    async def tail(self, request: Request) -> Response:
        """The end of what a process wrote to stdout."""
        name, limit = request.query_params.get("processname", ""), request.query_params.get("limit", "")
        size = min(TAIL_MOST, max(TAIL_BYTES, int(limit))) if limit.isdecimal() and len(limit) < 10 else TAIL_BYTES
        try:
            text = await readlogs.read_stdout(self._context, name, -size, 0) if name else "No process name found"
        except Refusal as refusal:
            text = f"No file for {name}" if refusal.fault == "NO_FILE" else f"ERROR: {refusal}"
        assert not isinstance(text, Span)       # TAIL_MOST is below what makes one
        return _page("tail.html", name=name, size=size, text=text)


async def _ok(_request: Request) -> Response:
    return PlainTextResponse("OK")


async def _static(request: Request) -> Response:
    name = request.path_params["name"]
    if name not in STATIC:
        raise Refused(404, "not found")
    return Response(_file("static", name), media_type=STATIC[name])


def _amount(count: int | None) -> str:
    """Bytes as a person reads them; empty where they are not known."""
    if count is None:
        return ""
    value = count / 1024 ** 2
    return f"{value:.1f} MB" if value < 1024 else f"{value / 1024:.1f} GB"


def _back(message: str) -> Response:
    return RedirectResponse(f"/?message={quote(message)}", 303)


def _page(template: str, **values: Any) -> Response:
    return HTMLResponse(_templates().get_template(template).render(version=VERSION, **values))


@cache
def _templates() -> "Environment":
    """The templates; jinja2 is imported when somebody wants a page."""
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    return Environment(loader=FunctionLoader(lambda name: _file("templates", name)), autoescape=True,
                       undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)


@cache
def _file(folder: str, name: str) -> str:
    return resources.files("sdsuper.api").joinpath(folder, name).read_text(encoding="utf-8")
