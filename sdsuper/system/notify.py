"""The receiving end of sd_notify(3): a socket of ours, and messages with the kernel's word for who has sent them.

Promises: descriptors that come with a message are closed at once; what is too long or no text is left out; nobody is
waited for. Must not: believe anybody. Sources: sd_notify(3), unix(7) SO_PASSCRED.
"""

import array
import os
import socket
from errno import EEXIST
from stat import S_ISDIR
from struct import Struct
from typing import NamedTuple

MOST_BYTES = 4096
_CREDENTIALS = Struct("3i")
_DESCRIPTORS_MOST = 253         # of one message (SCM_MAX_FD)


class Message(NamedTuple):
    """What came, as `NAME=value` pairs, and from whom: the kernel has seen to it that this is true."""

    pid: int
    uid: int
    fields: dict[str, str]


def make_directory(path: str) -> None:
    """A directory that anybody may pass and nobody may list, of ours alone; one that is there has to be ours. Raises
    OSError.
    """
    before = os.umask(0o066)
    try:
        os.mkdir(path, 0o711)
    except FileExistsError:
        seen = os.lstat(path)
        if not S_ISDIR(seen.st_mode) or seen.st_uid != os.geteuid() or seen.st_mode & 0o022:
            raise FileExistsError(EEXIST, "is there, and not a directory of ours", path) from None
    finally:
        os.umask(before)


def open_socket(path: str) -> socket.socket:
    """A socket at `path`, in a directory of ours, that anybody may send to. Raises OSError."""
    made = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        try:
            os.unlink(path)
        except FileNotFoundError:
            pass
        made.bind(path)
        os.chmod(path, 0o666)       # nobody else can have changed what is at this path
    except BaseException:
        made.close()
        raise
    return made


def receive(end: socket.socket) -> Message | None:
    """The next message, None when there is none. What is not to be read is an empty message. Raises OSError."""
    room = socket.CMSG_SPACE(_CREDENTIALS.size) + socket.CMSG_SPACE(_DESCRIPTORS_MOST * 4)
    try:
        data, ancillary, flags, _address = end.recvmsg(MOST_BYTES, room, socket.MSG_CMSG_CLOEXEC)
    except BlockingIOError:
        return None
    pid = uid = -1
    for level, kind, payload in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_CREDENTIALS and len(payload) >= _CREDENTIALS.size:
            pid, uid, _gid = _CREDENTIALS.unpack(payload[:_CREDENTIALS.size])
        elif level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            descriptors = array.array("i")
            descriptors.frombytes(payload[:len(payload) - len(payload) % 4])
            for fd in descriptors:
                os.close(fd)        # also the way in which a BARRIER=1 is answered
    if flags & socket.MSG_TRUNC:
        return Message(pid, uid, {})
    return Message(pid, uid, _fields(data))


def _fields(data: bytes) -> dict[str, str]:
    fields = {}
    for line in data.split(b"\n"):
        name, equals, value = line.partition(b"=")
        if equals and name.isascii() and name.replace(b"_", b"").isalnum():
            fields[name.decode()] = value.decode(errors="backslashreplace")
    return fields
