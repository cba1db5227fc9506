"""How a run says that it is ready, and who its main process is: sd_notify, a descriptor, a line of its output, a
pidfile.

Promises: a notification counts if the kernel says that the program's own processes have sent it; a main process is one
of the run's own; what a run was given here is gone with it. Must not: decide what RUNNING means (core does).
"""

import os
import re
import socket
from collections.abc import Callable
from time import monotonic

from sdsuper.config.lifecycle import ReadyKind
from sdsuper.core.slot import Slot
from sdsuper.core.vocabulary import Input, Ready, State
from sdsuper.engine.supervise import Engine
from sdsuper.engine.trees import Run
from sdsuper.logs import opening
from sdsuper.logs.pipes import Tap
from sdsuper.system import notify
from sdsuper.system import process as system
from sdsuper.system.loop import EPOLLIN

MOST_A_SECOND = 100         # notifications of one program that are looked at for anything but VITAL
VITAL = ("READY", "WATCHDOG")
MESSAGES_A_TURN = 32
STATUS_CHARACTERS = 200
LINE_BYTES = 65536          # of a line that is looked at for readiness
LOOK_PAUSE = 0.05           # seconds until a pidfile is looked at again that is not there yet
PIDFILE_BYTES = 64
FORK_SECONDS = 90.0         # without ready_timeout
HANDOVER_SECONDS = 5.0      # for a successor to say who it is, when the main process has ended in order


class Watch:
    """What one run was given."""

    __slots__ = ("count", "doubted", "fd", "second", "socket", "status")

    def __init__(self) -> None:
        self.socket: socket.socket | None = None
        self.fd, self.status = -1, ""
        self.second, self.count, self.doubted = 0, 0, False


class Readiness:
    """The readiness of all runs of one daemon. Sockets are made in `directory`."""

    def __init__(self, engine: Engine, directory: str) -> None:
        self._engine, self._directory = engine, directory
        self._watches: dict[Run, Watch] = {}
        self._reaper = False
        #: who hears of notifications that are not about readiness: (run, fields)
        self.heard: list[Callable[[Run, dict[str, str]], object]] = []
        engine.making.givers.append(self._give)
        engine.making.taps.append(self._tap)
        engine.making.ends.append(self._end)
        engine.successor = self._successor

    def status(self, slot: Slot) -> str:
        """The newest STATUS= of a process, for people to read."""
        run = self._engine.run(slot)
        watch = self._watches.get(run) if run is not None else None
        return watch.status if watch is not None else ""

    def close(self) -> None:
        """Remove the directory of sockets, when it is empty."""
        try:
            os.rmdir(self._directory)
        except OSError:
            pass

    # ---- giving ---------------------------------------------------------------------------------------------------

    def _give(self, run: Run, environment: dict[str, str], given: dict[str, int]) -> None:
        """A socket or a pipe for a new run. Raises OSError."""
        kind, pidfile = run.slot.config.readiness.kind, run.slot.config.readiness.pidfile
        heard = kind is ReadyKind.NOTIFY or bool(run.slot.config.health.watchdog)
        if heard or pidfile is not None:
            self._adopt_orphans()
        if heard:
            notify.make_directory(self._directory)
            path = os.path.join(self._directory, os.urandom(6).hex())       # that nobody else can guess or list
            watch = self._watches[run] = Watch()
            watch.socket = notify.open_socket(path)
            self._engine.loop.watch(watch.socket.fileno(), EPOLLIN, lambda _events: self._read_socket(run, watch))
            environment["NOTIFY_SOCKET"] = path
        if kind is ReadyKind.FD:
            watch = self._watches.setdefault(run, Watch())
            watch.fd, given["ready"] = os.pipe2(os.O_CLOEXEC)
            os.set_blocking(watch.fd, False)
            self._engine.loop.watch(watch.fd, EPOLLIN, lambda _events: self._read_fd(run, watch))

    def _adopt_orphans(self) -> None:
        """Only who gets a process that has lost its parent hears how it ends."""
        if not self._reaper:
            self._reaper = True
            system.become_subreaper()

    def _tap(self, run: Run, _channel: str) -> Tap | None:
        ready = run.slot.config.readiness
        if ready.kind is not ReadyKind.LOG:
            return None
        return LineTap(re.compile(ready.detail.encode()), lambda: self._engine.submit_soon(
            run.slot, Ready(run.number, f"log:{ready.detail}")))

    def _end(self, run: Run) -> None:
        watch = self._watches.get(run)
        if watch is None:
            return
        if watch.socket is not None:
            self._read_socket(run, watch)       # its last words
            self._engine.loop.unwatch(watch.socket.fileno())
            path = watch.socket.getsockname()
            watch.socket.close()
            try:
                os.unlink(path)
            except FileNotFoundError:
                pass
        if watch.fd >= 0:
            self._read_fd(run, watch)
            self._close_fd(watch)
        del self._watches[run]

    def _close_fd(self, watch: Watch) -> None:
        if watch.fd >= 0:
            self._engine.loop.unwatch(watch.fd)
            os.close(watch.fd)
            watch.fd = -1

    # ---- what runs say --------------------------------------------------------------------------------------------

    def _say(self, run: Run, input: Input) -> None:
        self._engine.submit(run.slot, input)

    def _read_fd(self, run: Run, watch: Watch) -> None:
        try:
            data = os.read(watch.fd, 4096)
        except BlockingIOError:
            return
        if b"\n" in data:
            self._close_fd(watch)
            self._say(run, Ready(run.number, f"fd:{run.slot.config.readiness.detail}"))
        elif not data:
            self._close_fd(watch)       # it has closed it without a word: it will not be ready any more by this

    def _read_socket(self, run: Run, watch: Watch) -> None:
        for _ in range(MESSAGES_A_TURN):
            message = notify.receive(watch.socket) if watch.socket is not None and run in self._watches else None
            if message is None:
                break
            if not self._believed(run, message):
                self._doubt(run, watch, message)
            elif self._has_room(run, watch):
                self._take(run, watch, message.fields)
            else:
                self._take(run, watch, {name: message.fields[name] for name in VITAL if name in message.fields})
        self._engine.log.flush()

    def _doubt(self, run: Run, watch: Watch, message: notify.Message) -> None:
        """Say of a run once that somebody else speaks for it; he must not be able to fill the log."""
        if message.fields and not watch.doubted:
            watch.doubted = True
            self._engine.log.write("warn", f"{run.slot.config.name}: a notification of pid {message.pid} is not "
                                           "believed (see notify_access)")

    def _has_room(self, run: Run, watch: Watch) -> bool:
        """Whether another notification is looked at in this second."""
        second = int(monotonic())
        watch.count = watch.count + 1 if second == watch.second else 1
        watch.second = second
        if watch.count == MOST_A_SECOND + 1:
            self._engine.log.write("warn", f"{run.slot.config.name} notifies more than {MOST_A_SECOND} times a second: "
                                           "what is too much is left out")
        return watch.count <= MOST_A_SECOND

    def _believed(self, run: Run, message: notify.Message) -> bool:
        if 0 < message.pid == run.pid:
            return True
        if not run.slot.config.readiness.everybody:
            return False
        inside = self._engine.trees.holds(run, message.pid)
        if inside is not None:
            return inside
        # it has ended already, as systemd-notify of a script does: the socket is the program's, and so is its user
        user = run.slot.config.user
        return message.uid == (os.geteuid() if user is None else user.uid)

    def _take(self, run: Run, watch: Watch, fields: dict[str, str]) -> None:
        if "STATUS" in fields:
            watch.status = "".join(c if c.isprintable() else "?" for c in fields["STATUS"])[:STATUS_CHARACTERS]
        if fields.get("MAINPID", "").isascii() and fields.get("MAINPID", "").isdigit():
            self._move(run, int(fields["MAINPID"][:10]))
        if fields.get("READY") == "1" and run.slot.config.readiness.kind is ReadyKind.NOTIFY:
            self._say(run, Ready(run.number, "notify"))
        for hear in self.heard:
            hear(run, fields)

    # ---- the main process -----------------------------------------------------------------------------------------

    def _move(self, run: Run, pid: int) -> None:
        """Another process of the run wants to be its main one."""
        if pid == run.pid:
            return
        if self._engine.trees.holds(run, pid) is not True:
            self._engine.log.write("warn", f"{run.slot.config.name}: pid {pid} is none of its processes")
            return
        if system.is_child(pid):
            self._engine.move(run, pid)
        else:
            run.next = pid              # as long as its parent lives, that is who hears of its end
            self._engine.log.write("info", f"{run.slot.config.name}: pid {pid} takes the place of pid {run.pid} when "
                                           "that ends")

    def _successor(self, run: Run, well: bool) -> bool:
        """The main process of a run has ended: whether another one takes its place, now or soon."""
        pidfile, state = run.slot.config.readiness.pidfile, run.slot.process.state
        if run.next and self._engine.trees.holds(run, run.next) and system.is_child(run.next):
            self._engine.move(run, run.next)
            return True
        if pidfile is None or state not in (State.STARTING, State.RUNNING) or (state is State.STARTING and not well):
            return False
        pid = self._named(pidfile, run)
        if pid:
            self._engine.move(run, pid)
            if state is State.STARTING:
                self._say(run, Ready(run.number, f"pidfile, pid {pid}"))
            return True
        if well and self._engine.trees.alive(run):
            starting = state is State.STARTING
            seconds = run.slot.config.readiness.timeout or FORK_SECONDS if starting else HANDOVER_SECONDS
            run.pid = 0
            self._look_again(run, pidfile, monotonic() + seconds)
            return True
        return False

    def _look_again(self, run: Run, pidfile: str, until: float) -> None:
        """Its main process has gone, and who is behind it is not said yet."""
        def look() -> None:
            if self._engine.run(run.slot) is not run or run.pid:
                return
            stopping = run.slot.process.state is State.STOPPING
            pid = 0 if stopping else self._named(pidfile, run)
            if pid:
                self._engine.move(run, pid)
                self._say(run, Ready(run.number, f"pidfile, pid {pid}"))
            elif not self._engine.trees.alive(run):
                self._engine.give_up_on(run)
            elif monotonic() >= until and not stopping:
                self._engine.log.write("warn", f"{run.slot.config.name}: {pidfile} names no process of it that has "
                                               "lost its parent")
                self._engine.give_up_on(run)
            else:
                self._look_again(run, pidfile, until)
        self._engine.loop.soon(LOOK_PAUSE, look)

    def _named(self, pidfile: str, run: Run) -> int:
        """Whom a pidfile names, if that is one of the run's own, and a child of ours by now; else 0. Of any other
        process nobody would tell us the end, and its pid could be somebody else's one day.
        """
        try:
            fd = opening.open_own(pidfile, run.slot.config.user)
        except OSError:
            return 0
        try:
            text = os.read(fd, PIDFILE_BYTES).strip()
        finally:
            os.close(fd)
        if not text.isdigit() or len(text) > 10:
            return 0
        pid = int(text)
        return pid if self._engine.trees.holds(run, pid) and system.is_child(pid) else 0


class LineTap:
    """Looks at the lines of a stream until one has the pattern in it; lets everything through."""

    prompt = True

    def __init__(self, pattern: re.Pattern[bytes], found: Callable[[], object]) -> None:
        self._pattern, self._found = pattern, found
        self._rest: bytes | None = b""

    def feed(self, data: memoryview) -> memoryview:
        """Look at what came; returns it unchanged."""
        if self._rest is None:
            return data
        *lines, rest = (self._rest + bytes(data)).split(b"\n")
        if len(rest) > LINE_BYTES:
            lines, rest = [*lines, rest], b""
        self._rest = rest
        if any(self._pattern.search(line) for line in lines):
            self._rest, self.prompt = None, False
            self._found()
        return data

    def end(self) -> bytes:
        """Nothing was held back."""
        return b""
