"""XML-RPC methods on processes: start, stop, signal, stdin, rotation. See table.py for how they get into the table.

Promises: arguments, results, fault numbers and texts of Supervisor 4.3.0. Must not: take a pattern for a name.
"""

from typing import Any

from sdsuper.api.names import Target, exact, process, renamed, shown, target, whole_group
from sdsuper.api.table import (
    GROUP,
    NAME,
    NAME_OR_GROUP,
    REQUIRED,
    SIGNAL_NAME,
    STRING,
    WAIT,
    Context,
    Parameter,
    method,
)
from sdsuper.errors import FAULTS, Refusal

_REASONS = ("NO_FILE", "NOT_EXECUTABLE", "FAILED")      # whose text is the reason; that of the others is the name
_ALL = Target("all", "", None)

CHARS = Parameter("chars", STRING, REQUIRED, "what is sent, as UTF-8")


async def _operate(context: Context, command: str, wanted: Target, **parameters: Any) -> Any:
    """Carry out a command: true for one process, an array for several."""
    name = "all" if wanted is _ALL else await exact(context.daemon, wanted)
    waits = parameters.get("wait", command == "ReloadProcess")
    try:
        values = await (context.daemon.wait if waits else context.daemon.call)(command, name=name, **parameters)
    except Refusal as refusal:
        raise renamed(refusal, wanted.asked) from None
    results = values["results"]
    if wanted.process is None:
        return [_result(row, parameters.get("signal", "")) for row in results]
    row = results[0]
    if row["fault"] != "SUCCESS":
        raise Refusal(row["fault"], _detail(row, wanted.asked, parameters.get("signal", "")))
    return True


def _detail(row: dict[str, Any], asked: str, signal: str) -> str:
    if row["fault"] == "BAD_SIGNAL":
        return signal
    return str(row["description"]) if row["fault"] in _REASONS else asked


def _result(row: dict[str, Any], signal: str) -> dict[str, Any]:
    if row["fault"] == "SUCCESS":
        text = "OK"
    else:
        text = str(Refusal(row["fault"], _detail(row, shown(row["group"], row["name"]), signal)))
    return {"name": row["name"], "group": row["group"], "status": FAULTS[row["fault"]], "description": text}


@method("supervisor.startProcess", returns="boolean", parameters=(NAME_OR_GROUP, WAIT))
async def start_process(context: Context, name: str, wait: bool) -> Any:
    """Start one process, or all of a group that are not up.

    Returns true, or for a group an array with a struct for each process that was down
    """
    return await _operate(context, "Start", target(name), wait=wait)


@method("supervisor.startProcessGroup", returns="array", parameters=(GROUP, WAIT))
async def start_group(context: Context, name: str, wait: bool) -> Any:
    """Start what is not up in a group.

    Returns a struct for each process that was down: name, group, status, description
    """
    return await _operate(context, "Start", whole_group(name), wait=wait)


@method("supervisor.startAllProcesses", returns="array", parameters=(WAIT,))
async def start_all(context: Context, wait: bool) -> Any:
    """Start every process that is not up.

    Returns a struct for each process that was down: name, group, status, description
    """
    return await _operate(context, "Start", _ALL, wait=wait)


@method("supervisor.stopProcess", returns="boolean", parameters=(NAME_OR_GROUP, WAIT))
async def stop_process(context: Context, name: str, wait: bool) -> Any:
    """Stop one process, or all of a group that are up.

    Returns true, or for a group an array with a struct for each process that was up
    """
    return await _operate(context, "Stop", target(name), wait=wait)


@method("supervisor.stopProcessGroup", returns="array", parameters=(GROUP, WAIT))
async def stop_group(context: Context, name: str, wait: bool) -> Any:
    """Stop what is up in a group.

    Returns a struct for each process that was up: name, group, status, description
    """
    return await _operate(context, "Stop", whole_group(name), wait=wait)


@method("supervisor.stopAllProcesses", returns="array", parameters=(WAIT,))
async def stop_all(context: Context, wait: bool) -> Any:
    """Stop every process that is up.

    Returns a struct for each process that was up: name, group, status, description
    """
    return await _operate(context, "Stop", _ALL, wait=wait)


@method("supervisor.signalProcess", returns="boolean", parameters=(NAME_OR_GROUP, SIGNAL_NAME))
async def signal_process(context: Context, name: str, signal: str) -> Any:
    """Send a signal to one process, or to all of a group that have a child.

    Returns true, or for a group an array with a struct for each process that was signalled
    """
    return await _operate(context, "Signal", target(name), signal=signal)


@method("supervisor.signalProcessGroup", returns="array", parameters=(GROUP, SIGNAL_NAME))
async def signal_group(context: Context, name: str, signal: str) -> Any:
    """Send a signal to everything in a group that has a child.

    Returns a struct for each process that was signalled: name, group, status, description
    """
    return await _operate(context, "Signal", whole_group(name), signal=signal)


@method("sdsuper.reloadProcess", returns="boolean", parameters=(NAME_OR_GROUP,))
async def reload_process(context: Context, name: str) -> Any:
    """Let one process read its own configuration again, by its reload_command or reload_signal, or all of a group that
    run and have one of these.

    Returns true, or for a group an array with a struct for each process that was reloaded
    """
    return await _operate(context, "ReloadProcess", target(name))


@method("sdsuper.rotateProcessLogs", returns="boolean", parameters=(NAME_OR_GROUP,))
async def rotate_process_logs(context: Context, name: str) -> Any:
    """Rotate the log files of one process now, or those of all of a group; empty ones stay as they are.

    Returns true, or for a group an array with a struct for each process
    """
    return await _operate(context, "RotateLogs", target(name))


@method("sdsuper.rotateAllProcessLogs", returns="array")
async def rotate_all_logs(context: Context) -> Any:
    """Rotate the log files of all processes now; empty ones stay as they are.

    Returns a struct for each process: name, group, status, description
    """
    return await _operate(context, "RotateLogs", _ALL)


@method("sdsuper.rotateLog", returns="boolean")
async def rotate_log(context: Context) -> Any:
    """Rotate the daemon's own log now, unless it is empty.

    Returns true
    """
    await context.daemon.call("RotateLogs")
    return True


@method("supervisor.signalAllProcesses", returns="array", parameters=(SIGNAL_NAME,))
async def signal_all(context: Context, signal: str) -> Any:
    """Send a signal to every process that has a child.

    Returns a struct for each process that was signalled: name, group, status, description
    """
    return await _operate(context, "Signal", _ALL, signal=signal)


@method("supervisor.sendProcessStdin", returns="boolean", parameters=(NAME, CHARS))
async def send_stdin(context: Context, name: str, chars: str) -> Any:
    """Write to the stdin of a process. Bytes that are no text can be sent as base64.

    Returns true
    """
    wanted = process(name)
    try:
        await context.daemon.call("WriteStdin", name=wanted.full, data=chars)
    except Refusal as refusal:
        if refusal.fault == "NO_FILE":
            raise Refusal("NO_FILE", name) from None
        raise renamed(refusal, name) from None
    return True
