"""The engine's heart: takes inputs, asks the roster, carries out effects.

Promises: effects are carried out in order and their answers are taken before anything else; output is drained before
an exit is told; a child is only signalled while it is not reaped; long work is done in slices, so that clients are
answered meanwhile. Must not: decide. What a state means is in core/, how a syscall is made in system/.
"""

import errno
import os
import signal
from collections import deque
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Any

from sdsuper.core.roster import Roster
from sdsuper.core.slot import Key, Slot
from sdsuper.core.vocabulary import (
    RESTING_STATES,
    Emptied,
    EndHook,
    Exit,
    Exited,
    Input,
    Kill,
    LaunchFailed,
    Moved,
    Publish,
    PublishHealth,
    RunHook,
    Say,
    Signal,
    SignalFailed,
    Spawn,
    Spawned,
    SpawnFailed,
    Stall,
    Start,
    Stop,
    signal_name,
)
from sdsuper.engine import entries
from sdsuper.engine.launching import Launching, Surroundings, lacks
from sdsuper.engine.making import Making
from sdsuper.engine.outputs import Outputs
from sdsuper.engine.resources import Resources
from sdsuper.engine.stdin import Stdins
from sdsuper.engine.trees import Run, Trees
from sdsuper.errors import SpawnError
from sdsuper.logs.main import MainLog
from sdsuper.logs.pipes import Pump
from sdsuper.logs.sinks import ConsoleSink
from sdsuper.system import process as system
from sdsuper.system.loop import Loop, Timer

SLICE = 0.02        # seconds of work before the loop is looked at again
CROWD = 32          # inputs that make it worth to hold SIGCHLD back meanwhile

#: who hears of changes: (slot, publication)
Listener = Callable[[Slot, Publish], object]
#: who hears of groups: (name, GROUP_ADDED, GROUP_CHANGED, GROUP_RENEWED or GROUP_REMOVED)
GroupListener = Callable[[str, str], object]
GROUP_ADDED, GROUP_REMOVED = "added", "removed"
GROUP_CHANGED = "changed"       # other options are in force
GROUP_RENEWED = "renewed"       # its processes are others now, as if it had been removed and added


class Engine:
    """One daemon's supervision. `listeners` hear of every change of state, in order."""

    def __init__(self, loop: Loop, log: MainLog, launcher: system.Launcher, trees: Trees, outputs: Outputs,
                 resources: Resources, surroundings: Surroundings) -> None:
        self.loop, self.log, self.outputs, self.trees, self.resources = loop, log, outputs, trees, resources
        self.launching = Launching(surroundings)
        self.roster = Roster()
        self.listeners: list[Listener] = []
        self.group_listeners: list[GroupListener] = []
        #: who hears that nobody knows how long a start will take
        self.stall_listeners: list[Callable[[Slot], object]] = []
        self.health_listeners: list[Callable[[Slot, PublishHealth], object]] = []
        #: who carries out the effects about hooks
        self.hooks: Callable[[Slot, RunHook | EndHook], None] = lambda _slot, _effect: None
        #: whether another process leads a run on whose leader has ended, well or not
        self.successor: Callable[[Run, bool], bool] = lambda _run, _well: False
        #: whether a process may be started by its autostart or by the clock
        self.may_begin: Callable[[Key], bool] = lambda _key: True
        self._launcher, self._pump, self._stdins = launcher, Pump(loop), Stdins(loop)
        self.making = Making(launcher, self.launching, trees, outputs, resources, self._pump, log)
        self._queue: deque[tuple[Slot, Input]] = deque()
        self._working, self.starting = False, True
        self._news: Input = Start()     # what is being worked at
        self._timer: Timer | None = None
        self._by_pid: dict[int, Run] = {}
        self._by_tag: dict[int, Run] = {}
        self._current: dict[Key, Run] = {}
        self._own: dict[int, tuple[system.Launch, Callable[[Exit], object], Callable[[str, int], object]]] = {}
        self.on_close: list[Callable[[], object]] = []          # what is to be given back first, the last of it first
        #: each takes its own effect alone, which the type checker cannot see
        self._perform: dict[type, Callable[[Slot, Any], object]] = {
            Publish: self._publish, Say: self._say, Spawn: self._spawn, Signal: self._signal, Kill: self._kill,
            **dict.fromkeys((RunHook, EndHook), lambda slot, effect: self.hooks(slot, effect)),
            Stall: lambda slot, _effect: self._tell(self.stall_listeners, slot),
            PublishHealth: lambda slot, effect: self._tell(self.health_listeners, slot, effect),
        }
        trees.on_empty = self._emptied
        loop.watch(launcher.report_fd, 1, lambda _events: self._take_reports())
        loop.on_signal(signal.SIGCHLD, self.reap)

    # ---- inputs ---------------------------------------------------------------------------------------------------

    def submit(self, slot: Slot, input: Input) -> None:
        """An input for a process; taken at once, or after what is being worked at."""
        self.submit_all([(slot, input)])

    def submit_all(self, inputs: Sequence[tuple[Slot, Input]]) -> None:
        """Many inputs, in order."""
        self._add(inputs)
        if not self._working:
            self._work()

    def submit_soon(self, slot: Slot, input: Input) -> None:
        """An input from where nothing else may be done now; taken before what is submitted later."""
        self._add([(slot, input)])
        self.loop.soon(0, lambda: self.submit_all(()))

    def _add(self, inputs: Sequence[tuple[Slot, Input]]) -> None:
        if not self.starting:
            inputs = [(slot, input._replace(again=False) if isinstance(input, Stop) else input)
                      for slot, input in inputs if not isinstance(input, Start)]
        self._queue.extend(inputs)

    def accept_no_starts(self) -> None:
        """The daemon ends: who is not up by now stays down."""
        self.starting = False
        self._queue = deque(pair for pair in self._queue if not isinstance(pair[1], Start))

    def when_idle(self, call: Callable[[], object]) -> None:
        """Call once everything submitted so far has been carried out."""
        if self._queue:
            self.loop.soon(0, lambda: self.when_idle(call))
        else:
            call()

    def attend(self, console: ConsoleSink) -> None:
        """Send what waits for a console as soon as its reader takes it."""
        self._pump.attend(console)

    def launch(self, launch: system.Launch, ended: Callable[[Exit], object],
               failed: Callable[[str, int], object] | None = None) -> int:
        """Start a child that is no run; its pid. `ended` hears of its end, `failed` of why (text, errno) it was none.
        Raises OSError.
        """
        launch = launch._replace(tag=self.making.tag(), steps=launch.steps or self.launching.sandboxes.usual)
        pid = self._launcher.spawn(launch)
        self._own[pid] = launch, ended, failed or (lambda why, _error: self.log.write("error", why))
        return pid

    def close(self) -> None:
        """Give descriptors back; children that are left go on."""
        for close in reversed(self.on_close):
            close()
        self.loop.unwatch(self._launcher.report_fd)
        self._launcher.close()
        self.resources.close()
        self.launching.sandboxes.close()
        self.trees.close()

    def _work(self) -> None:
        self._add(self.roster.following())
        self._working, until = True, monotonic() + SLICE
        crowd = len(self._queue) > CROWD
        if crowd:
            # a thousand deaths are one piece of news, if they are told when this is done
            signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGCHLD,))
        try:
            while self._queue:
                slot, input = self._queue.popleft()
                if type(input) is Start and self.roster.get(slot.key) is not slot:
                    continue            # removed while it waited for its turn
                now, self._news = monotonic(), input
                for effect in self.roster.feed(slot, input, now):
                    try:
                        self._perform[type(effect)](slot, effect)
                    except Exception as error:      # a mistake of ours: what else is to be done is done all the same
                        self.loop.on_error(error)
                if self.roster.dependencies:
                    self._add(self.roster.following())
                if now > until:
                    break
        finally:
            self._working = False
            if crowd:
                signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGCHLD,))
            self.log.flush()
            if self._queue:
                self.loop.soon(0, lambda: self.submit_all(()))
            else:
                self._arm()

    def _arm(self) -> None:
        """One timer, for the earliest deadline."""
        deadline = self.roster.next_deadline()
        if self._timer is not None:
            if self._timer.call is not None and self._timer.when == deadline:
                return
            self._timer.cancel()
        self._timer = None if deadline is None else self.loop.at(deadline, self._elapsed)

    def _elapsed(self) -> None:
        self._timer = None
        self.submit_all(self.roster.due(monotonic()))

    # ---- effects --------------------------------------------------------------------------------------------------

    def _publish(self, slot: Slot, change: Publish) -> None:
        if slot.process.state in RESTING_STATES:
            self.outputs.rest(slot.key)
        if self.log.entries:
            self.log.write_change(*entries.of_change(slot, change, self._news))
        self._tell(self.listeners, slot, change)

    def tell_of_group(self, name: str, what: str) -> None:
        """Something has happened to a group: one of GROUP_ADDED and so on."""
        self._tell(self.group_listeners, name, what)

    def _tell(self, hearers: Sequence[Callable[..., object]], *news: object) -> None:
        for hear in hearers:
            try:
                hear(*news)
            except Exception as error:
                self.loop.on_error(error)

    def _say(self, slot: Slot, say: Say) -> None:
        self.log.write(say.level, say.text, entries.of_process(slot) if self.log.entries else {})

    def _spawn(self, slot: Slot, effect: Spawn) -> None:
        answer: Input
        try:
            run = self.making.make(slot, effect.run)
        except SpawnError as error:
            answer = SpawnFailed(effect.run, str(error), error.lack)
        except Exception as error:                  # never STARTING without an answer
            self.loop.on_error(error)
            answer = SpawnFailed(effect.run, f"unexpected error to spawn '{slot.config.name}': {error}")
        else:
            for stream in run.streams:
                for sink in stream.sinks:
                    sink.begin(run.pid)
            self._current[slot.key] = self._by_pid[run.pid] = self._by_tag[run.tag] = run
            answer = Spawned(effect.run, run.pid)
        self._queue.appendleft((slot, answer))

    def _signal(self, slot: Slot, effect: Signal) -> None:
        run = self._current.get(slot.key)
        if run is None or run.number != effect.run:
            return
        if self.log.takes("debug"):
            whom = f"{slot.config.name} (pid {run.pid}) {'process group ' if effect.group else ''}"
            self.log.write("debug", f"killing {whom}with signal {signal_name(effect.number)}")
        self._send(run, effect.number, effect.group)

    def _send(self, run: Run, number: int, group: bool) -> None:
        run.killed = run.killed or number == signal.SIGKILL
        if not run.pid:                         # nobody leads it for the moment; readiness.py sees when all are gone
            return self.trees.signal(run, number)
        try:
            self.resources.thaw(run)
            (os.killpg if group else os.kill)(run.pid, number)
            if run.next and self.trees.holds(run, run.next):
                os.kill(run.next, number)       # it leads already, in its own eyes
        except ProcessLookupError:
            return                              # it has ended; the news is on its way
        except OSError as error:
            reason = f"{run.slot.config.name} ({run.pid}): {error.strerror}"
            self._queue.appendleft((run.slot, SignalFailed(run.number, reason)))

    def kill(self, slot: Slot) -> None:
        """End the present run for certain, the whole of it where killasgroup says so; what follows is its policy."""
        run = self._current.get(slot.key)
        if run is not None:
            self._kill(slot, Kill(run.number, slot.config.killasgroup))

    def _kill(self, slot: Slot, effect: Kill) -> None:
        run = self._current.get(slot.key)
        if effect.tree:
            if run is not None:
                run.killed = run.killed or run.number == effect.run
            self.trees.kill(slot.key, effect.run)
        elif run is not None and run.number == effect.run:
            self._send(run, signal.SIGKILL, False)

    # ---- what happened --------------------------------------------------------------------------------------------

    def signal_process(self, slot: Slot, number: int) -> None:
        """A signal that a client wants sent, to the leader alone. Raises OSError."""
        run = self._current.get(slot.key)
        if run is None or not run.pid:
            raise ProcessLookupError(errno.ESRCH, "no child")
        self.log.write("debug", f"sending {slot.config.name} (pid {run.pid}) sig {signal_name(number)}")
        os.kill(run.pid, number)
        run.killed = run.killed or number == signal.SIGKILL

    def reap(self) -> None:
        """Take all children that have ended, ours and orphans."""
        ended = []
        while batch := system.reap():
            ended += batch
        self._take_reports()                    # a launch that failed was reported before its child ended
        inputs: list[tuple[Slot, Input]] = []
        orphans = False
        for pid, status in ended:
            run = self._by_pid.pop(pid, None)
            exit = Exit.from_wait(status)
            if pid in self._own:
                try:
                    self._own.pop(pid)[1](exit)
                except Exception as error:
                    self.loop.on_error(error)
            elif run is None:
                orphans = True
                self.log.write("info", f"reaped unknown pid {pid} ({exit})")
            elif pid == run.pid:                    # else it has been the leader once
                run.exit = exit
                if not self.successor(run, not status):
                    inputs.append((run.slot, self._over(run, exit)))
        if orphans:
            self.trees.look()
        self.submit_all(inputs)

    def _over(self, run: Run, exit: Exit) -> Exited:
        """The last leader of a run has ended."""
        populated = False
        try:
            oom = self.resources.end(run, exit.signal == signal.SIGKILL and not run.killed)
            run.exit = exit = exit._replace(oom=oom)
            populated = self._bury(run)
        except Exception as error:          # the end itself must be told in any case
            self.loop.on_error(error)
        return Exited(run.number, exit, populated)

    def move(self, run: Run, pid: int) -> None:
        """Another process, a child of ours by now, leads a run."""
        run.pid, run.next = pid, 0
        self._by_pid[pid] = run
        self.submit(run.slot, Moved(run.number, pid))

    def give_up_on(self, run: Run) -> None:
        """A run without a leader gets no other one: what is left of it is ended."""
        if run.pid or self.run(run.slot) is not run:
            return
        self.trees.kill(run.slot.key, run.number)
        self.submit(run.slot, self._over(run, run.exit or Exit(-1, signal.SIGKILL)))

    def _bury(self, run: Run) -> bool:
        """Forget a child, with its last output; whether others of its tree are left."""
        del self._by_tag[run.tag]
        if self._current.get(run.slot.key) is run:
            del self._current[run.slot.key]
        self._stdins.end(run)
        for end in self.making.ends:
            end(run)
        for stream in tuple(run.streams):
            self._pump.drain(stream)
        populated = self.trees.bury(run)
        if not populated:
            self.launching.sandboxes.end(run)
        return populated

    def _take_reports(self) -> None:
        for report in self._launcher.reports():
            run = self._by_tag.get(report.tag)
            if run is not None:
                # made again only to be described: keeping every launch would cost each program a kilobyte
                try:
                    path, argv = self.launching.command(run.slot, self.launching.own_environment(run.slot))
                except SpawnError:                  # it has been removed since
                    path, argv = run.slot.config.command, []
                reason = system.describe(report, self.launching.launch(run, path, argv, b"", {}))
                if report.stage != system.LEFT_OUT:
                    self.submit(run.slot, LaunchFailed(run.number, reason, lacks(run.slot.config, report.error)))
                elif self.launching.sandboxes.is_news(run.slot.config.program, reason):
                    self.log.write("warn", f"{run.slot.config.program} runs without a part of its sandbox: {reason}")
            elif report.pid in self._own and report.stage != system.LEFT_OUT:
                own, _ended, failed = self._own[report.pid]
                failed(f"cannot start {own.path}: {system.describe(report, own)}", report.error)

    def run(self, slot: Slot) -> Run | None:
        """The present run of a process, if it has one."""
        return self._current.get(slot.key)

    def _emptied(self, run: Run) -> None:
        self.launching.sandboxes.end(run)
        self.submit(run.slot, Emptied(run.number))

    def write_stdin(self, slot: Slot, data: bytes) -> None:
        """Give a program input; what does not fit now follows as it reads. Raises OSError."""
        run = self._current.get(slot.key)
        if run is None:
            raise ProcessLookupError(errno.ESRCH, "no child")
        self._stdins.write(run, data)
