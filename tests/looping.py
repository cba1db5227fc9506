"""For tests of what runs on the event loop: it turns until something is seen, with threads or other users beside it."""

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sdsuper.config.model import User
from sdsuper.system.loop import Loop

#: Somebody who is not root, with a supplementary group.
OTHER = User("nobody", 65534, 65534, (65534, 100), "/nonexistent", "/usr/sbin/nologin")
LIMIT = 20.0


@contextmanager
def fresh_loop() -> Iterator[Loop]:
    """A loop; the signals are as before afterwards, and what is still watched at the end is no matter."""
    before = {number: signal.getsignal(number) for number in (signal.SIGCHLD, signal.SIGINT, signal.SIGUSR1)}
    loop = Loop()
    try:
        yield loop
    finally:
        loop.close()
        for number, handler in before.items():
            signal.signal(number, handler)


def turn_until(loop: Loop, condition: Callable[[], object], what: str = "", limit: float = LIMIT) -> None:
    """Let the loop work until `condition()` is true."""
    end = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < end, f"waited {limit:g} s in vain: {what or condition}"
        loop.soon(0.005, lambda: None)
        loop.turn()


def meanwhile(loop: Loop, work: Callable[[], Any]) -> Any:
    """What `work` returns or raises, done in a thread while the loop turns."""
    result: list[Any] = []
    error: list[BaseException] = []

    def run() -> None:
        try:
            result.append(work())
        except BaseException as problem:
            error.append(problem)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    turn_until(loop, lambda: not thread.is_alive(), "the end of what runs beside the loop")
    thread.join()
    if error:
        raise error[0]
    return result[0]


@contextmanager
def child(work: Callable[[], object], user: User | None = None, directory: Path | None = None) -> Iterator[int]:
    """A forked child that does `work`, as `user`; it is killed at the end. Yields its pid.

    It enters the directory before it becomes the user, who may not be able to reach it by its path.
    """
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            if directory is not None:
                os.chdir(directory)
            if user is not None:
                os.seteuid(os.getuid())
                os.setgroups(user.groups)
                os.setresgid(user.gid, user.gid, user.gid)
                os.setresuid(user.uid, user.uid, user.uid)
            work()
            status = 0
        finally:
            os._exit(status)
    try:
        yield pid
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def asked_as(loop: Loop, user: User, work: Callable[[], Any]) -> Any:
    """What `work` returns (plain data) in a child that is `user`, or the name of the exception that it raises."""
    read, write = os.pipe()

    def tell() -> None:
        os.close(read)
        try:
            answer = work()
        except Exception as error:
            answer = type(error).__name__
        os.write(write, json.dumps(answer).encode())

    with child(tell, user):
        os.close(write)
        os.set_blocking(read, False)
        said: list[bytes] = []

        def ended() -> bool:
            try:
                said.append(os.read(read, 1 << 16))
            except BlockingIOError:
                return False
            return not said[-1]

        turn_until(loop, ended, "the child's answer")
        os.close(read)
    return json.loads(b"".join(said))


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """What is in here blocks no longer than this, or fails."""

    def too_long(_number: int, _frame: object) -> None:
        raise AssertionError(f"blocked for {seconds:g} s")

    before = signal.signal(signal.SIGALRM, too_long)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
