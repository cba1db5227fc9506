"""ctl's way to a daemon over XML-RPC: a real Supervisor, or an sdsuper that is reached over HTTP.

Promises: the methods of the control interface that ctl uses, as a Supervisor since 3.0 can do them; groups and shell
patterns work where Supervisor takes a single process. What a Supervisor does not tell is None. Must not: decide what
is shown.
"""

from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import quote
from xmlrpc.client import Binary
from xmlrpc.client import ProtocolError as HttpError

from sdsuper.cli.ctl.names import shown, split
from sdsuper.cli.ctl.rpc import Rpc, Server, restored
from sdsuper.cli.ctl.stream import Stream
from sdsuper.client import ProtocolError
from sdsuper.errors import FAULTS, Refusal

Values = dict[str, Any]

# Supervisor's numbers of states: STARTING, RUNNING and BACKOFF are up; these can be sent a signal.
_UP = (10, 20, 30)
_RUNNING = 20
_SIGNALLABLE = (10, 20, 40)
_NAMES = {code: name for name, code in FAULTS.items()}


class RemoteBackend:
    """See `backend.Backend`. Raises besides: xmlrpc.client.ProtocolError for an HTTP status, ValueError for the URL."""

    settle_seconds = 1.5    # a Supervisor looks at its programs' output, and at its logs for us, when it comes to it

    def __init__(self, url: str, username: str | None, password: str | None) -> None:
        self._rpc = Rpc(Server(url, username, password))
        self._reread: tuple[list[str], list[str], list[str]] | None = None
        self._methods: dict[str, Callable[..., Values]] = {
            "GetState": self._get_state, "List": self._list, "ListConfigs": self._list_configs, "Start": self._start,
            "Stop": self._stop, "Signal": self._signal, "WriteStdin": self._write_stdin,
            "ClearLogs": self._clear_logs, "Reread": self._reread_config, "Update": self._update,
            "AddGroup": self._add_group, "RemoveGroup": self._remove_group, "Shutdown": self._shutdown,
            "ListRuns": self._list_runs, "ReloadProcess": self._reload_process,
            "RotateLogs": self._rotate_logs,
        }  # fmt: skip

    def call(self, method: str, **parameters: Any) -> Values:
        """See `backend.Backend.call`. The changes of Update are made while they are read."""
        try:
            carry_out = self._methods.get(method)
            if carry_out is None:
                raise Refusal("FAILED", f"{method.lower()} goes over the control socket only")
            return carry_out(**parameters)
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            raise ProtocolError(f"{self._rpc.server.url}: {method}: not the answer of a Supervisor") from error

    def reload(self) -> None:
        """See `backend.Backend.reload`: a Supervisor stops everything and starts anew."""
        self._rpc.call("supervisor.restart")

    def log(self, name: str | None, channel: str) -> "RemoteLog":
        """See `backend.Backend.log`."""
        return RemoteLog(self._rpc, name, channel)

    def subscribe(self, types: list[str] | None) -> Iterator[Values]:
        """See `backend.Backend.subscribe`: it cannot be had."""
        raise Refusal("FAILED", "events go over the control socket only")

    def close(self) -> None:
        """End the connection."""
        self._rpc.close()

    # ---- asking ---------------------------------------------------------------------------------------------------

    def _get_state(self) -> Values:
        # the oldest name of each method, for old servers
        api_version, version, identifier, state, pid = self._rpc.call_all(
            "supervisor.getVersion", "supervisor.getSupervisorVersion", "supervisor.getIdentification",
            "supervisor.getState", "supervisor.getPID",
        )  # fmt: skip
        return {"version": version, "api_version": api_version, "identifier": identifier, "pid": pid,
                "state": state["statename"], "statecode": state["statecode"], "notices": []}  # fmt: skip

    def _list(self, name: str | None = None) -> Values:
        return {"processes": [_process(info) for info in self._infos(name or "all")]}

    def _infos(self, name: str) -> list[Values]:
        """What the server says of the processes that `name` means. Raises Refusal BAD_NAME where there is none."""
        if _is_single(name):
            return [self._rpc.call("supervisor.getProcessInfo", name)]
        infos: list[Values] = self._rpc.call("supervisor.getAllProcessInfo")
        if name == "all":
            return infos
        found = [info for info in infos if _matches(info, name)]
        if not found:
            raise Refusal("BAD_NAME", name)
        return found

    def _list_runs(self, name: str | None = None) -> Values:
        """With the figures in them: the cgroups are on the other machine."""
        wanted = {(info["group"], info["name"]) for info in self._infos(name or "all")}
        runs = [run for run in self._rpc.call("sdsuper.getAllUsage") if (run["group"], run["name"]) in wanted]
        return {"runs": [{key: int(value) if isinstance(value, float) else value for key, value in run.items()}
                         for run in runs]}

    def _list_configs(self) -> Values:
        return {"configs": [_config(info) for info in self._rpc.call("supervisor.getAllConfigInfo")]}

    # ---- programs -------------------------------------------------------------------------------------------------

    def _start(self, name: str, wait: bool = True) -> Values:
        return self._operate("start", name, lambda state: state not in _UP, *(() if wait else (False,)))

    def _stop(self, name: str, wait: bool = True) -> Values:
        return self._operate("stop", name, _UP.__contains__, *(() if wait else (False,)))

    def _signal(self, name: str, signal: str) -> Values:
        return self._operate("signal", name, _SIGNALLABLE.__contains__, signal)

    def _reload_process(self, name: str) -> Values:
        if _is_single(name):
            group, process = split(name)
            self._rpc.call("sdsuper.reloadProcess", name)
            return _results([{"group": group, "name": process, "status": FAULTS["SUCCESS"], "description": "OK"}])
        infos = self._infos(name)
        if _is_pattern(name):
            return self._each([info for info in infos if info["state"] == _RUNNING], "sdsuper.reloadProcess")
        groups = sorted({info["group"] for info in infos})
        return _results([row for group in groups for row in self._rpc.call("sdsuper.reloadProcess", f"{group}:*")])

    def _operate(self, verb: str, name: str, concerns: Callable[[int], bool], *more: str | bool) -> Values:
        if name == "all":
            return _results(self._rpc.call(f"supervisor.{verb}AllProcesses", *more))
        group, process = split(name)
        if process is None and not _is_pattern(group):
            return _results(self._rpc.call(f"supervisor.{verb}ProcessGroup", group, *more))
        if _is_single(name):
            self._rpc.call(f"supervisor.{verb}Process", name, *more)
            return _results([{"group": group, "name": process, "status": FAULTS["SUCCESS"], "description": "OK"}])
        infos = [info for info in self._infos(name) if concerns(info["state"])]
        return self._each(infos, f"supervisor.{verb}Process", *more)

    def _each(self, infos: list[Values], method: str, *more: str | bool) -> Values:
        """Call a method that takes one process for several."""
        results = []
        for info in infos:
            status, description = FAULTS["SUCCESS"], "OK"
            try:
                self._rpc.call(method, f"{info['group']}:{info['name']}", *more)
            except Refusal as refusal:
                status, description = refusal.code, str(refusal)
            results.append({"group": info["group"], "name": info["name"], "status": status,
                            "description": description})  # fmt: skip
        return _results(results)

    def _write_stdin(self, name: str, data: str) -> Values:
        # what no XML can hold goes as bytes; a Supervisor decodes them as UTF-8
        plain = data.isprintable() or data.rstrip("\n").isprintable()
        chars = data if plain else Binary(data.encode("utf-8", "surrogateescape"))
        self._rpc.call("supervisor.sendProcessStdin", name, chars)
        return {}

    def _clear_logs(self, name: str) -> Values:
        if name == "all":
            return _results(self._rpc.call("supervisor.clearAllProcessLogs"))
        if not _is_single(name):
            return self._each(self._infos(name), "supervisor.clearProcessLogs")
        self._rpc.call("supervisor.clearProcessLogs", name)
        group, process = split(name)
        return _results([{"group": group, "name": process, "status": FAULTS["SUCCESS"], "description": "OK"}])

    def _rotate_logs(self, name: str) -> Values:
        if name == "all":
            return _results(self._rpc.call("sdsuper.rotateAllProcessLogs"))
        group, process = split(name)
        if process is None and not _is_pattern(group):
            return _results(self._rpc.call("sdsuper.rotateProcessLogs", f"{group}:*"))
        return self._each(self._infos(name), "sdsuper.rotateProcessLogs")

    # ---- configuration --------------------------------------------------------------------------------------------

    def _reread_config(self) -> Values:
        added, changed, removed = self._rpc.call("supervisor.reloadConfig")[0]
        self._reread = added, changed, removed
        return {"added": added, "changed": changed, "removed": removed}

    def _update(self, groups: list[str] | None = None) -> Values:
        if self._reread is None:
            self._reread_config()
        assert self._reread is not None
        added, changed, removed = (
            [name for name in names if groups is None or name in groups] for names in self._reread
        )
        return {"changes": self._changes(added, changed, removed)}

    def _changes(self, added: list[str], changed: list[str], removed: list[str]) -> Iterator[dict[str, str]]:
        """Do it step by step, as supervisorctl does, and tell of each step when it is done."""
        for name in removed:
            results = self._rpc.call("supervisor.stopProcessGroup", name)
            yield {"group": name, "kind": "stopped"}
            if any(one["status"] == FAULTS["FAILED"] for one in results):
                yield {"group": name, "kind": "failed"}
                continue
            self._rpc.call("supervisor.removeProcessGroup", name)
            yield {"group": name, "kind": "removed"}
        for name in changed:
            self._rpc.call("supervisor.stopProcessGroup", name)
            yield {"group": name, "kind": "stopped"}
            self._rpc.call("supervisor.removeProcessGroup", name)
            self._rpc.call("supervisor.addProcessGroup", name)
            yield {"group": name, "kind": "updated"}
        for name in added:
            self._rpc.call("supervisor.addProcessGroup", name)
            yield {"group": name, "kind": "added"}

    def _add_group(self, name: str) -> Values:
        self._rpc.call("supervisor.addProcessGroup", name)
        return {}

    def _remove_group(self, name: str) -> Values:
        self._rpc.call("supervisor.removeProcessGroup", name)
        return {}

    def _shutdown(self) -> Values:
        self._rpc.call("supervisor.shutdown")
        return {}


class RemoteLog:
    """See `backend.Log`. What is there is read over XML-RPC, what comes over a connection of its own."""

    def __init__(self, rpc: Rpc, name: str | None, channel: str) -> None:
        self._rpc, self._name, self._channel = rpc, name, channel
        self._stream: Stream | None = None

    def text(self, offset: int) -> Iterator[bytes]:
        """See `backend.Log.text`."""
        if self._name is None:
            text = self._rpc.call("supervisor.readLog", offset, 0)
        else:
            text = self._rpc.call(f"supervisor.readProcess{self._channel.title()}Log", self._name, offset, 0)
        yield restored(str(text))

    def follow(self, last_bytes: int) -> None:
        """See `backend.Log.follow`; it is the server that decides how many bytes come first."""
        path = "/mainlogtail" if self._name is None else f"/logtail/{quote(self._name, safe=':')}/{self._channel}"
        stream = Stream(self._rpc.server, path)
        if stream.status != 200:
            stream.close()
            if stream.status == 404:
                raise Refusal("NO_FILE", path)
            raise HttpError(path, stream.status, stream.reason, {})
        self._stream = stream

    def news(self) -> bytes:
        """See `backend.Log.news`."""
        return self._stream.read() if self._stream is not None else b""

    def ended(self) -> bool:
        """See `backend.Log.ended`."""
        return self._stream is None or self._stream.ended

    def close(self) -> None:
        """End the connection."""
        if self._stream is not None:
            self._stream.close()


def _is_pattern(name: str) -> bool:
    return any(letter in name for letter in "*?[")


def _is_single(name: str) -> bool:
    """Whether a name can mean one process only."""
    return name != "all" and split(name)[1] is not None and not _is_pattern(name)


def _matches(info: Values, name: str) -> bool:
    group, process = split(name)
    if info["group"] == group and process in (None, info["name"]):
        return True
    full = f"{info['group']}:{info['name']}"
    return _is_pattern(name) and any(fnmatchcase(one, name) for one in (shown(info["group"], info["name"]), full))


def _process(info: Values) -> Values:
    """Supervisor's struct as the control interface's."""
    same = ("name", "group", "description", "pid", "exitstatus", "spawnerr", "start", "stop", "now", "stdout_logfile",
            "stderr_logfile")  # fmt: skip
    return {key: info.get(key) for key in same} | {
        "state": info["statename"], "statecode": info["state"], "goal": None, "run": None, "leftovers": None,
        "lost_bytes": None,
    }  # fmt: skip


def _config(info: Values) -> Values:
    return {
        "name": info["name"], "group": info["group"], "inuse": info["inuse"], "autostart": info["autostart"],
        "group_priority": info["group_prio"], "process_priority": info["process_prio"], "command": info.get("command"),
    }  # fmt: skip


def _results(results: list[Values]) -> Values:
    """Supervisor's list of results, with the names of its faults."""
    return {"results": [one | {"fault": _NAMES.get(one["status"], "FAILED")} for one in results]}
