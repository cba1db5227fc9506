"""The limits that the daemon needs: raised where allowed, the true numbers where not."""

import os
import resource
from collections.abc import Callable
from pathlib import Path

import pytest

from sdsuper.errors import StartError
from sdsuper.system.limits import NAMES, NUMBERS, raise_limits

NOFILE, NPROC = resource.RLIMIT_NOFILE, resource.RLIMIT_NPROC


def in_a_child(body: Callable[[], str]) -> str:
    """What `body` returns in a forked process, whose limits are its own."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            text = body()
        except Exception as problem:
            text = f"{type(problem).__name__}: {problem}"
        os.write(writer, text.encode())
        os._exit(0)
    os.close(writer)
    text = os.read(reader, 10000).decode()
    os.close(reader)
    os.waitpid(pid, 0)
    return text


def after(soft: int, hard: int, minfds: int, minprocs: int = 1) -> Callable[[], str]:
    def body() -> str:
        resource.setrlimit(NOFILE, (soft, hard))
        before = raise_limits(minfds, minprocs)
        return f"{before} {resource.getrlimit(NOFILE)}"

    return body


def test_enough_is_left_alone() -> None:
    assert in_a_child(after(500, 600, 500)) == "() (500, 600)"


def test_soft_is_raised_and_the_old_one_told() -> None:
    assert in_a_child(after(100, 600, 500)) == f"(({NOFILE}, 100, 600),) (500, 600)"


def may_raise() -> bool:
    """CAP_SYS_RESOURCE; containers often take it from root."""
    status = Path("/proc/self/status").read_text()
    return bool(int(status.split("CapEff:")[1].split()[0], 16) >> 24 & 1)


def test_hard_is_raised_when_that_is_allowed() -> None:
    text = in_a_child(after(100, 200, 500))
    if may_raise():
        assert text == f"(({NOFILE}, 100, 200),) (500, 500)"
    else:
        assert "100 soft and 200 hard" in text


@pytest.mark.root
def test_the_true_numbers_when_it_is_refused() -> None:
    def body() -> str:
        resource.setrlimit(NOFILE, (100, 200))
        os.setresuid(65534, 65534, 65534)
        raise_limits(500, 1)
        return "raised"

    text = in_a_child(body)
    assert text.startswith(f"{StartError.__name__}: minfds=500: ")
    assert "100 soft and 200 hard" in text


def test_processes_too() -> None:
    def body() -> str:
        hard = resource.getrlimit(NPROC)[1]
        resource.setrlimit(NPROC, (50, hard))
        return f"{raise_limits(1, 60) == ((NPROC, 50, hard),)} {resource.getrlimit(NPROC)[0]}"

    assert in_a_child(body) == "True 60"


def test_all_sixteen_names_are_the_kernels() -> None:
    assert len(NAMES) == len(NUMBERS) == 16
    for number, name in NAMES.items():
        known = getattr(resource, f"RLIMIT_{name.upper()}", number)     # Python has no LOCKS
        assert known == number, name
