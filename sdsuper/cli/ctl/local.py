"""ctl's way to a daemon on this machine: the control socket, logs as descriptors that the daemon opened.

Promises: logs are read without any permission on their directories. Must not: decide what is shown.
"""

import os

from sdsuper.client import Client, NotVarlink, ProtocolError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

#: How long a socket that may be another program's has to answer a first question, seconds.
PROBE_SECONDS = 5.0
_CHUNK = 1 << 18


class LocalBackend:
    """A connection to the control socket: the first of `paths` that exists. Raises OSError as `connect` does."""

    def __init__(self, paths: tuple[str, ...]) -> None:
        self._client = self._connect(paths)

    @staticmethod
    def _connect(paths: tuple[str, ...]) -> Client:
        for path in paths[:-1]:
            try:
                return Client(path)
            except FileNotFoundError:
                continue
        if len(paths) > 1:
            _probe(paths[-1])
        return Client(paths[-1])

    def call(self, method: str, **parameters: "Any") -> "dict[str, Any]":
        """See `backend.Backend.call`."""
        return self._client.call(method, **parameters)

    def log(self, name: str | None, channel: str) -> "FileLog":
        """See `backend.Backend.log`."""
        return FileLog(self._client, name, channel)

    def close(self) -> None:
        """End the connection."""
        self._client.close()


def _probe(path: str) -> None:
    """Refuse a socket that does not speak our protocol: Supervisor's own would keep us waiting for ever."""
    try:
        with Client(path, PROBE_SECONDS) as client:
            client.call("GetState")
    except (TimeoutError, NotVarlink, ConnectionResetError) as error:
        raise ProtocolError(f"{path}: no sdsuper answers there (another supervisord's socket?)") from error


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

    def close(self) -> None:
        """Let the file go."""
        os.close(self._fd)

    def _read(self) -> bytes:
        data = os.pread(self._fd, _CHUNK, self._offset)
        self._offset += len(data)
        return data

    def _reopen(self) -> bytes:
        """Take the file that is at the log's path now, if there is a new one; what came to the old one meanwhile."""
        from sdsuper.errors import Refusal

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
