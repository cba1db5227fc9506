"""Programs that are restarted when files change.

Promises: a program that is not up is never started by a change, and one that is starting is left to it; a burst of
changes is one restart; what a run has begun with is no reason to restart it. Must not: find out what has changed
(system/watched.py does), or start and stop by another way than clients do.
"""

import os
from collections.abc import Sequence
from time import time_ns

from sdsuper.config.model import Watch
from sdsuper.config.values import split_command
from sdsuper.config.watch import script
from sdsuper.core.slot import Key, Slot, display_name
from sdsuper.core.vocabulary import Goal, Phase, Publish, Start, State, Stop, signal_name
from sdsuper.engine.errands import Errand, ErrandResult, Errands
from sdsuper.engine.outputs import CHANNELS
from sdsuper.engine.reasons import Reason
from sdsuper.engine.supervise import Engine
from sdsuper.engine.trees import Run
from sdsuper.errors import SpawnError
from sdsuper.system.watch import Watches
from sdsuper.system.watched import POLL_SECONDS, Files, Source, file_clock
from sdsuper.system.watched_tree import Tree

COMMAND_SECONDS = 300.0     # for a command that is run instead of a restart
READS_MOST = 100            # of the events before a child: as many as the kernel keeps (fs.inotify.max_queued_events)


class Watching:
    """All watched programs of one daemon. `inotify` False: files are looked at every few seconds instead."""

    def __init__(self, engine: Engine, errands: Errands, logs: Sequence[str] = (), inotify: bool = True) -> None:
        """`logs` are files of the daemon's own, which are never a reason."""
        self.engine, self.errands, self._own_logs = engine, errands, tuple(logs)
        self.watches = Watches(engine.loop, self._say, inotify)
        self.watches.on_overflow = self._overflow
        self._watched: dict[Key, Watched] = {}
        self._due, self._since = False, 0
        self._born: dict[Key, int] = {}             # children that are younger than an update that is to be followed
        self._trees: dict[tuple[str, tuple[str, ...], tuple[str, ...]], Tree] = {}
        engine.listeners.append(self._heard)
        engine.group_listeners.append(self._group_changed)
        engine.making.givers.append(self._give)
        engine.on_close.append(self.close)

    def tree(self, path: str, patterns: tuple[str, ...], excludes: tuple[str, ...], since: int) -> Tree:
        """One tree for all who want to know the same of it. If it is new, what is younger than `since` has changed."""
        key = (path, patterns, excludes)
        if key not in self._trees:
            self._trees[key] = Tree(self.engine.loop, self.watches, path, patterns, excludes, self._logs,
                                    min(since, self._since))
        return self._trees[key]

    def drop(self, source: Source) -> None:
        """Somebody has no interest in it any more."""
        if not source.subscribers:
            source.close()
            self._trees = {key: tree for key, tree in self._trees.items() if tree is not source}

    def _say(self, text: str) -> None:
        self.engine.log.write("warn", f"{text}: files are looked at every {POLL_SECONDS:g} seconds instead")
        self.engine.log.flush()

    def _logs(self) -> list[str]:
        """The files that change because programs run."""
        outputs = self.engine.outputs
        paths = [outputs.path(slot.key, channel) for slot in self.engine.roster for channel in CHANNELS]
        return [path for path in (*self._own_logs, *paths) if path.startswith("/")]

    def take_all(self) -> None:
        """Tell of all that the kernel knows to have happened by now."""
        for _ in range(READS_MOST):
            if not self.watches.take():
                break

    def _overflow(self) -> None:
        for watched in self._watched.values():
            for reason in watched.reasons:
                reason.source.lost()

    def _group_changed(self, _name: str, _what: str) -> None:
        if not self._due:                   # it is told before it is so
            self._due, self._since = True, file_clock()
            self.engine.loop.soon(0, self._adjust)

    def _adjust(self) -> None:
        """Watch for those processes that want it, and as they want it now."""
        self._due = False
        self.take_all()                     # what has changed before is known by those who are there yet
        wanted = {slot.key: slot for slot in self.engine.roster if slot.config.watch != Watch()}
        for key, watched in tuple(self._watched.items()):
            slot = wanted.get(key)
            if slot is None or slot is not watched.slot or watched.settings != _settings(slot):
                del self._watched[key]
                if slot is watched.slot:
                    self._watched[key] = Watched(self, slot, self._born.get(key, self._since), watched)
                watched.close()             # now, for what both want to know is watched on
        for key, slot in wanted.items():
            if key not in self._watched:
                self._watched[key] = Watched(self, slot, self._born.get(key, self._since))
        self._born.clear()

    def _give(self, run: Run, _environment: dict[str, str], _given: dict[str, int]) -> None:
        watched = self._watched.get(run.slot.key)
        if watched is not None:
            watched.begin()
        elif self._due:
            self._born[run.slot.key] = time_ns()

    def _heard(self, slot: Slot, change: Publish) -> None:
        watched = self._watched.get(slot.key)
        if watched is not None:
            watched.heard(change.state)

    def close(self) -> None:
        """Watch nothing any more."""
        for watched in self._watched.values():
            watched.close()
        self._watched.clear()
        self.watches.close()


class Watched:
    """One process and why it may be restarted, of all that changes after `since`. `before` is what it was until its
    options changed.
    """

    def __init__(self, watching: Watching, slot: Slot, since: int, before: "Watched | None" = None) -> None:
        self.watching, self.slot, self.settings = watching, slot, _settings(slot)
        self._known: tuple[str, ...] = ()           # the files of the command as they were last found
        # it is STARTING, and has no child yet
        self._childless = slot.process.state is State.STARTING and slot.process.phase is not Phase.CHILD
        self._errand: Errand | None = None
        if before is not None and before._errand is not None and before._errand.done is not None:
            self._errand, before._errand.done = before._errand, self._done      # of one that has ended it hears yet
        self.reasons: list[Reason] = []
        older = before.reasons if before is not None else []
        since = min([since, *(reason.since for reason in older if reason.unsettled)])
        wanted, loop, watches = slot.config.watch, watching.engine.loop, watching.watches
        if wanted.binary:
            files = next((reason.source for reason in older if isinstance(reason.source, Files)), None)
            if files is None:
                files = Files(loop, watches, self._files, since)
            files.find = self._files
            self._add(files, wanted.binary_command, wanted.binary_signals, since, older)
        for directory in wanted.directories:
            tree = watching.tree(os.path.join(_directory(slot), directory), wanted.patterns, wanted.excludes, since)
            self._add(tree, wanted.file_command, wanted.file_signals, since, older)

    def _add(self, source: Source, command: str, signals: tuple[int, ...], since: int, older: "list[Reason]") -> None:
        reason = Reason(self, source, command, signals)
        self.reasons.append(reason)
        before = next((other for other in older if other.source is source), None)
        if before is None:
            reason.begin(since)
        else:
            reason.go_on(before)

    def close(self) -> None:
        """Nothing is a reason any more."""
        if self._errand is not None and self.watching.engine.roster.get(self.slot.key) is not self.slot:
            self._errand.cancel()           # the process has been removed
        for reason in self.reasons:
            reason.forget()
            reason.source.subscribers.remove(reason)
            self.watching.drop(reason.source)

    def _files(self) -> tuple[str, ...] | None:
        """What is executed, and what is interpreted; None: not to be known now."""
        launching, home = self.watching.engine.launching, _directory(self.slot)
        try:
            own = launching.own_environment(self.slot)
            path, argv = launching.command(self.slot, own)
            found = [os.path.join(home, path)]
            named = script(argv)
            if named is not None:
                first, text, module = named
                if first:
                    found.append(os.path.join(home, launching.find(argv[first], own)))
                found += self._interpreted(home, text, module, own.get("PYTHONPATH", ""))
        except SpawnError:
            return None
        self._known = tuple(dict.fromkeys(found))
        return self._known

    def _interpreted(self, home: str, text: str, module: str, search: str) -> list[str]:
        """The script, if there is one; of a module what is executed."""
        if text:
            path = os.path.join(home, text)
            return [path] if os.path.isfile(path) or path in self._known else []
        if module:
            below = module.replace(".", "/")
            for place in (home, *search.split(":")):
                for end in ("/__main__.py", ".py", "/__init__.py"):
                    path = os.path.join(home, place, below + end)
                    if os.path.isfile(path) or path in self._known:
                        return [path]
        return []

    # ---- what is done ---------------------------------------------------------------------------------------------

    def heard(self, state: State) -> None:
        """The process has another state."""
        if state is State.STARTING:
            self._childless = True
            return
        if self._childless:
            self.begin()                            # without a child: it was its hook that was there
        self.watching.engine.loop.soon(0, self._again)

    def begin(self) -> None:
        """What has changed until now is what a new child begins with."""
        self._childless = False
        self.watching.take_all()
        for reason in self.reasons:
            reason.begin(time_ns())

    @property
    def hooked(self) -> bool:
        """Whether it is a hook of the run before that may be the one who changes files now."""
        return (self.slot.process.state is State.BACKOFF and self._errand is None
                and self.watching.errands.busy(self.slot.key))

    def _again(self) -> None:
        for reason in self.reasons:
            if reason.waits:
                self.act(reason)

    def act(self, reason: "Reason") -> None:
        """Something has changed, and it has been quiet for long enough."""
        engine, process = self.watching.engine, self.slot.process
        restart = not reason.command and not reason.signals
        if process.goal is Goal.DOWN or self.slot.resting or not engine.starting:
            reason.forget()
        elif process.state is State.RUNNING or (restart and process.state is State.BACKOFF):
            if self._errand is not None:
                reason.waits = True
                return
            why, path = reason.text, next(iter(reason.changed))
            reason.forget()
            name = display_name(*self.slot.key)
            if restart:
                engine.log.write("info", f"restarting {name}: {why}")
                if process.state is State.BACKOFF:      # it is to be tried at once
                    engine.submit_all([(self.slot, Stop()), (self.slot, Start())])
                else:
                    engine.submit(self.slot, Stop(again=True))
            elif reason.command:
                engine.log.write("info", f"{name}: running {_first_word(reason.command)}: {why}")
                self._errand = self.watching.errands.run(self.slot, reason.command, COMMAND_SECONDS, self._done,
                                                         {"SUPERVISOR_CHANGED_FILE": path})
            else:
                engine.log.write("info", f"{name}: sending {signal_name(reason.signals[0])}: {why}")
                self._signal(reason.signals, process.run)
            engine.log.flush()
        else:
            reason.waits = True

    def _done(self, result: ErrandResult) -> None:
        self._errand = None
        if not result.ok:
            text = f"{display_name(*self.slot.key)}: what was run for changed files has failed: {result.reason}"
            self.watching.engine.log.write("error", text)
            self.watching.engine.log.flush()
        self._again()

    def _signal(self, numbers: tuple[int, ...], run: int) -> None:
        """Send the first one, and the others later if it still runs."""
        process = self.slot.process
        if process.run != run or process.state is not State.RUNNING:
            return
        engine = self.watching.engine
        try:
            engine.signal_process(self.slot, numbers[0])
        except OSError as error:
            engine.log.write("error", f"{display_name(*self.slot.key)}: {error.strerror}")
        if numbers[1:]:
            engine.loop.soon(self.slot.config.stopwaitsecs, lambda: self._signal(numbers[1:], run))


def _settings(slot: Slot) -> tuple[object, ...]:
    """What another way of watching follows from."""
    config = slot.config
    return config.watch, config.command, config.directory, config.environment


def _directory(slot: Slot) -> str:
    """Where a program's relative paths begin."""
    return os.path.join(os.getcwd(), slot.config.directory or "")


def _first_word(command: str) -> str:
    """All of a command that is fit for a log."""
    try:
        return (split_command(command) or [""])[0]
    except ValueError:
        return command.split()[0]
