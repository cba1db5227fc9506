"""A receiver of the journal's native protocol, as a peer for tests: a socket, and entries as dictionaries.

It takes what journald takes (journald-native.c of systemd reads the same way): datagrams, and sealed files in memory
that come as descriptors.
"""

import fcntl
import os
import socket
import struct
from pathlib import Path

Entry = dict[str, list[bytes]]
ALL_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL


def parsed(data: bytes) -> Entry:
    """One entry. Raises ValueError, struct.error or AssertionError for what is none."""
    fields: Entry = {}
    while data:
        line, end, rest = data.partition(b"\n")
        assert end, f"no newline after {line[:100]!r}"
        name, equals, value = line.partition(b"=")
        if equals:
            data = rest
        else:
            (length,) = struct.unpack_from("<Q", rest)
            value, data = rest[8:8 + length], rest[8 + length:]
            assert len(value) == length and data[:1] == b"\n", "the length is wrong"
            data = data[1:]
        text = name.decode("ascii")
        assert text and text.isupper() and not text.startswith("_") and len(text) <= 64, f"no name: {name!r}"
        fields.setdefault(text, []).append(value)
    return fields


class Journald:
    """Listens at `path`; `files` counts the entries that came as files."""

    def __init__(self, path: Path) -> None:
        self.path, self.files = path, 0
        self.open()

    def open(self) -> None:
        """Be there, again."""
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self.socket.bind(str(self.path))
        self.path.chmod(0o666)

    def close(self) -> None:
        """Be away, as after `systemctl stop systemd-journald.socket`."""
        self.socket.close()
        self.path.unlink(missing_ok=True)

    def take(self, most: int = 1 << 30) -> list[Entry]:
        """Whatever has arrived."""
        found: list[Entry] = []
        while len(found) < most:
            try:
                data, ancillary, flags, _address = self.socket.recvmsg(1 << 20, 1024)
            except BlockingIOError:
                break
            assert not flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC)
            fds = [fd for level, kind, more in ancillary if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS)
                   for (fd,) in struct.iter_unpack("i", more)]
            found.append(parsed(self._file(*fds) if fds else data))
        return found

    def _file(self, fd: int) -> bytes:
        self.files += 1
        try:
            assert fcntl.fcntl(fd, fcntl.F_GET_SEALS) == ALL_SEALS
            return os.pread(fd, os.fstat(fd).st_size, 0)
        finally:
            os.close(fd)


def one(entry: Entry) -> dict[str, str]:
    """An entry whose fields are there once each, as text."""
    assert all(len(values) == 1 for values in entry.values()), entry
    return {name: values[0].decode() for name, values in entry.items()}


def messages(entries: list[Entry]) -> list[bytes]:
    """The texts alone."""
    return [message for entry in entries for message in entry["MESSAGE"]]
