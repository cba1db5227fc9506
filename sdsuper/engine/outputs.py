"""Which sinks each process writes to, and the names of its log files.

Promises: a file that several streams name is opened once, so that rotation never works against itself; AUTO files
have unguessable names and are the daemon's alone. Must not: read pipes (logs.pipes), decide when a run begins or
ends.
"""

import os
from collections.abc import Callable, Iterator
from functools import partial

from sdsuper.config.model import Form, LogConfig, LogTarget, ProcessConfig, TargetKind
from sdsuper.core.slot import Key
from sdsuper.logs import opening
from sdsuper.logs.forms import FormedSink
from sdsuper.logs.journal import Journal, JournalSink, available, encoded
from sdsuper.logs.memory import MemorySink
from sdsuper.logs.remote import Relay, RemoteSink
from sdsuper.logs.rotate import OLDEST, SUFFIXES, UNFINISHED
from sdsuper.logs.sinks import ConsoleSink, FileSink, Say, Sink
from sdsuper.logs.syslog import SyslogSink

CHANNELS = ("stdout", "stderr")
MEMORY = "memory"           # the `path` of a log that is kept there
_JOURNAL = LogTarget(TargetKind.JOURNAL)


class _Copy(Sink):
    """Output as a line of the daemon's log, after a `head`."""

    __slots__ = ("_copy", "_head")

    def __init__(self, head: str, copy: Callable[[str, str], None]) -> None:
        super().__init__(partial(copy, "error"))
        self._head, self._copy = head, copy

    def write(self, data: memoryview) -> None:
        """Add a line."""
        self._copy("debug", self._head + bytes(data).decode(errors="backslashreplace"))


class Outputs:
    """All sinks of all processes. `childlogdir` and `identifier` are [supervisord]'s, `console` opens a console's
    sink, `journal` and `relay` are the daemon's ways to journald and to syslog servers. `say` has to bring its line
    (level, text) to the log at once: nothing else may happen for long. `copy`, where given, is a `say` that gets all
    captured output, too, as Supervisor's log does at level debug.
    """

    def __init__(self, childlogdir: str, identifier: str, console: Callable[[str], ConsoleSink], journal: Journal,
                 say: Callable[[str, str], None], copy: Callable[[str, str], None] | None = None,
                 relay: Relay | None = None) -> None:
        self._childlogdir, self._identifier, self._console, self._say = childlogdir, identifier, console, say
        self._journal, self._journal_missed = journal, False
        self._copy, self._relay = copy, relay or Relay()
        #: who is told of a log that was rotated and is to be compressed
        self.on_rotated: Callable[[FileSink], object] = lambda _sink: None
        self._forms: dict[tuple[Key, str], tuple[Form, dict[str, object]]] = {}
        self._sinks: dict[tuple[Key, str], tuple[Sink, ...]] = {}
        self._paths: dict[tuple[Key, str], str] = {}
        self._files: dict[str, FileSink] = {}
        self._uses: dict[str, int] = {}                       # path -> number of streams that write to it

    def add(self, key: Key, config: ProcessConfig) -> None:
        """Make ready what a process needs; AUTO files are made now, as in Supervisor."""
        for channel, stream in (("stdout", config.stdout), ("stderr", config.stderr)):
            if not stream.targets or (channel == "stderr" and config.redirect_stderr):
                continue
            self._sinks[key, channel] = tuple(self._make(key, channel, config, stream))
            if stream.form != Form():
                self._forms[key, channel] = stream.form, {"group": key[0], "process": config.name, "stream": channel}

    def _make(self, key: Key, channel: str, config: ProcessConfig, stream: LogConfig) -> Iterator[Sink]:
        def say(text: str) -> None:
            self._say("error", f"{config.name} {channel}: {text}")

        if self._copy is not None:
            yield _Copy(f"'{config.name}' {channel} output:\n", self._copy)
        for target in stream.targets:
            if target.kind in (TargetKind.FILE, TargetKind.AUTO):
                path = target.path or self._auto(config.name, channel)
                self._paths.setdefault((key, channel), path)
                if path not in self._files:
                    user, mode = (config.user, 0o644) if target.path else (None, 0o600)
                    sink = self._files[path] = FileSink(path, stream.maxbytes, stream.backups, user, say, mode)
                    sink.keep(stream.maxbytes, stream.backups, stream.every, stream.compress)
                    sink.on_rotated = self._rotated
                self._uses[path] = self._uses.get(path, 0) + 1
                yield self._files[path]
            elif target.kind is TargetKind.CONSOLE:
                yield self._console(target.path)
            elif target.kind is TargetKind.JOURNAL or (target.kind is TargetKind.SYSLOG and self.has_journal):
                if not (target.kind is TargetKind.SYSLOG and _JOURNAL in stream.targets):     # a line arrives once
                    yield self._journal_sink(key, channel, config, say)
            elif target.kind is TargetKind.SYSLOG:
                told = config.syslog
                yield SyslogSink(told.tag or config.name, told.facility << 3 | _severity(config, channel), say)
            elif target.kind is TargetKind.MEMORY:
                self._paths.setdefault((key, channel), MEMORY)
                yield MemorySink(say)
            elif target.kind is TargetKind.REMOTE:
                yield RemoteSink(self._relay, target.path, config.syslog.facility, _severity(config, channel),
                                 config.syslog.tag or config.name, channel, {
                                     "identifier": self._identifier, "group": key[0], "process": config.name,
                                     "program": config.program, "stream": channel}, say)

    def _rotated(self, sink: FileSink) -> None:
        self.on_rotated(sink)

    @property
    def has_journal(self) -> bool:
        """Whether there is one: the target syslog is that, then."""
        return available(self._journal.path)

    def _journal_sink(self, key: Key, channel: str, config: ProcessConfig, say: Say) -> JournalSink:
        if not self._journal_missed and not self.has_journal:
            self._journal_missed = True
            self._say("warn", f"{config.name} {channel}: there is no journal ({self._journal.path}): the first lines "
                              "wait for one, the others are lost; the target syslog takes /dev/log then")
        return JournalSink(self._journal, _severity(config, channel), encoded((
            ("SYSLOG_IDENTIFIER", config.syslog.tag or config.name),
            ("SYSLOG_FACILITY", str(config.syslog.facility)),
            ("SDSUPER_IDENTIFIER", self._identifier), ("SDSUPER_PROGRAM", config.program), ("SDSUPER_GROUP", key[0]),
            ("SDSUPER_PROCESS", config.name), ("SDSUPER_STREAM", channel))), say)

    def _auto(self, name: str, channel: str) -> str:
        alphabet = "abcdefghijklmnopqrstuvwxyz012345"
        while True:
            unique = "".join(alphabet[byte & 31] for byte in os.urandom(8))
            path = os.path.join(self._childlogdir, f"{name}-{channel}---{self._identifier}-{unique}.log")
            try:
                os.close(opening.create(path))
            except FileExistsError:
                continue
            except OSError as error:
                self._say("error", f"{name} {channel}: cannot make {path}: {error.strerror}")
            return path

    def remove(self, key: Key) -> None:
        """The process is no more, or gets new sinks; its files stay."""
        for channel in CHANNELS:
            self._paths.pop((key, channel), None)
            self._forms.pop((key, channel), None)
            for sink in self._sinks.pop((key, channel), ()):
                if isinstance(sink, FileSink):
                    self._uses[sink.path] -= 1
                    if self._uses[sink.path]:
                        continue
                    del self._files[sink.path], self._uses[sink.path]
                if not isinstance(sink, ConsoleSink):
                    sink.retire()

    def adjust(self, key: Key, config: ProcessConfig) -> None:
        """Take over rotation limits that changed while the files stayed the same."""
        for channel, stream in (("stdout", config.stdout), ("stderr", config.stderr)):
            for sink in self.sinks(key, channel):
                if isinstance(sink, FileSink):
                    sink.keep(stream.maxbytes, stream.backups, stream.every, stream.compress)

    # ---- use ------------------------------------------------------------------------------------------------------

    def sinks(self, key: Key, channel: str) -> tuple[Sink, ...]:
        """Where a stream goes; empty: nowhere."""
        return self._sinks.get((key, channel), ())

    def of_run(self, key: Key, channel: str, number: int) -> tuple[Sink, ...]:
        """Where a run of that number writes."""
        sinks = tuple(sink.of_run(number) for sink in self.sinks(key, channel))
        if (key, channel) not in self._forms:
            return sinks
        form, fields = self._forms[key, channel]
        return tuple(FormedSink(sink, form, {**fields, "run": number})
                     if isinstance(sink, (FileSink, ConsoleSink, MemorySink)) else sink for sink in sinks)

    def path(self, key: Key, channel: str) -> str:
        """The stream's log file, the first where there are several, or MEMORY; empty: none."""
        return self._paths.get((key, channel), "")

    def file(self, key: Key, channel: str) -> FileSink | None:
        """The sink of that file."""
        return next((s for s in self.sinks(key, channel) if isinstance(s, FileSink)), None)

    def memory(self, key: Key, channel: str) -> MemorySink | None:
        """What keeps the stream in memory, if it is read from there."""
        if self.path(key, channel) != MEMORY:
            return None
        return next((s for s in self.sinks(key, channel) if isinstance(s, MemorySink)), None)

    def lost(self, key: Key) -> int:
        """Bytes that the sinks of a process could not take; a console's are everybody's, so they are not counted."""
        sinks = {sink for channel in CHANNELS for sink in self.sinks(key, channel)}
        return sum(sink.lost for sink in sinks if not isinstance(sink, ConsoleSink))

    def open(self, key: Key) -> None:
        """A run begins. Raises OSError where a file cannot be opened and that is a mistake."""
        for channel in CHANNELS:
            for sink in self.sinks(key, channel):
                if isinstance(sink, FileSink):
                    sink.open()

    def rest(self, key: Key) -> None:
        """No run: keep no descriptors. A file that others use, too, is opened again by its next write."""
        for channel in CHANNELS:
            for sink in self.sinks(key, channel):
                if not isinstance(sink, ConsoleSink):
                    sink.close()

    def reopen(self) -> None:
        """Close and open by name every file that is open (SIGUSR2)."""
        for sink in self._files.values():
            sink.reopen()

    def clean(self) -> None:
        """Remove the AUTO files that an earlier daemon of the same identifier left in childlogdir."""
        middle = f"---{self._identifier}-"
        try:
            names = os.listdir(self._childlogdir)
        except OSError as error:
            self._say("warn", f"Failed to clean up {self._childlogdir}: {error.strerror}")
            return
        for name in names:
            head, found, tail = name.partition(middle)
            if found and head and " " not in tail and _is_auto_tail(tail):
                try:
                    opening.remove(os.path.join(self._childlogdir, name), None)
                except OSError as error:
                    self._say("warn", f"Failed to clean up '{name}': {error.strerror}")


def _severity(config: ProcessConfig, channel: str) -> int:
    return config.syslog.stdout if channel == "stdout" else config.syslog.stderr


def _is_auto_tail(tail: str) -> bool:
    """`abcdefgh.log`, `abcdefgh.log.3` for its backups, `abcdefgh.log.3.gz`, and what was being compressed."""
    unique, dot, rest = tail.partition(".log")
    rest = next((rest.removesuffix(suffix) for suffix in SUFFIXES.values() if rest.endswith(suffix)), rest)
    return bool(unique and dot) and (not rest or rest in (UNFINISHED, OLDEST) or (
        rest[0] == "." and rest[1:].isdigit() and len(rest) <= 5))
