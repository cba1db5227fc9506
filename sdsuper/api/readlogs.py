"""XML-RPC methods on logs: read, tail, clear, reopen.

Promises: Supervisor 4.3.0's rules for offset and length (logs.py); a log of any size is sent without being held. Must
not: open a log by its path.
"""

import os
from typing import Any

from sdsuper.api import logs
from sdsuper.api.names import exact, process, renamed, shown
from sdsuper.api.table import LENGTH, NAME, OFFSET, Context, Parameter, method
from sdsuper.errors import FAULTS, Refusal

TAIL_OFFSET: Parameter = OFFSET._replace(about="what has been read so far; at or beyond the end there is nothing new")
TAIL_LENGTH: Parameter = LENGTH._replace(about="how many bytes at most")


async def _open(context: Context, name: str | None, channel: str) -> int:
    asked = "" if name is None else process(name).full
    try:
        return await context.daemon.open_log(asked or None, channel)
    except Refusal as refusal:
        if refusal.fault == "NO_FILE" and not refusal.detail.startswith("/"):
            raise Refusal("NO_FILE") from None      # there is none, and so no path to name
        raise renamed(refusal, name or "") from None


async def _read(context: Context, name: str | None, channel: str, offset: int, length: int) -> Any:
    fd = await _open(context, name, channel)
    try:
        start, end = logs.span(fd, offset, length)
    except Refusal:
        os.close(fd)
        raise
    return await logs.read(fd, start, end)


@method("supervisor.readLog", "supervisor.readMainLog", returns="string", parameters=(OFFSET, LENGTH))
async def read_log(context: Context, offset: int, length: int) -> Any:
    """Read the daemon's own log.

    Returns that part of it
    """
    return await _read(context, None, "stdout", offset, length)


@method("supervisor.readProcessStdoutLog", "supervisor.readProcessLog", returns="string",
        parameters=(NAME, OFFSET, LENGTH))
async def read_stdout(context: Context, name: str, offset: int, length: int) -> Any:
    """Read the log of what a process writes to stdout.

    Returns that part of it
    """
    return await _read(context, name, "stdout", offset, length)


@method("supervisor.readProcessStderrLog", returns="string", parameters=(NAME, OFFSET, LENGTH))
async def read_stderr(context: Context, name: str, offset: int, length: int) -> Any:
    """Read the log of what a process writes to stderr.

    Returns that part of it
    """
    return await _read(context, name, "stderr", offset, length)


async def _tail(context: Context, name: str, channel: str, offset: int, length: int) -> Any:
    try:
        fd = await _open(context, name, channel)
    except Refusal as refusal:
        if refusal.fault == "NO_FILE":
            return ["", 0, False]
        raise
    size = os.fstat(fd).st_size
    start, end, overflow = logs.tail_span(size, offset, length)
    return [await logs.read(fd, start, end), size, overflow]


@method("supervisor.tailProcessStdoutLog", "supervisor.tailProcessLog", returns="array",
        parameters=(NAME, TAIL_OFFSET, TAIL_LENGTH))
async def tail_stdout(context: Context, name: str, offset: int, length: int) -> Any:
    """The end of the log of what a process writes to stdout.

    Returns [text, size of the log, whether there was more than that]
    """
    return await _tail(context, name, "stdout", offset, length)


@method("supervisor.tailProcessStderrLog", returns="array", parameters=(NAME, TAIL_OFFSET, TAIL_LENGTH))
async def tail_stderr(context: Context, name: str, offset: int, length: int) -> Any:
    """The end of the log of what a process writes to stderr.

    Returns [text, size of the log, whether there was more than that]
    """
    return await _tail(context, name, "stderr", offset, length)


# ---- clearing --------------------------------------------------------------------------------------------------------


@method("supervisor.clearLog", returns="boolean")
async def clear_log(context: Context) -> Any:
    """Empty the daemon's own log.

    Returns true
    """
    await context.daemon.call("ClearLogs")
    return True


@method("supervisor.clearProcessLogs", "supervisor.clearProcessLog", returns="boolean", parameters=(NAME,))
async def clear_process_logs(context: Context, name: str) -> Any:
    """Empty both logs of a process.

    Returns true
    """
    wanted = process(name)
    try:
        (row,) = (await context.daemon.call("ClearLogs", name=await exact(context.daemon, wanted)))["results"]
    except Refusal as refusal:
        raise renamed(refusal, name) from None
    if row["fault"] != "SUCCESS":
        raise Refusal(row["fault"], name)
    return True


@method("supervisor.clearAllProcessLogs", returns="array")
async def clear_all_logs(context: Context) -> Any:
    """Empty the logs of all processes.

    Returns a struct for each: name, group, status, description
    """
    rows = (await context.daemon.call("ClearLogs", name="all"))["results"]
    return [{"name": row["name"], "group": row["group"], "status": FAULTS[row["fault"]],
             "description": "OK" if row["fault"] == "SUCCESS"
             else str(Refusal(row["fault"], shown(row["group"], row["name"])))} for row in rows]


@method("sdsuper.reopenLogs", returns="boolean")
async def reopen_logs(context: Context) -> Any:
    """Open all logs anew by their names, as after logrotate.

    Returns true
    """
    await context.daemon.call("ReopenLogs")
    return True
