"""The life of the daemon: from a Model to the last child's end.

Promises: nothing that can go wrong at start goes wrong after it has gone to the background; a pidfile is locked, so
that there is one daemon for each; a bad configuration on SIGHUP is logged and changes nothing; on TERM everything is
stopped in order. Must not: supervise (supervise.py) or answer clients (commands.py).
"""

import gc
import os
import signal
from collections.abc import Callable
from functools import partial
from select import PIPE_BUF, POLLOUT, poll
from socket import socket
from time import monotonic

from sdsuper.config.model import Model, Problem, Severity
from sdsuper.control.server import Server, listen
from sdsuper.core.policy import resigned, stop_seconds
from sdsuper.core.roster import StopOrder
from sdsuper.core.slot import Slot
from sdsuper.core.vocabulary import Publish, State, Stop
from sdsuper.engine import entries
from sdsuper.engine.announce import Announcements
from sdsuper.engine.asking import attend
from sdsuper.engine.becoming import become_user, to_background
from sdsuper.engine.carriers import Carriers
from sdsuper.engine.cat import CatCommand
from sdsuper.engine.commands import Commands
from sdsuper.engine.ends import Ends
from sdsuper.engine.errands import Errands
from sdsuper.engine.essential import Essential
from sdsuper.engine.face import Face, Listener, bind
from sdsuper.engine.fastcgi import FastCgi
from sdsuper.engine.health import Checks
from sdsuper.engine.hooks import Hooks
from sdsuper.engine.kept import Kept
from sdsuper.engine.launching import Surroundings
from sdsuper.engine.listeners import Listeners
from sdsuper.engine.outputs import Outputs
from sdsuper.engine.ownlog import OwnLog
from sdsuper.engine.pidfile import Pidfile
from sdsuper.engine.probes import Probes
from sdsuper.engine.readiness import Readiness
from sdsuper.engine.reloading import ReloadCommand
from sdsuper.engine.resources import Resources
from sdsuper.engine.schedules import Schedules
from sdsuper.engine.service import Service
from sdsuper.engine.supervise import Engine
from sdsuper.engine.trees import Trees
from sdsuper.engine.update import Updates
from sdsuper.engine.waiting import Waiting
from sdsuper.engine.watchdog import Watchdog
from sdsuper.engine.watching import Watching
from sdsuper.errors import ConfigError, StartError
from sdsuper.logs.journal import Journal
from sdsuper.logs.main import MainLog
from sdsuper.logs.sinks import ConsoleSink
from sdsuper.system import process as system
from sdsuper.system.cgroup import CgroupTree
from sdsuper.system.limits import raise_limits
from sdsuper.system.loop import Loop
from sdsuper.system.sockets import Passed

#: Meant for the daemon alone; a program that got them would speak to systemd in the daemon's name.
PRIVATE = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "FDSTORE",
           "INVOCATION_ID", "CREDENTIALS_DIRECTORY", "JOURNAL_STREAM", "MANAGERPID", "SYSTEMD_EXEC_PID",
           "STATE_DIRECTORY")
WAITING_REPORT = 3.0               # seconds between two lines that say whom the shutdown waits for


class Daemon:
    """One daemon. `read` parses the configuration again; `foreground` is what the command line and the file say."""

    def __init__(self, model: Model, read: Callable[[], Model], environment: dict[str, str], foreground: bool,
                 kept: Kept) -> None:
        self.model, self.stopping, self._kept = model, False, kept
        self.identifier = model.supervisord.identifier
        self._read, self._foreground = read, foreground
        self._environment = {key: value for key, value in environment.items() if key not in PRIVATE}
        self._systemd = {key: environment[key] for key in PRIVATE if key in environment}
        self._consoles: dict[int, ConsoleSink] = {}
        self._journal, self._carriers = Journal(), Carriers(model.supervisord)
        self._order: StopOrder | None = None
        self._server: Server | None = None
        self._face: Face | None = None
        self._wrong_at_start = [str(problem) for problem in model.warnings if problem.severity is Severity.ERROR]
        self._reload_waits = False
        self.log = MainLog(model.supervisord.loglevel)

    def run(self) -> int:
        """Start, supervise, end; returns the exit status. Raises StartError, before anything is in the background."""
        settings = self.model.supervisord
        self._passed = Passed(self._systemd, os.getpid(), system.FIRST_FD)
        system.reserve_low_fds()
        raised = raise_limits(settings.minfds, settings.minprocs)
        cgroups = CgroupTree.find(settings.cgroup, settings.identifier, settings.pidfile, settings.user)
        try:
            listener, listeners = self._prepare()
        except StartError:
            if cgroups is not None:
                cgroups.discard()
            raise
        if not self._foreground:
            self.log.write("info", "daemonizing the supervisord process")
            self.log.flush()
            to_background()
            for sink in self._consoles.values():
                sink.renew()            # it was the terminal's, now it is /dev/null
        self._loop = Loop()
        self._loop.on_error = self._unexpected
        try:
            self._make_engine(raised, cgroups)
            self._build(listener, listeners)
            self._live()
        finally:
            if self._face is not None:
                self._face.close()
            if self._server is not None:
                self._server.close()
                self._engine.close()
                self._readiness.close()
            self._pidfile.remove()
            self.log.flush()
            self._carriers.close(self._journal, self._consoles.values())
            self._loop.close()
        return self._essential.status

    # ---- beginning ------------------------------------------------------------------------------------------------

    def _prepare(self) -> tuple[socket, list[Listener]]:
        """Become what the settings say, and take what only one daemon can have: the control socket, those of HTTP."""
        settings = self.model.supervisord
        for path in ("/dev/stdout", "/dev/stderr"):
            self._console(path)         # what root was given as stdout another user may not be able to open again
        become_user(settings, self.log)
        if settings.directory is not None:
            try:
                os.chdir(settings.directory)
            except OSError as error:
                raise StartError(f"can't chdir into {settings.directory!r}: {error.strerror}") from None
        os.umask(settings.umask)
        own = OwnLog(settings, self._journal, self._console, self._systemd.get("JOURNAL_STREAM"), _complain,
                     self._carriers.relay)
        own.open(self.log, self._foreground)
        self._pidfile = Pidfile(settings.pidfile)
        try:
            try:
                self._launcher = system.Launcher()
            except OSError as error:
                raise StartError(f"cannot use {error.filename or 'sdsuper-exec'}: {error.strerror}") from None
            listeners = bind(self.model.servers, self._passed)
            try:
                return listen(settings.control_socket, settings.control_group, self._passed), listeners
            except StartError:
                for each in listeners:
                    each.close()
                raise
        except StartError:
            self._pidfile.remove()
            raise

    def _console(self, path: str) -> ConsoleSink:
        """The one sink of the daemon's stdout or stderr."""
        fd = 2 if path.endswith(("stderr", "/2")) else 1
        if fd not in self._consoles:
            self._consoles[fd] = ConsoleSink(fd, _complain)
        return self._consoles[fd]

    def _make_engine(self, limits: tuple[tuple[int, int, int], ...], cgroups: CgroupTree | None) -> None:
        """What supervises, without anybody who could ask it for anything."""
        settings = self.model.supervisord
        if cgroups is None:
            system.become_subreaper()
        elif earlier := sum(cgroups.count(path) for path in cgroups.leftovers()):
            self.log.write("warn", f"{earlier} processes of an earlier daemon still run, unsupervised, in the cgroups "
                                   f"of {cgroups.directory}")
        self._journal.attend(self._loop)
        copy = self._report if self.log.takes("debug") else None
        outputs = Outputs(settings.childlogdir, settings.identifier, self._console, self._journal, self._report, copy,
                          self._carriers.relay)
        if not settings.nocleanup:
            outputs.clean()
        url = self.model.servers[0].url if self.model.servers else None
        trees = Trees(self._loop, cgroups, f"{os.getpid()}-{int(monotonic() * 1000)}")
        resources = Resources(self._loop, cgroups, self.log)
        self._engine = Engine(self._loop, self.log, self._launcher, trees, outputs, resources,
                              Surroundings({**self._environment, "SUPERVISOR_ENABLED": "1"}, url, limits,
                                           settings.strip_ansi))
        self._carriers.attend(self._engine)
        for console in self._consoles.values():
            self._engine.attend(console)

    def _build(self, listener: socket, listeners: list[Listener]) -> None:
        """What programs are given, who hears of them, and who may ask."""
        settings = self.model.supervisord
        FastCgi(self._engine)
        errands = Errands(self._engine)
        probes = Probes(self._engine, errands, settings.api_user)
        self._hooks = Hooks(self._engine, probes)
        self._readiness = Readiness(self._engine, f"{settings.control_socket}.notify")
        Watchdog(self._engine, Checks(self._engine, probes, settings.checks_at_once), self._readiness)
        self._service = Service(self._loop, self.log, self._engine.roster, self._systemd, os.getpid())
        waiting = Waiting()
        self._listeners = Listeners(self._engine, self.identifier)
        self._announcements = Announcements(self._engine, self._listeners)
        self._engine.stall_listeners.append(waiting.stalled)
        self._engine.listeners += [self._announcements.state_heard, waiting.heard, self._service.heard, self._heard]
        Watching(self._engine, errands, (settings.pidfile, *(own.path for own in self.log.files)))
        self._updates = Updates(self, self._engine, waiting)
        ends = Ends(self._engine)
        self._essential = Essential(self._engine, ends, self.shutdown)
        commands = Commands(self, self._engine, self._updates, waiting,
                            Schedules(self._engine, self._kept).next)
        self._server = Server(self._loop, settings.control_socket, listener, settings.control_group, commands.handle,
                              settings.control_socket in self._passed.paths)
        self._face = Face(self._engine, self._server, listeners, settings)
        commands.add("Cat", CatCommand(self._engine, lambda: self.model).cat)
        commands.add("ReloadProcess", ReloadCommand(self._engine, errands).reload)
        attend(commands, self, self._engine, self._updates, self._kept, self._readiness, self._announcements,
               ends)
        commands.add("OpenFace", self._face.open_face)
        commands.add("OpenConnection", self._face.open_connection)

    # ---- living ---------------------------------------------------------------------------------------------------

    def _live(self) -> None:
        on = self._loop.on_signal
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
            on(number, partial(self._asked_to_end, signal.Signals(number).name))
        on(signal.SIGHUP, self._asked_to_reload)
        on(signal.SIGUSR2, self._asked_to_reopen)
        for number in (signal.SIGUSR1, signal.SIGALRM, signal.SIGVTALRM, signal.SIGPROF, signal.SIGPIPE):
            signal.signal(number, signal.SIG_IGN)      # nobody means to end a service manager with one of these
        self._pidfile.write()
        if self._pidfile.trouble:
            self.log.write("critical", self._pidfile.trouble)
        self.log.write("info", f"supervisord started with pid {os.getpid()}")
        for problem in self.model.warnings:
            self._say_problem(problem)
        if self._face is not None and self._face.trouble:
            self.log.write("error", self._face.trouble)
        for place in self._passed.close():
            self.log.write("warn", f"a socket at {place} was handed over, and no section has it")
        self._updates.begin(self._announcements.running)
        self.log.flush()
        gc.freeze()                                    # what is there now stays: no collection need look at it again
        self._engine.when_idle(self._service.ready)
        self._loop.run()

    def read_config(self) -> Model:
        """Parse the files again, new warnings to the log. Raises ConfigError."""
        model = self._read()
        for problem in model.warnings:
            if problem not in self.model.warnings:
                # an error that refuses nothing is one of servers, and these are what they were at the start
                later = "from the next start of the daemon on: " if problem.severity is Severity.ERROR else ""
                self._say_problem(problem, later)
        return model

    def _say_problem(self, problem: Problem, before: str = "") -> None:
        self.log.write("error" if problem.severity is Severity.ERROR else "warn", f"{before}{problem}")

    @property
    def notices(self) -> list[str]:
        """What the administrator should know of, as long as it is so."""
        return self._wrong_at_start + ([self._face.trouble] if self._face is not None and self._face.trouble else [])

    def _asked_to_reload(self) -> None:
        if not self._reload_waits:      # a storm of signals while one waits is one more reload, not a hundred
            self._reload_waits = True
            self._updates.when_free(self._reload)
        self.log.flush()

    def _reload(self) -> None:
        self._reload_waits = False
        if self.stopping:
            self.log.write("warn", "ignored SIGHUP indicating restart request (shutdown in progress)")
        else:
            self.log.write("info", "received SIGHUP: reading the configuration again")
            try:
                self._updates.update(None, self.reloaded)
            except ConfigError as error:
                self.reload_refused(error)
        self.log.flush()

    def reloading(self, under_way: bool) -> None:
        """A new configuration is about to be taken over, or is not after all."""
        if under_way:
            self._service.reloading(stop_seconds(self._engine.roster.groups.values()))
        else:
            self._service.reloaded()

    def reload_refused(self, error: ConfigError) -> None:
        """Say why a new configuration was not taken over."""
        self._service.reloaded(error.refusing)
        for problem in error.problems:
            self._say_problem(problem)
        self.log.write("error", "the configuration was not taken over, everything goes on as it was",
                       entries.RELOAD_REFUSED)

    def reloaded(self, changes: list[dict[str, str]]) -> None:
        """Say what a new configuration has changed."""
        self._service.reloaded()
        done = ", ".join(f"{change['group']} {change['kind']}" for change in changes if change["kind"] != "stopped")
        self.log.write("info", f"configuration taken over: {done or 'nothing has changed'}",
                       entries.RELOADED)

    def _asked_to_reopen(self) -> None:
        self.log.write("info", "received SIGUSR2 indicating log reopen request")
        self.reopen_logs()

    def reopen_logs(self) -> None:
        """Close and open every log file by name."""
        self.log.reopen()
        self._engine.outputs.reopen()
        self.log.write("info", "supervisord logreopen")
        self.log.flush()

    # ---- ending ---------------------------------------------------------------------------------------------------

    def _asked_to_end(self, name: str) -> None:
        self.log.write("warn", f"received {name} indicating exit request")
        self.shutdown()
        self.log.flush()

    def shutdown(self) -> None:
        """Stop everything in order, then end. A second call changes nothing."""
        if self.stopping:
            return
        self.stopping = True
        self._announcements.stopping()
        self._engine.accept_no_starts()
        self._order = StopOrder(self._engine.roster, self._engine.roster)
        first, later = self._order.next(), self._order.later()
        for slot in (*first, *later):
            slot.config = resigned(slot.config)
        self._stop([slot for slot in later if not slot.process.pid or slot.process.state is State.STOPPING])
        self._stop(first)
        self._report_waiting()

    def _stop(self, slots: list[Slot]) -> None:
        self._listeners.stop(slots, self._stop_now)

    def _stop_now(self, slots: list[Slot]) -> None:
        self._engine.submit_all([(slot, Stop(shutdown=True)) for slot in slots])

    def _heard(self, slot: Slot, _change: Publish) -> None:
        # not the state that was published: EXITED is only passed through where a restart follows at once
        if self._order is not None and slot.resting:
            self._stop(self._order.done(slot))
            if self._order.finished:
                # in the next turn, for what this change leads to may be a hook
                self._loop.soon(0, lambda: self._hooks.when_idle(self._loop.stop))

    def _report_waiting(self) -> None:
        if self._order is None or self._order.finished:
            self._service.stopping([], 0)
            self._hooks.when_idle(self._loop.stop)
            return
        names = [slot.config.name for slot in self._order.waiting]
        self._service.stopping(names, stop_seconds(self._engine.roster.groups.values()))
        self.log.write("info", f"waiting for {', '.join(names)} to die")
        self.log.flush()
        self._loop.soon(WAITING_REPORT, self._report_waiting)

    # ---- the rest -------------------------------------------------------------------------------------------------

    def _report(self, level: str, text: str) -> None:
        """A line that leaves at once: nothing else may happen for long."""
        self.log.write(level, text)
        self.log.flush()

    def _unexpected(self, error: Exception) -> None:
        """A mistake of ours in a callback: said in full, and survived. What was under way there is left undone.

        Nothing is opened or imported for it: the error may be that no descriptor is left.
        """
        try:
            places, trace = [], error.__traceback__
            while trace is not None:
                code = trace.tb_frame.f_code
                places.append(f"  {code.co_filename}:{trace.tb_lineno} in {code.co_qualname}")
                trace = trace.tb_next
            self.log.write("critical", "\n".join(["unexpected error:", *places, f"{type(error).__name__}: {error}"]))
            self.log.flush()
        except Exception as another:
            _complain(f"unexpected error: {error!r}, and then {another!r}")


def _complain(text: str) -> None:
    """What the log itself cannot take goes to stderr, for there is nowhere else; unless that is full, too."""
    waiting = poll()
    waiting.register(2, POLLOUT)
    try:
        if waiting.poll(0):
            os.write(2, f"{text}\n".encode(errors="backslashreplace")[:PIPE_BUF])
    except OSError:
        pass
