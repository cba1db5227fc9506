"""restart --rolling: one after the other, so that the others serve meanwhile.

Promises: the next ones are stopped only when the last are RUNNING and, where checks say so, ready and well; the first
failure ends it, and what was done is said. Who is stopped when ^C comes, or nobody reads the output any more, is
started again. Must not: touch what is not up.
"""

import time
from typing import NamedTuple

from sdsuper.cli.ctl.asking import ready
from sdsuper.cli.ctl.help import explain
from sdsuper.cli.ctl.names import shown, unknown
from sdsuper.cli.ctl.session import GENERIC, INVALID_ARGS, NOT_RUNNING
from sdsuper.cli.options import Table, UsageError, parse_anywhere
from sdsuper.errors import Refusal, SdsuperError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from sdsuper.cli.ctl.session import Session

_PAUSE = 0.1
_TIMEOUT = 300.0
#: Where a start has led that has failed.
_FAILED = ("BACKOFF", "FATAL", "EXITED", "STOPPED", "UNKNOWN")
_UP = (10, 20, 30)
_TABLE: Table = {"--rolling": ("rolling", False), "--batch": ("batch", True), "--timeout": ("timeout", True)}


class _Wish(NamedTuple):
    names: list[str]
    batch: int
    timeout: float


class _FailedRestart(Exception):
    """Why a process is not up again."""


def rolling(session: "Session", words: list[str]) -> None:
    """`restart --rolling [--batch N] [--timeout SECONDS] name …`: exit 7 when one does not come up again, 1 for an
    unknown name, a daemon that has gone or a reader that has, 2 for a wrong option, 130 after ^C.
    """
    try:
        wish = _wish(words)
    except UsageError as error:
        session.wrong(f"Error: {error}", INVALID_ARGS)
        explain(session, "restart")
        return
    waiting = _processes(session, wish.names)
    if waiting is None:
        return
    status, done, under_way = 0, 0, []
    try:
        while waiting:
            under_way = [waiting.pop(0) for _ in range(min(wish.batch, len(waiting)))]
            _restart(session, under_way, wish.timeout)
            done += len(under_way)
            under_way = []
    except _FailedRestart as failure:
        session.say(f"Error: {failure}")
        status = NOT_RUNNING
    except (OSError, SdsuperError) as error:        # the daemon is gone, or somebody else is in its place
        if session.deaf:                            # or nobody reads what we say (`| head -1`)
            _start_again(session, under_way)
            raise
        session.say(f"Error: {error}")
        status = GENERIC
    except KeyboardInterrupt:
        session.say("")
        _start_again(session, under_way)
        status = 130
    if status:
        left = [*(() if status == NOT_RUNNING else under_way), *waiting]
        session.say(f"{done} restarted" + (f"; not restarted: {', '.join(left)}" if left else ""))
    session.status = status


def _wish(words: list[str]) -> _Wish:
    """Raises UsageError."""
    values, names = parse_anywhere(words, _TABLE)
    if not names:
        raise UsageError("restart requires a process name")
    if "rolling" not in values:
        raise UsageError("--batch and --timeout belong to --rolling")
    batch, timeout = values.get("batch", "1"), values.get("timeout", str(_TIMEOUT))
    if not (batch.isascii() and batch.isdigit() and 0 < int(batch) < 1_000_000):
        raise UsageError(f"cannot read {batch!r} as a number of processes (a number above 0 expected)")
    try:
        seconds = float(timeout)
        if not 0 < seconds < 1e9:
            raise ValueError
    except ValueError:
        raise UsageError(f"cannot read {timeout!r} as seconds (a number above 0 expected)") from None
    return _Wish(names, int(batch), seconds)


def _processes(session: "Session", names: list[str]) -> list[str] | None:
    """The processes to restart, each once; who is not up is said. None for an unknown name: nothing is done then."""
    found: dict[str, dict[str, Any]] = {}
    for name in ["all"] if "all" in names else names:
        try:
            processes = session.call("List", name=name)["processes"]
        except Refusal as refusal:
            if refusal.fault != "BAD_NAME":
                raise
            session.wrong(unknown(name), GENERIC)
            return None
        found |= {shown(one["group"], one["name"]): one for one in processes}
    for name, one in found.items():
        if one["statecode"] not in _UP:
            session.say(f"{name}: not up, left as it is")
    return [name for name, one in found.items() if one["statecode"] in _UP]


def _restart(session: "Session", names: list[str], timeout: float) -> None:
    """Stop and start some at the same time, and wait until they are what they are to be. Raises _FailedRestart."""
    until = time.monotonic() + timeout
    for name in names:
        _call(session, "Stop", name)
    for name in names:
        one = _one(session, name)
        while one["statecode"] in (*_UP, 40):
            one = _later(session, name, until, f"did not stop within {timeout:g} seconds")
    for name in names:
        session.say(f"{name}: stopped")
        _call(session, "Start", name)
    for name in names:
        one = _one(session, name)
        while not (ready(one) and one.get("health") not in ("unhealthy", "unready")):
            if one["state"] in _FAILED:
                raise _FailedRestart(f"{name} is {one['state']}" + (f", {one['spawnerr']}" if one["spawnerr"] else ""))
            one = _later(session, name, until, f"was not up, ready and well within {timeout:g} seconds")
        session.say(f"{name}: started")


def _call(session: "Session", method: str, name: str) -> None:
    """Stop or start one without waiting for it. Raises _FailedRestart."""
    try:
        results = session.call(method, name=_full(name), wait=False)["results"]
    except Refusal as refusal:
        raise _FailedRestart(f"{name}: {refusal}") from None
    for result in results:
        if result["fault"] not in ("SUCCESS", "NOT_RUNNING", "ALREADY_STARTED"):
            raise _FailedRestart(f"{name}: {result['description'] or result['fault']}")


def _later(session: "Session", name: str, until: float, why: str) -> "dict[str, Any]":
    """The process a moment later. Raises _FailedRestart when that is too late."""
    if time.monotonic() > until:
        raise _FailedRestart(f"{name} {why}")
    session.flush()
    time.sleep(_PAUSE)
    return _one(session, name)


def _one(session: "Session", name: str) -> "dict[str, Any]":
    try:
        (found,) = session.call("List", name=_full(name))["processes"]
    except (Refusal, ValueError):
        raise _FailedRestart(f"{name} has been removed meanwhile") from None
    assert isinstance(found, dict)
    return found


def _full(name: str) -> str:
    """`group:process`, which no shell pattern can be."""
    return name if ":" in name else f"{name}:{name}"


def _start_again(session: "Session", names: list[str]) -> None:
    """Whoever was stopped shall not stay so: the connection may have been given up in the middle of a call."""
    session.disconnect()
    until = time.monotonic() + _TIMEOUT
    for name in names:
        try:
            one = _one(session, name)
            while one["statecode"] == 40:
                one = _later(session, name, until, "does not stop")
            if one["statecode"] not in _UP:
                _call(session, "Start", name)
                session.say(f"{name}: started, not waited for")
        except (_FailedRestart, OSError, SdsuperError) as error:
            session.say(f"Error: {error}")
