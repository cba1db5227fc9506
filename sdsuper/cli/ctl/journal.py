"""Reading what a daemon's programs have written back from the journal, with python-systemd.

Promises: what is shown was written by the daemon. Must not: be imported where there is no need to read the journal.
Source: sd-journal(3), systemd.journal-fields(7): fields that begin with `_` are added by journald and cannot be forged.
"""

import glob
import json
import os
import sys
from collections.abc import Iterable, Iterator
from time import localtime, strftime
from typing import Any

from sdsuper.cli.ctl.output import Wish
from sdsuper.cli.ctl.session import Session
from sdsuper.errors import SdsuperError

JOURNALS = ("/var/log/journal", "/run/log/journal")
POLL_SECONDS = 1.0
Entry = dict[str, Any]
Matches = dict[str, str]


class JournalError(SdsuperError):
    """The journal cannot be read here; the text says why."""


def show(session: Session, names: set[tuple[str, str]], wish: Wish) -> None:
    """Show what these processes, (group, name), have written. Raises JournalError."""
    pid, uid = session.server["pid"], _owner(session)
    _check_rights(uid)
    matches = trusted(session.server["identifier"], pid, uid)
    reader = _open()
    try:
        for group, name in sorted(names):
            wanted = matches | {"SDSUPER_GROUP": group, "SDSUPER_PROCESS": name}
            if wish.run:
                wanted["SDSUPER_RUN"] = str(wish.run)
            for field, value in wanted.items():
                reader.add_match(f"{field}={value}")
            for channel in (wish.channel,) if wish.channel else ("stdout", "stderr"):
                reader.add_match(f"SDSUPER_STREAM={channel}")
            reader.add_disjunction()
        for entry in _wanted(reader, wish):
            _show_entry(entry, wish.output)
        sys.stdout.flush()
    finally:
        reader.close()


def trusted(identifier: str, pid: int, uid: int) -> Matches:
    """What an entry must have to be this daemon's. Programs under a daemon of root's may have any fields, but not its
    uid; programs of another daemon's have its uid and its unit, so only its pid tells them apart, for the time of its
    life.
    """
    found = {"_UID": str(uid), "SDSUPER_IDENTIFIER": identifier}
    unit = _unit(pid)
    if unit:
        found["_SYSTEMD_UNIT"] = unit
    if uid:
        found["_PID"] = str(pid)
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            found["_BOOT_ID"] = file.read().strip().replace("-", "")
    return found


def _unit(pid: int) -> str:
    """The service that a process is of, as journald reckons it; empty: of none, or it cannot be known."""
    try:
        with open(f"/proc/{pid}/cgroup", encoding="utf-8", errors="surrogateescape") as file:
            paths = [line.rstrip("\n")[3:] for line in file if line.startswith("0::")]
    except OSError:
        return ""
    first = next((part for path in paths for part in path.split("/") if part and not part.endswith(".slice")), "")
    return first if first.endswith(".service") else ""


def _owner(session: Session) -> int:
    """The uid of the daemon. Raises JournalError for one that is not on this machine."""
    owner = getattr(session.backend, "owner", None)
    if owner is None:
        raise JournalError("its output is in the journal of the daemon's machine, which cannot be read from here")
    try:        # the socket may have been made by systemd
        with open(f"/proc/{session.server['pid']}/status", encoding="utf-8", errors="surrogateescape") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("Uid:"))
    except (OSError, StopIteration):
        return int(owner())


def _check_rights(uid: int) -> None:
    """Raises JournalError for who may not read what the daemon writes. journald itself would show nothing at all."""
    found = [path for folder in JOURNALS for path in glob.glob(f"{folder}/*/*.journal")]
    mine = uid == os.geteuid()
    readable = [path for path in found if os.access(path, os.R_OK)
                and (mine or os.path.basename(path).startswith("system"))]
    if not readable and os.geteuid() != 0:
        raise JournalError("its output is in the journal, which you may not read: be root, or in one of the groups "
                           "adm and systemd-journal")
    if not found and os.geteuid() == 0:
        raise JournalError("its output goes to the journal, but there is none on this machine")


def _open() -> Any:
    try:
        from systemd import journal
    except ImportError:
        raise JournalError("its output is in the journal, and reading that needs the Python module systemd: "
                           "python3-systemd of Debian and Fedora, systemd-python of PyPI") from None
    plain = dict.fromkeys(journal.DEFAULT_CONVERTERS, _plain)
    reader = journal.Reader(journal.LOCAL_ONLY, converters=plain | {"MESSAGE": _same, "__REALTIME_TIMESTAMP": _same})
    reader.data_threshold = 0
    return reader


def _plain(value: Any) -> Any:
    return value.decode(errors="backslashreplace") if isinstance(value, bytes) else str(value)


def _same(value: Any) -> Any:
    return value


# ---- which entries ---------------------------------------------------------------------------------------------------

def _wanted(reader: Any, wish: Wish) -> Iterator[Entry]:
    last = None
    if wish.lines >= 0:
        reader.seek_tail()
        newest = list(_newest(reader, wish))
        yield from reversed(newest)
        last = newest[0]["__CURSOR"] if newest else None
    else:
        _seek(reader, wish.since)
        for entry in _news(reader):
            last = entry["__CURSOR"]
            yield entry
    if not wish.follow:
        return
    if last is not None:
        reader.seek_cursor(last)
        reader.get_next()
    else:
        reader.seek_tail()
        reader.get_previous()
    while True:
        sys.stdout.flush()
        reader.wait(POLL_SECONDS)
        yield from _news(reader)


def _seek(reader: Any, since: float) -> None:
    if since:
        reader.seek_realtime(since)
    else:
        reader.seek_head()


def _newest(reader: Any, wish: Wish) -> Iterator[Entry]:
    """From the newest entry backwards."""
    for _number in range(wish.lines):
        entry = reader.get_previous()
        if not entry or entry["__REALTIME_TIMESTAMP"] < wish.since * 1_000_000:
            return
        yield entry


def _news(reader: Any) -> Iterable[Entry]:
    while entry := reader.get_next():
        yield entry


# ---- how they look ---------------------------------------------------------------------------------------------------

def _show_entry(entry: Entry, output: str) -> None:
    message: bytes = entry.get("MESSAGE", b"")
    if output == "json":
        fields = {key: _json(value) for key, value in entry.items() if key != "__MONOTONIC_TIMESTAMP"}
        sys.stdout.write(json.dumps(fields) + "\n")
        return
    end = b"\n"
    if output == "cat":
        if entry.get("SDSUPER_LINE_BREAK") in ("line-max", "eof"):
            end = b""
    else:
        stamp = strftime("%b %d %H:%M:%S", localtime(entry["__REALTIME_TIMESTAMP"] / 1_000_000))
        sys.stdout.write(f"{stamp} {entry.get('SYSLOG_IDENTIFIER', '')}[{entry.get('SYSLOG_PID', '')}]: ")
    sys.stdout.flush()
    sys.stdout.buffer.write(message + end)


def _json(value: Any) -> Any:
    """As `journalctl -o json` has it: text, or numbers where the bytes are none."""
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return list(value)
    if isinstance(value, list):
        return [_json(one) for one in value]
    return str(value)
