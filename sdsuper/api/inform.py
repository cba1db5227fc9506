"""XML-RPC methods that tell about the daemon and its processes, and those on its configuration and its life.

Promises: arguments, results, fault numbers and texts of Supervisor 4.3.0, but `restart` (see there). Must not: keep
anything from one call to the next.
"""

from typing import Any

from sdsuper.api import marshal
from sdsuper.api.daemon import Daemon
from sdsuper.api.names import among, process, renamed
from sdsuper.api.shared import Shared
from sdsuper.api.table import API_VERSION, GROUP, NAME, NAMES, REQUIRED, STRING, Context, Parameter, method
from sdsuper.errors import Refusal
from sdsuper.usage import AMOUNTS, usage

TYPE = Parameter("type", STRING, REQUIRED, "the type in the event's first line")
DATA = Parameter("data", STRING, REQUIRED, "the event's body")
GROUPS = Parameter("groups", NAMES, None, "the groups that are updated; all when left out")


def make_context(daemon: Daemon) -> Context:
    """What the methods work with."""
    async def infos() -> marshal.Raw:
        return marshal.infos((await daemon.call("List"))["processes"])
    return Context(daemon, Shared(infos))


async def _state(context: Context) -> dict[str, Any]:
    """GetState, which alone is answered while the daemon ends. Raises Refusal SHUTDOWN_STATE."""
    state = await context.daemon.call("GetState")
    if state["statecode"] < 1:
        raise Refusal("SHUTDOWN_STATE")
    return state


@method("supervisor.getAPIVersion", "supervisor.getVersion", returns="string")
async def api_version(context: Context) -> Any:
    """The version of this interface, which is that of Supervisor 3 and 4.

    Returns the version
    """
    await _state(context)
    return API_VERSION


@method("supervisor.getSupervisorVersion", "sdsuper.getVersion", returns="string")
async def version(context: Context) -> Any:
    """The version of the program that answers.

    Returns the version
    """
    return (await _state(context))["version"]


@method("supervisor.getIdentification", returns="string")
async def identification(context: Context) -> Any:
    """The name that `identifier` in the configuration gives this daemon.

    Returns the name
    """
    return (await _state(context))["identifier"]


@method("supervisor.getState", returns="struct")
async def state(context: Context) -> Any:
    """The state of the daemon itself.

    Returns statecode (an int) and statename
    """
    found = await _state(context)
    return {"statecode": found["statecode"], "statename": found["state"]}


@method("supervisor.getPID", returns="int")
async def pid(context: Context) -> Any:
    """The daemon's process id.

    Returns the number
    """
    return (await _state(context))["pid"]


@method("sdsuper.getNotices", returns="array")
async def notices(context: Context) -> Any:
    """What the administrator should know of: what is missing, weakened or wrong.

    Returns a line of text for each
    """
    return (await _state(context))["notices"]


# ---- processes -------------------------------------------------------------------------------------------------------


@method("supervisor.getProcessInfo", returns="struct", parameters=(NAME,))
async def process_info(context: Context, name: str) -> Any:
    """State, times and log files of one process.

    Returns its figures by name
    """
    wanted = process(name)
    try:
        rows = (await context.daemon.call("List", name=wanted.full))["processes"]
    except Refusal as refusal:
        raise renamed(refusal, name) from None
    if not among(rows, wanted):
        raise Refusal("BAD_NAME", name)
    return marshal.info(rows[0])


@method("supervisor.getAllProcessInfo", returns="array")
async def all_process_info(context: Context) -> Any:
    """State, times and log files of all processes, sorted by group and name.

    Returns for each what getProcessInfo has
    """
    return await context.infos.get()


@method("sdsuper.listProcesses", returns="array")
async def list_processes(context: Context) -> Any:
    """All that is known of all processes: what getAllProcessInfo has, and goal, run, leftovers and lost_bytes.

    Returns a struct for each, with the fields of the control socket's type Process
    """
    return (await context.daemon.call("List"))["processes"]


@method("sdsuper.getAllUsage", returns="array")
async def all_usage(context: Context) -> Any:
    """What all processes use now, each with all it has started: memory, its peak and its limit, tasks, CPU time, bytes
    read and written, how many of its processes lacked memory and were killed. Amounts are doubles, for an int of
    XML-RPC ends at 2 GB; what the kernel does not count here is left out.

    Returns a struct for each
    """
    rows = [usage(run) for run in (await context.daemon.call("ListRuns"))["runs"]]
    return [{name: float(value) if name in AMOUNTS else value for name, value in row.items()} for row in rows]


@method("supervisor.getAllConfigInfo", returns="array")
async def all_config_info(context: Context) -> Any:
    """The options of all configured processes, sorted by name, also of those that are not in use.

    Returns a struct for each
    """
    rows = (await context.daemon.call("ListConfigs"))["configs"]
    running: dict[tuple[str, str], dict[str, Any]] = {}
    if any(row["inuse"] and "AUTO" in (row["stdout"]["logfile"], row["stderr"]["logfile"]) for row in rows):
        running = {(row["group"], row["name"]): row for row in (await context.daemon.call("List"))["processes"]}
    return [_config(row, running.get((row["group"], row["name"]), {})) for row in rows]


def _config(row: dict[str, Any], process: dict[str, Any]) -> dict[str, Any]:
    """Supervisor's struct; `none` and `auto` stand for what XML-RPC has no value for. The log files that were chosen
    for a process in use are the ones of its `process`.
    """
    found = {
        "autostart": row["autostart"], "directory": _or_none(row.get("directory")), "uid": _or_none(row.get("uid")),
        "command": row["command"], "exitcodes": row["exitcodes"], "group": row["group"],
        "group_prio": row["group_priority"], "inuse": row["inuse"], "killasgroup": row["killasgroup"],
        "name": row["name"], "process_prio": row["process_priority"], "redirect_stderr": row["redirect_stderr"],
        "startretries": row["startretries"], "startsecs": row["startsecs"], "stopsignal": row["stopsignal"],
        "stopwaitsecs": row["stopwaitsecs"], "serverurl": _or_none(row.get("serverurl")),
    }
    for channel in ("stdout", "stderr"):
        log = row[channel]
        file = log["logfile"]
        found |= {
            f"{channel}_capture_maxbytes": log["capture_maxbytes"], f"{channel}_events_enabled": log["events_enabled"],
            f"{channel}_logfile": (process.get(f"{channel}_logfile") or "auto") if file == "AUTO" else file or "none",
            f"{channel}_logfile_backups": log["backups"], f"{channel}_logfile_maxbytes": log["maxbytes"],
            f"{channel}_syslog": log["syslog"],
        }
    return found


def _or_none(value: Any) -> Any:
    if value is None:
        return "none"
    return "auto" if value == "AUTO" else value


# ---- configuration and life ------------------------------------------------------------------------------------------


@method("supervisor.reloadConfig", returns="array")
async def reload_config(context: Context) -> Any:
    """Read the configuration again and say what would be new. Nothing is changed by it.

    Returns [[added, changed, removed]], arrays with names of groups
    """
    plan = await context.daemon.call("Reread")
    return [[plan["added"], plan["changed"], plan["removed"]]]


@method("supervisor.addProcessGroup", returns="boolean", parameters=(GROUP,))
async def add_group(context: Context, name: str) -> Any:
    """Put a configured group to use; what has autostart starts.

    Returns true
    """
    await context.daemon.wait("AddGroup", name=name)
    return True


@method("supervisor.removeProcessGroup", returns="boolean", parameters=(GROUP,))
async def remove_group(context: Context, name: str) -> Any:
    """Take a group out of use in which nothing runs.

    Returns true
    """
    await context.daemon.wait("RemoveGroup", name=name)
    return True


@method("sdsuper.update", returns="array", parameters=(GROUPS,))
async def update(context: Context, groups: list[str] | None) -> Any:
    """Read the configuration again and make it so. A process whose options did not change is not touched.

    Returns a struct for each step: group, and kind (added, updated, removed, stopped)
    """
    return (await context.daemon.wait("Update", groups=groups))["changes"]


@method("supervisor.restart", returns="boolean")
async def restart(context: Context) -> Any:
    """Read the configuration again and make it so. Unlike Supervisor's it stops nothing that did not change.

    Returns true
    """
    await context.daemon.wait("Update")
    return True


@method("supervisor.shutdown", returns="boolean")
async def shutdown(context: Context) -> Any:
    """Stop all processes and end the daemon.

    Returns true
    """
    await context.daemon.call("Shutdown")
    return True


@method("supervisor.sendRemoteCommEvent", returns="boolean", parameters=(TYPE, DATA))
async def send_event(context: Context, type: str, data: str) -> Any:
    """Send the event REMOTE_COMMUNICATION to the listeners that want it.

    Returns true
    """
    await context.daemon.call("SendEvent", type=type, data=data)
    return True
