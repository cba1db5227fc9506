"""A daemon for the tests of ctl: the control socket's wire for real, its commands on a list of made-up processes.

Every call and every reply is checked against the interface text, so a test cannot pass on something that the real
daemon would refuse.
"""

import fnmatch
import json
import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sdsuper.control.interface import DESCRIPTION, INTERFACE
from sdsuper.control.schema import parse
from sdsuper.errors import FAULTS, Refusal

STATES = {"STOPPED": 0, "STARTING": 10, "RUNNING": 20, "BACKOFF": 30, "STOPPING": 40, "EXITED": 100, "FATAL": 200}
SCHEMA = parse(DESCRIPTION)


def process(group: str, name: str, state: str = "RUNNING", **fields: Any) -> dict[str, Any]:
    """One made-up process."""
    running = state == "RUNNING"
    pid = fields.pop("pid", 4000 + len(group) if running else 0)
    shown = f"pid {pid}, uptime 0:00:05" if running else "Not started"
    return {
        "name": name, "group": group, "description": shown, "state": state, "statecode": STATES[state],
        "goal": "up" if running else "down", "pid": pid, "run": 1 if running else 0, "exitstatus": 0, "spawnerr": "",
        "start": 0, "stop": 0, "now": 0, "stdout_logfile": "", "stderr_logfile": "", "leftovers": 0, "lost_bytes": 0,
    } | fields  # fmt: skip


class FakeDaemon:
    """Listens on `path`, one thread a connection. `refuse[method]` is raised instead of an answer."""

    def __init__(self, path: Path, logs: Path) -> None:
        self.path, self.logs = path, logs
        self.processes: list[dict[str, Any]] = []
        self.start_faults: dict[str, str] = {}
        self.refuse: dict[str, Refusal] = {}
        self.reread: dict[str, list[str]] = {"added": [], "changed": [], "removed": []}
        self.changes: list[dict[str, str]] = []
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.stdin: list[str] = []
        self.notices: list[str] = []
        self._connections: list[socket.socket] = []
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(path))
        self._listener.listen()
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def close(self) -> None:
        if self._listener.fileno() < 0:
            return
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._threads[0].join(10)
        for connection in self._connections:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # the client was first
        for thread in self._threads[1:]:
            thread.join(10)

    def log(self, name: str, channel: str = "stdout") -> Path:
        return self.logs / f"{name.replace(':', '_')}.{channel}"

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._connections.append(connection)
            self._threads.append(threading.Thread(target=self._serve, args=(connection,), daemon=True))
            self._threads[-1].start()

    def _serve(self, connection: socket.socket) -> None:
        buffer = b""
        with connection:
            while True:
                try:
                    data = connection.recv(1 << 16)
                except OSError:
                    return
                if not data:
                    return
                buffer += data
                while b"\0" in buffer:
                    message, _, buffer = buffer.partition(b"\0")
                    self._answer(connection, json.loads(message))

    def _answer(self, connection: socket.socket, message: dict[str, Any]) -> None:
        method = message["method"].removeprefix(INTERFACE + ".")
        parameters = message["parameters"]
        assert SCHEMA.check(method, parameters) is None, message
        self.calls.append((method, parameters))
        fds: list[int] = []
        reply: dict[str, Any]
        try:
            if method in self.refuse:
                raise self.refuse[method]
            call: Callable[..., Any] = getattr(self, f"on_{method}")
            values = call(**parameters)
            if isinstance(values, int):
                fds, values = [values], {"path": os.readlink(f"/proc/self/fd/{values}")}
            assert SCHEMA.check_reply(method, values) is None, (method, values)
            reply = {"parameters": values}
        except Refusal as refusal:
            reply = {
                "error": f"{INTERFACE}.Refused",
                "parameters": {"fault": refusal.fault, "code": refusal.code, "detail": refusal.detail},
            }
        try:
            socket.send_fds(connection, [json.dumps(reply).encode() + b"\0"], fds)
        except BrokenPipeError:
            pass  # the client has not waited for its answer
        for fd in fds:
            os.close(fd)

    # --- the commands

    def find(self, name: str) -> list[dict[str, Any]]:
        def matches(one: dict[str, Any]) -> bool:
            group, _, wanted = name.partition(":")
            if name == "all" or (":" in name and one["group"] == group and wanted in ("", "*")):
                return True
            full = one["name"] if one["group"] == one["name"] else f"{one['group']}:{one['name']}"
            return full == name or fnmatch.fnmatchcase(full, name)

        found = [one for one in self.processes if matches(one)]
        if not found and name != "all":
            raise Refusal("BAD_NAME", name)
        return found

    def on_GetState(self) -> dict[str, Any]:
        return {
            "version": "9.8.7", "api_version": "3.0", "identifier": "supervisor", "pid": 321,
            "state": "RUNNING", "statecode": 1, "notices": self.notices,
        }  # fmt: skip

    def on_List(self, name: str | None = None) -> dict[str, Any]:
        return {"processes": self.find(name or "all")}

    def on_ListConfigs(self) -> dict[str, Any]:
        log = {"logfile": "AUTO", "maxbytes": 0, "backups": 0, "capture_maxbytes": 0, "events_enabled": False,
               "syslog": False, "journal": False}  # fmt: skip
        configs = [
            {"name": one["name"], "group": one["group"], "inuse": True, "autostart": one["state"] == "RUNNING",
             "autorestart": "unexpected", "group_priority": 999, "process_priority": 10, "command": "/bin/cat",
             "startsecs": 1, "startretries": 3, "exitcodes": [0], "stopsignal": 15, "stopwaitsecs": 10,
             "stopasgroup": False, "killasgroup": False, "redirect_stderr": False, "stdout": log, "stderr": log}
            for one in self.processes
        ]  # fmt: skip
        return {"configs": configs}

    def _many(self, name: str) -> bool:
        return name == "all" or name.endswith((":", "*")) or any(letter in name for letter in "*?[")

    def _result(self, one: dict[str, Any], fault: str = "SUCCESS") -> dict[str, Any]:
        return {
            "name": one["name"], "group": one["group"], "status": FAULTS[fault], "fault": fault,
            "description": "OK" if fault == "SUCCESS" else f"{fault}: {one['name']}",
        }  # fmt: skip

    def on_Start(self, name: str, wait: bool = True) -> dict[str, Any]:
        results = []
        for one in self.find(name):
            if one["state"] == "RUNNING":
                if not self._many(name):
                    results.append(self._result(one, "ALREADY_STARTED"))
                continue
            fault = self.start_faults.get(one["name"], "SUCCESS")
            if fault == "SUCCESS":
                one |= process(one["group"], one["name"], pid=77, run=one["run"] + 1)
            results.append(self._result(one, fault))
        return {"results": results}

    def on_Stop(self, name: str, wait: bool = True) -> dict[str, Any]:
        results = []
        for one in self.find(name):
            if one["state"] == "RUNNING":
                one |= {"state": "STOPPED", "statecode": 0, "pid": 0, "description": "Nov 21 09:00 AM"}
                results.append(self._result(one))
            elif not self._many(name):
                results.append(self._result(one, "NOT_RUNNING"))
        return {"results": results}

    def on_Signal(self, name: str, signal: str) -> dict[str, Any]:
        found = self.find(name)
        if signal.upper() not in ("HUP", "USR1", "CONT"):
            return {"results": [self._result(one, "BAD_SIGNAL") for one in found]}
        down = [one for one in found if one["state"] != "RUNNING"]
        if down and not self._many(name):
            return {"results": [self._result(one, "NOT_RUNNING") for one in down]}
        return {"results": [self._result(one) for one in found if one not in down]}

    def on_WriteStdin(self, name: str, data: str) -> dict[str, Any]:
        if self.find(name)[0]["state"] != "RUNNING":
            raise Refusal("NOT_RUNNING", name)
        self.stdin.append(data)
        with self.log(name).open("a") as file:
            file.write(f"<{data.rstrip()}>\n")
        return {}

    def on_OpenLog(self, name: str | None = None, channel: str = "stdout") -> int:
        if name is not None:
            self.find(name)
        try:
            return os.open(self.log(name, channel) if name else self.log("main"), os.O_RDONLY)
        except FileNotFoundError:
            raise Refusal("NO_FILE", name or "") from None

    def on_ClearLogs(self, name: str | None = None) -> dict[str, Any]:
        return {"results": [self._result(one) for one in self.find(name)] if name else []}  # the daemon's own log

    def on_Reread(self) -> dict[str, Any]:
        return dict(self.reread)

    def on_Update(self, groups: list[str] | None = None) -> dict[str, Any]:
        return {"changes": [change for change in self.changes if not groups or change["group"] in groups]}

    def on_AddGroup(self, name: str) -> dict[str, Any]:
        if any(one["group"] == name for one in self.processes):
            raise Refusal("ALREADY_ADDED", name)
        if name not in self.reread["added"]:
            raise Refusal("BAD_NAME", name)
        return {}

    def on_RemoveGroup(self, name: str) -> dict[str, Any]:
        if any(one["state"] == "RUNNING" for one in self.find(f"{name}:*")):
            raise Refusal("STILL_RUNNING", name)
        return {}

    def on_Shutdown(self) -> dict[str, Any]:
        return {}
