"""What the methods of the control socket do. Each refuses with Supervisor's faults and answers when it is done.

Promises: a command that cannot be carried out changes nothing; one that waits holds up nobody else. Must not: check
types or permissions (control.server has), or touch a record (only inputs do).
"""

import os
from collections.abc import Callable
from typing import Any, Protocol

from sdsuper import VERSION
from sdsuper.config.model import Model
from sdsuper.config.values import signal_number
from sdsuper.control import show
from sdsuper.control.server import Call
from sdsuper.core.slot import Key, Slot
from sdsuper.core.vocabulary import CHILD_STATES, UP_STATES, Goal, Start, State
from sdsuper.engine.listing import Listing
from sdsuper.engine.outputs import CHANNELS
from sdsuper.engine.supervise import Engine
from sdsuper.engine.update import Updates
from sdsuper.engine.waiting import Waiting, result, started, stopped
from sdsuper.errors import ConfigError, Refusal, SpawnError
from sdsuper.logs import opening
from sdsuper.logs.sinks import FileSink
from sdsuper.system.process import NotFound

API_VERSION = "3.0"       # of Supervisor's XML-RPC, which supervisorctl checks
ANSWERED_AT_THE_END = frozenset({"GetState", "SendEvent", "OpenFace", "OpenConnection"})
CHANGING = frozenset({"Update", "AddGroup", "RemoveGroup", "Scale"})     # the set of groups: one after the other


class Daemon(Protocol):
    """What commands need of the daemon as a whole (engine/daemon.py)."""

    model: Model
    identifier: str
    stopping: bool

    @property
    def notices(self) -> list[str]:
        """What the administrator should know of."""

    def shutdown(self) -> None:
        """Begin to end."""

    def reloaded(self, changes: list[dict[str, str]]) -> None:
        """A new configuration has been taken over."""

    def reload_refused(self, error: ConfigError) -> None:
        """A new configuration cannot be read."""

    def reopen_logs(self) -> None:
        """As on SIGUSR2."""


class Commands:
    """The table of methods. `handle` takes a checked call."""

    def __init__(self, daemon: Daemon, engine: Engine, updates: Updates, waiting: Waiting,
                 next_start: Callable[[Key], int]) -> None:
        self._daemon, self._engine, self._updates, self._waiting = daemon, engine, updates, waiting
        #: who hears of a client that wants a run to end: (process, call, number of the signal or 0)
        self.asked: Callable[[Slot, Call, int], object] = lambda _slot, _call, _number: None
        self._listing = Listing(engine.outputs, engine.trees, engine.resources, next_start)
        self._methods: dict[str, Callable[[Call], None]] = {
            "GetState": self._get_state, "List": self._list, "ListConfigs": self._list_configs, "Start": self._start,
            "Stop": self._stop, "Signal": self._signal, "WriteStdin": self._write_stdin, "OpenLog": self._open_log,
            "ClearLogs": self._clear_logs, "RotateLogs": self._rotate_logs, "ReopenLogs": self._reopen_logs,
            "OpenConf": self._open_conf, "Reread": self._reread, "Update": self._update, "AddGroup": self._add_group,
            "RemoveGroup": self._remove_group, "Shutdown": self._shutdown,
        }

    def add(self, name: str, method: Callable[[Call], None]) -> None:
        """A method that somebody else carries out."""
        self._methods[name] = method

    def note(self, note: Callable[[Slot], str]) -> None:
        """Who says what else is to be shown of a process in lists."""
        self._listing.note = note

    def handle(self, call: Call) -> None:
        """Carry out a call, or refuse it."""
        if call.method in CHANGING:
            self._updates.when_free(lambda: self._carry_out(call))
        else:
            self._carry_out(call)

    def _carry_out(self, call: Call) -> None:
        try:
            if self._daemon.stopping and call.method not in ANSWERED_AT_THE_END:
                raise Refusal("SHUTDOWN_STATE")
            self._methods[call.method](call)
        except Refusal as refusal:
            call.refuse(refusal)
        except ConfigError as error:
            call.refuse(Refusal("CANT_REREAD", error.refusing))
        except Exception:
            call.refuse(Refusal("FAILED", "unexpected error, the daemon's log has it"))
            raise
        finally:
            self._engine.log.flush()

    # ---- asking ---------------------------------------------------------------------------------------------------

    def _get_state(self, call: Call) -> None:
        name, code = ("SHUTDOWN", -1) if self._daemon.stopping else ("RUNNING", 1)
        call.reply({"version": VERSION, "api_version": API_VERSION, "pid": os.getpid(), "state": name,
                    "statecode": code, "identifier": self._daemon.identifier, "notices": self._daemon.notices})

    def _list(self, call: Call) -> None:
        call.reply_text(self._listing.text(self._engine.roster.listed(call.parameters.get("name"))))

    def _list_configs(self, call: Call) -> None:
        active = self._engine.roster.groups
        pairs = [(process, group) for group in self._daemon.model.groups for process in group.processes]
        pairs.sort(key=lambda pair: pair[0].name)
        journal = self._engine.outputs.has_journal
        call.reply({"configs": [show.config(process, group, group.name in active, journal)
                                for process, group in pairs]})

    # ---- programs -------------------------------------------------------------------------------------------------

    def _start(self, call: Call) -> None:
        slots, single = self._engine.roster.select(call.parameters["name"])
        if not single:
            slots = [slot for slot in slots if slot.process.state not in UP_STATES]
        faults = [self._cannot_start(slot) for slot in slots]
        able = [slot for slot, fault in zip(slots, faults, strict=True) if fault is None]
        inputs = [(slot, Start()) for slot in able]

        def done(outcomes: list[str]) -> None:
            left = iter(outcomes)
            call.reply({"results": [result(slot, *(fault or (next(left), slot.process.spawnerr)))
                                    for slot, fault in zip(slots, faults, strict=True)]})

        if call.parameters.get("wait") is False:
            before = [slot.process.run for slot in able]
            self._engine.submit_all(inputs)
            done(["SPAWN_ERROR" if slot.process.run != run and slot.process.spawnerr else "SUCCESS"
                  for slot, run in zip(able, before, strict=True)])
        else:
            self._waiting.gather(able, started, done)
            self._engine.submit_all(inputs)

    def _cannot_start(self, slot: Slot) -> tuple[str, str] | None:
        """Why a process will not be started: fault and detail."""
        state = slot.process.state
        try:
            self._engine.launching.check_command(slot)
        except NotFound as error:
            return "NO_FILE", str(error)
        except SpawnError as error:
            return "NOT_EXECUTABLE", str(error)
        if state is State.STOPPING or self._engine.roster.dependencies.held(slot.key):
            return "ABNORMAL_TERMINATION", slot.config.name
        if state in UP_STATES:
            return "ALREADY_STARTED", slot.config.name
        if state is State.UNKNOWN:
            return "FAILED", f"{slot.config.name} is in an unknown process state"
        return None

    def _stop(self, call: Call) -> None:
        slots, single = self._engine.roster.select(call.parameters["name"])
        up = [slot for slot in slots if slot.process.goal is Goal.UP]       # also who is on the way down, to come back
        if single and not up:
            call.reply({"results": [result(slots[0], "NOT_RUNNING", slots[0].config.name)]})
            return
        inputs = self._engine.roster.stops(up)
        for slot in up:
            self.asked(slot, call, 0)

        def done(outcomes: list[str]) -> None:
            call.reply({"results": [result(slot, fault) for slot, fault in zip(up, outcomes, strict=True)]})

        if call.parameters.get("wait") is False:
            self._engine.submit_all(inputs)
            done(["SUCCESS"] * len(up))
        else:
            self._waiting.gather(up, stopped, done)
            self._engine.submit_all(inputs)

    def _signal(self, call: Call) -> None:
        slots, single = self._engine.roster.select(call.parameters["name"])
        if not single:
            slots = [slot for slot in slots if slot.process.state in CHILD_STATES]
        try:
            number = signal_number(call.parameters["signal"])
        except ValueError:
            call.reply({"results": [result(slot, "BAD_SIGNAL", call.parameters["signal"]) for slot in slots]})
            return
        results = []
        for slot in slots:
            if slot.process.state not in CHILD_STATES:
                results.append(result(slot, "NOT_RUNNING", slot.config.name))
                continue
            try:
                self._engine.signal_process(slot, number)
                self.asked(slot, call, number)
                results.append(result(slot, "SUCCESS"))
            except ProcessLookupError:
                results.append(result(slot, "NOT_RUNNING", slot.config.name))
            except OSError as error:
                results.append(result(slot, "FAILED", f"{slot.config.name}: {error.strerror}"))
        call.reply({"results": results})

    def _one(self, name: str) -> Slot:
        slots, single = self._engine.roster.select(name)
        if not single:
            raise Refusal("BAD_NAME", name)
        return slots[0]

    def _write_stdin(self, call: Call) -> None:
        slot = self._one(call.parameters["name"])
        try:
            # a client that has bytes that are no UTF-8 sends them as Python's surrogateescape does
            data = call.parameters["data"].encode(errors="surrogateescape")
        except UnicodeEncodeError:
            raise Refusal("BAD_ARGUMENTS", "data: a lone surrogate is no character") from None
        if slot.process.state not in CHILD_STATES:
            raise Refusal("NOT_RUNNING", call.parameters["name"])
        try:
            self._engine.write_stdin(slot, data)
        except BlockingIOError:
            raise Refusal("FAILED", f"{call.parameters['name']} does not read its stdin") from None
        except OSError as error:
            raise Refusal("NO_FILE", f"{call.parameters['name']}: {error.strerror}") from None
        call.reply({})

    # ---- logs -----------------------------------------------------------------------------------------------------

    def _open_log(self, call: Call) -> None:
        name, channel = call.parameters.get("name"), call.parameters.get("channel") or "stdout"
        if channel not in ("stdout", "stderr"):
            raise Refusal("BAD_ARGUMENTS", f"channel: '{channel}' is neither stdout nor stderr")
        user = None
        if name is None:
            path = next((file.path for file in self._engine.log.files), "")
        else:
            slot = self._one(name)
            path, user = self._engine.outputs.path(slot.key, channel), slot.config.user
        if not path:
            raise Refusal("NO_FILE", name or "the daemon's log")
        memory = None if name is None else self._engine.outputs.memory(slot.key, channel)
        _hand_out(call, path, lambda: memory.open_copy() if memory is not None else opening.open_read(path, user))

    def _open_conf(self, call: Call) -> None:
        config = self._one(call.parameters["name"]).config
        path = config.conf_file
        if path is None:
            raise Refusal("NO_FILE", call.parameters["name"])
        _hand_out(call, path, lambda: opening.open_own(path, config.user))

    def _clear_logs(self, call: Call) -> None:
        name = call.parameters.get("name")
        if name is None:
            self._with_own(FileSink.clear)
            call.reply({"results": []})
            return
        slots = self._engine.roster.select(name).slots
        call.reply({"results": [self._clear(slot) for slot in slots]})

    def _with_own(self, act: Callable[[FileSink], object]) -> None:
        """Do it with each file of the daemon's own log; the first that cannot is told, when all have been tried."""
        if not self._engine.log.files:
            raise Refusal("NO_FILE")
        refused = None
        for own in self._engine.log.files:
            try:
                act(own)
            except OSError as error:
                refused = refused or Refusal("FAILED", f"{own.path}: {error.strerror}")
        if refused is not None:
            raise refused

    def _clear(self, slot: Slot) -> dict[str, Any]:
        try:
            for channel in ("stdout", "stderr"):
                file = self._engine.outputs.file(slot.key, channel)
                if file is not None:
                    file.clear()
                memory = self._engine.outputs.memory(slot.key, channel)
                if memory is not None:
                    memory.clear()
        except OSError as error:
            return result(slot, "FAILED", f"{slot.config.name}: {error.strerror}")
        return result(slot, "SUCCESS")

    def _rotate_logs(self, call: Call) -> None:
        name = call.parameters.get("name")
        if name is None:
            self._with_own(FileSink.rotate)
            call.reply({"results": []})
            return
        done: dict[str, str] = {}           # path -> what went wrong: of a file that many share there is one rotation
        slots = self._engine.roster.select(name).slots
        call.reply({"results": [self._rotate(slot, done) for slot in slots]})

    def _rotate(self, slot: Slot, done: dict[str, str]) -> dict[str, Any]:
        files = [file for channel in CHANNELS for file in self._engine.outputs.sinks(slot.key, channel)
                 if isinstance(file, FileSink)]
        for file in files:
            if file.path not in done:
                try:
                    file.rotate()
                    done[file.path] = ""
                except OSError as error:
                    done[file.path] = f"{file.path}: {error.strerror}"
        if not files:
            return result(slot, "NO_FILE", slot.config.name)
        wrong = next(filter(None, (done[file.path] for file in files)), "")
        return result(slot, "FAILED", wrong) if wrong else result(slot, "SUCCESS")

    def _reopen_logs(self, call: Call) -> None:
        self._daemon.reopen_logs()
        call.reply({})

    # ---- configuration --------------------------------------------------------------------------------------------

    def _reread(self, call: Call) -> None:
        plan = self._updates.reread()
        call.reply({"added": [group.name for group in plan.added], "removed": list(plan.removed),
                    "changed": [change.new.name for change in plan.changed]})

    def _update(self, call: Call) -> None:
        def done(changes: list[dict[str, str]]) -> None:
            self._daemon.reloaded(changes)
            call.reply({"changes": changes})

        try:
            self._updates.update(call.parameters.get("groups"), done)
        except ConfigError as error:
            self._daemon.reload_refused(error)
            raise

    def _add_group(self, call: Call) -> None:
        self._updates.add(call.parameters["name"])
        call.reply({})

    def _remove_group(self, call: Call) -> None:
        self._updates.remove(call.parameters["name"])
        call.reply({})

    def _shutdown(self, call: Call) -> None:
        call.reply({})
        self._engine.log.write("info", "a client asks the daemon to end")
        self._daemon.shutdown()


def _hand_out(call: Call, path: str, opened: Callable[[], int]) -> None:
    """Answer with a descriptor of a file. Raises Refusal."""
    try:
        fd = opened()
    except FileNotFoundError:
        raise Refusal("NO_FILE", path) from None
    except OSError as error:
        raise Refusal("FAILED", f"{path}: {error.strerror}") from None
    try:
        call.reply({"path": path}, fd)
    finally:
        os.close(fd)
