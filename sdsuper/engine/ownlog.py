"""Where the daemon's own log goes: files, consoles, syslog, and the journal and syslog servers with its fields.

Promises: in the journal and on a server a line has no date of its own, its level is the priority, and it is there
once. Must not: write lines.
"""

import os
from collections.abc import Callable
from syslog import LOG_DAEMON, LOG_INFO

from sdsuper.config.model import SupervisordConfig, TargetKind
from sdsuper.errors import StartError
from sdsuper.logs.journal import Journal, JournalEntries, available, is_journal
from sdsuper.logs.main import Entries, MainLog
from sdsuper.logs.remote import Relay, RemoteEntries
from sdsuper.logs.sinks import ConsoleSink, FileSink, Say, Sink
from sdsuper.logs.syslog import SyslogSink

#: What the daemon is called in the journal when systemd leads its output there: as its lines were without us.
NAME = "sdsuperd"


class OwnLog:
    """Opens the log. `console` gives the sink of the daemon's stdout or stderr, `stream` is JOURNAL_STREAM, `complain`
    takes what the log itself cannot, `relay` leads to syslog servers.
    """

    def __init__(self, settings: SupervisordConfig, journal: Journal, console: Callable[[str], ConsoleSink],
                 stream: str | None, complain: Say, relay: Relay) -> None:
        self._settings, self._journal, self._console, self._relay = settings, journal, console, relay
        self._stream, self._complain = stream, complain

    def open(self, log: MainLog, foreground: bool) -> None:
        """Give `log` its destinations. Raises StartError."""
        settings = self._settings
        name = ""                   # in the journal; empty: not there
        sinks: list[Sink] = []
        found: list[Entries] = []
        consoles = [path for kind, path in settings.logfile if kind is TargetKind.CONSOLE]
        if foreground and not settings.silent and not consoles:
            consoles.append("/dev/stdout")
        for kind, path in settings.logfile:
            if kind is TargetKind.JOURNAL or (kind is TargetKind.SYSLOG and available(self._journal.path)):
                name = settings.identifier
            elif kind is TargetKind.SYSLOG:
                sinks.append(SyslogSink(settings.identifier, LOG_DAEMON | LOG_INFO, self._complain))
            elif kind is TargetKind.FILE:
                sinks.append(self._file(path))
            elif kind is TargetKind.REMOTE:
                found.append(RemoteEntries(self._relay, path, LOG_DAEMON >> 3, settings.identifier, os.getpid(),
                                           {"identifier": settings.identifier}, self._complain))
        for each in consoles:
            sink = self._console(each)
            if foreground and is_journal(sink.number, self._stream) and available(self._journal.path):
                name = name or NAME
            else:
                sinks.append(sink)
        if name:
            found.insert(0, JournalEntries(self._journal, self._fields(name), self._complain))
        log.entries, log.sinks = found, sinks

    def _fields(self, name: str) -> tuple[tuple[str, str], ...]:
        return (("SYSLOG_IDENTIFIER", name), ("SYSLOG_FACILITY", str(LOG_DAEMON >> 3)),
                ("SDSUPER_IDENTIFIER", self._settings.identifier))

    def _file(self, path: str) -> FileSink:
        settings = self._settings
        file = FileSink(path, settings.logfile_maxbytes, settings.logfile_backups, None, self._complain)
        file.keep(settings.logfile_maxbytes, settings.logfile_backups, settings.logfile_rotate,
                  settings.logfile_compress)
        try:
            file.open()
        except OSError as error:
            raise StartError(f"cannot open log file {path}: {error.strerror}") from None
        return file
