"""ctl's way to a daemon on this machine: the control socket, logs as descriptors that the daemon opened.

Promises: logs are read without any permission on their directories. Must not: decide what is shown.
"""

import errno
import os
import socket

from sdsuper.client import Client, ProtocolError
from sdsuper.errors import Refusal, SdsuperError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

#: How long a socket that may be another program's has to answer a first question, seconds.
PROBE_SECONDS = 5.0
_LISTENS = "00010000"       # __SO_ACCEPTCON in the column Flags of /proc/net/unix
_CHUNK = 1 << 18


class OtherProtocol(Exception):
    """No control socket: what listens at the path speaks something else."""


class LocalBackend:
    """A connection to the control socket: the first of `paths` where a daemon can be reached. The last path may be
    something else's.

    Raises OSError as `connect` does, OtherProtocol when only the last path is left and something else is there.
    """

    settle_seconds = 0.3

    def __init__(self, paths: tuple[str, ...]) -> None:
        self._client = self._connect(paths)

    @staticmethod
    def _connect(paths: tuple[str, ...]) -> Client:
        passed: OSError | None = None
        for path in paths[:-1]:
            try:
                client = Client(path)
                if client.owner() in (0, os.geteuid(), _owner(paths[-1])):
                    return client
                client.close()              # somebody else has put it beside
            except FileNotFoundError:
                continue
            except (ConnectionRefusedError, PermissionError) as error:
                passed = passed or error    # left by a daemon that is gone, or for others than us
        try:
            if len(paths) > 1 and not _is_control_socket(paths[-1]):
                raise OtherProtocol(paths[-1])
            return Client(paths[-1])
        except FileNotFoundError:
            if passed is None:
                raise
            raise passed from None

    def call(self, method: str, **parameters: "Any") -> "dict[str, Any]":
        """See `backend.Backend.call`."""
        return self._client.call(method, **parameters)

    def owner(self) -> int:
        """The uid of the daemon, which is on this machine."""
        return self._client.owner()

    def reload(self) -> None:
        """See `backend.Backend.reload`."""
        self.call("Update")

    def log(self, name: str | None, channel: str) -> "FileLog":
        """See `backend.Backend.log`."""
        return FileLog(self._client, name, channel)

    def subscribe(self, types: "list[str] | None") -> "Iterator[dict[str, Any]]":
        """See `backend.Backend.subscribe`."""
        return self._client.subscribe(types=types)

    def close(self) -> None:
        """End the connection."""
        self._client.close()


def control_socket_of(pid: int) -> str:
    """Where the daemon with that process id takes commands, whatever its configuration says by now. Raises OSError.

    /proc/PID/net/unix has the sockets of its network namespace, of which those that listen and that it holds count.
    """
    held = set()
    for name in os.listdir(f"/proc/{pid}/fd"):
        try:
            held.add(os.readlink(f"/proc/{pid}/fd/{name}"))
        except FileNotFoundError:
            continue                        # closed meanwhile
    with open(f"/proc/{pid}/net/unix", encoding="utf-8", errors="surrogateescape") as table:
        rows = [line.split(maxsplit=7) for line in table]
    found = [row[7].rstrip("\n") for row in rows[1:]
             if len(row) == 8 and row[3] == _LISTENS and f"socket:[{row[6]}]" in held]
    # those of HTTP last: a question would start the process that answers there
    for path in sorted((path for path in found if path.startswith("/")), key=lambda path: "control" not in path):
        try:
            if _is_control_socket(path):
                return path
        except (OSError, ProtocolError):
            continue
    raise FileNotFoundError(errno.ENOENT, "it has no control socket")


def _owner(path: str) -> int:
    """Whose the socket at `path` is, or its directory where there is none; -1: nobody's."""
    for place in (path, os.path.dirname(path)):
        try:
            return os.lstat(place).st_uid
        except OSError:
            continue
    return -1


def _is_control_socket(path: str) -> bool:
    """Whether a call is answered with Varlink. Raises OSError as `connect` does, ProtocolError when nobody answers.

    To a server of HTTP the call is a bad request with its end, so that it says so at once. To ours what comes after the
    call is white space before the next one.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(PROBE_SECONDS)
        probe.connect(path)
        try:
            probe.sendall(b'{"method":"io.sdsuper.Control.GetState","parameters":{}}\0\r\n\r\n')
            return probe.recv(1) == b"{"
        except (BrokenPipeError, ConnectionResetError):
            return False
        except TimeoutError as error:
            raise ProtocolError(f"{path}: what listens there does not answer") from error


class FileLog:
    """A log that the daemon opened for us; see `backend.Log`.

    A descriptor follows its file through a rename, so a rotation shows as a changed link below /proc/self/fd: what is
    left of the old file is read, then the daemon is asked for the new one.
    """

    def __init__(self, client: Client, name: str | None, channel: str) -> None:
        self._client, self._name, self._channel = client, name, channel
        self._fd, self.path = client.open_log(name, channel)
        self._link = _link(self._fd)
        self._offset = 0

    def text(self, offset: int) -> "Iterator[bytes]":
        """See `backend.Log.text`."""
        end = os.fstat(self._fd).st_size
        position = max(0, end + offset) if offset < 0 else offset
        while position < end:
            data = os.pread(self._fd, min(_CHUNK, end - position), position)
            if not data:
                return
            position += len(data)
            yield data

    def follow(self, last_bytes: int) -> None:
        """See `backend.Log.follow`."""
        self._offset = max(0, os.fstat(self._fd).st_size - last_bytes)

    def news(self) -> bytes:
        """See `backend.Log.news`."""
        if os.fstat(self._fd).st_size < self._offset:
            self._offset = 0
            return b"==> File truncated <==\n"
        moved = _link(self._fd) != self._link
        data = self._read()
        return data if data or not moved else self._reopen()

    def ended(self) -> bool:
        """See `backend.Log.ended`."""
        try:
            self._client.call("GetState")
        except (OSError, SdsuperError):
            return True
        return False

    def close(self) -> None:
        """Let the file go."""
        os.close(self._fd)

    def _read(self) -> bytes:
        data = os.pread(self._fd, _CHUNK, self._offset)
        self._offset += len(data)
        return data

    def _reopen(self) -> bytes:
        """Take the file that is at the log's path now, if there is a new one; what came to the old one meanwhile."""
        try:
            fd, _path = self._client.open_log(self._name, self._channel)
        except Refusal:
            return b""
        if os.path.sameopenfile(fd, self._fd):
            os.close(fd)
            return b""
        rest = b"".join(iter(self._read, b""))
        os.close(self._fd)
        self._fd, self._link, self._offset = fd, _link(fd), 0
        return rest or self._read()


def _link(fd: int) -> str:
    return os.readlink(f"/proc/self/fd/{fd}")
