"""What the daemon becomes before it supervises: another user, a process in the background.

Promises: either it is so, or StartError. Must not: be called once there are children.
"""

import os

from sdsuper.config.model import SupervisordConfig
from sdsuper.control.server import make_directory
from sdsuper.errors import StartError
from sdsuper.logs.main import MainLog


def become_user(settings: SupervisordConfig, log: MainLog) -> None:
    """[supervisord] user. Raises StartError."""
    user = settings.user
    if user is None:
        if os.geteuid() == 0:
            log.write("critical", "running as root, and [supervisord] has no user=: programs without a user= of their "
                                  "own run as root, too; user=root says that this is meant")
        return
    if user.uid == os.getuid():
        return
    if os.geteuid() != 0:
        raise StartError("Can't drop privilege as nonroot user")
    make_directory(settings.control_socket, user.uid, user.gid)
    try:
        os.setgroups(user.groups)
        os.setresgid(user.gid, user.gid, user.gid)
        os.setresuid(user.uid, user.uid, user.uid)
    except OSError as error:
        raise StartError(f"cannot become user {user.name}: {error.strerror}") from None
    log.write("info", f"Set uid to user {user.uid} succeeded")


def to_background() -> None:
    """daemon(7)'s first steps: the parent ends with 0, the child leads a session and has no terminal."""
    if os.fork():
        os._exit(0)
    os.setsid()
    null = os.open("/dev/null", os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    os.close(null)
