"""A launcher of each build, children to put through it, and what they said of themselves."""

import ctypes
import os
import platform
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sdsuper.config.model import User
from sdsuper.system import process
from sdsuper.system.process import Launch, Launcher, Report
from tests.ways import open_ways

SOURCE = Path(__file__).parents[2] / "sdsuper/system/exec/sdsuper-exec.c"
NOBODY = User("nobody", 65534, 65534, (65534, 100), "/nonexistent", "/usr/sbin/nologin")
CGROUPS = Path("/sys/fs/cgroup/unified") if Path("/sys/fs/cgroup/unified").is_dir() else Path("/sys/fs/cgroup")


def write_stdin(pid: int, data: bytes) -> int:
    """Write to a child once; returns what fitted."""
    fd = process.open_stdin(pid)
    try:
        return os.write(fd, data)
    finally:
        os.close(fd)


def build(target: Path, *flags: str) -> Path:
    """sdsuper-exec by way of libc, for tools that look at what it does."""
    subprocess.run(
        ["cc", "-std=gnu11", "-Wall", "-Wextra", "-Werror", "-g", "-DSDSUPER_EXEC_LIBC", *flags, SOURCE, "-o", target],
        check=True,
    )
    target.chmod(0o755)
    return target


@pytest.fixture(scope="session")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory that everybody may enter."""
    return open_ways(tmp_path_factory.mktemp("exec"))


@pytest.fixture(scope="session")
def sanitized(tools: Path) -> str:
    """With AddressSanitizer and UBSan: any mistake ends it with status 99."""
    program = build(tools / "sanitized", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
    return str(wrapper(tools / "asan", "export ASAN_OPTIONS=exitcode=99 UBSAN_OPTIONS=exitcode=99", str(program)))


@pytest.fixture(scope="session")
def grinded(tools: Path) -> str:
    """Under valgrind: any mistake ends it with status 99."""
    program = build(tools / "plain", "-O1")
    options = f"-q --vgdb=no --error-exitcode=99 --log-file={tools}/log.%p"
    return str(wrapper(tools / "valgrind", "", f"valgrind {options} {program}"))


def wrapper(path: Path, before: str, command: str) -> Path:
    path.write_text(f"#!/bin/sh\n{before}\nexec {command}\n")
    path.chmod(0o755)
    return path


@pytest.fixture(scope="session")
def release() -> str:
    """What users get."""
    return str(SOURCE.with_suffix(""))


@pytest.fixture(params=["release", "sanitized"])
def launcher(request: pytest.FixtureRequest) -> Iterator[Launcher]:
    made = Launcher(request.getfixturevalue(request.param))
    yield made
    made.close()


@pytest.fixture
def quick(release: str) -> Iterator[Launcher]:
    """The launcher that users get, where the other build would show nothing more."""
    made = Launcher(release)
    yield made
    made.close()


class Ended:
    """A child that has run to its end: what it printed, its exit code, and the launcher's reports."""

    def __init__(self, pid: int, code: int, output: str, reports: list[Report], launch: Launch) -> None:
        self.pid, self.code, self.output, self.reports, self.launch = pid, code, output, reports, launch

    @property
    def lines(self) -> list[str]:
        return self.output.splitlines()


Run = Callable[..., Ended]


def run(launcher: Launcher, script: str, **fields: object) -> Ended:
    """Launch `sh -c script` (or what `path` and `argv` say) with its output in a file, and wait for its end."""
    out = os.memfd_create("out")
    high = os.dup(out) if out < 10 else out
    given: dict[str, object] = {
        "tag": 7, "path": "/bin/sh", "argv": ("sh", "-c", script), "environment": dict(os.environ), "stdout": high,
        "stderr": -1,
    }
    launch = Launch(**(given | fields))  # type: ignore[arg-type]
    try:
        pid = launcher.spawn(launch)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        return Ended(pid, code, os.pread(high, 1 << 20, 0).decode(), launcher.reports(), launch)
    finally:
        for fd in {out, high}:
            os.close(fd)


@pytest.fixture
def cgroups() -> Iterator[Path]:
    """A cgroup directory of the test's own; what is left in it is ended and removed."""
    top = CGROUPS / f"test-sdsuper-{os.getpid()}"
    top.mkdir()
    yield top
    (top / "cgroup.kill").write_text("1")
    for path in sorted(top.rglob("*/"), key=lambda p: -len(p.parts)):
        path.rmdir()
    top.rmdir()


@pytest.fixture(scope="session")
def program(tools: Path) -> Callable[[str, str], str]:
    """`program("name", "C text")`: compiled once, its path."""

    def compile_(name: str, text: str) -> str:
        target = tools / name
        if not target.exists():
            source = tools / f"{name}.c"
            source.write_text(text)
            subprocess.run(["cc", "-O1", "-Wall", source, "-o", target], check=True)
            target.chmod(0o755)
        return str(target)

    return compile_


def needs(command: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(command) is None, reason=f"{command} is not installed")


X86 = platform.machine() == "x86_64"


# A leader whose 500 processes fork on, leave its session and lose their parents.
BOMB = """
    #include <signal.h>
    #include <stdlib.h>
    #include <sys/wait.h>
    #include <unistd.h>
    int main(int argc, char **argv)
    {
        int many = atoi(argv[1]);
        signal(SIGTERM, SIG_IGN);
        signal(SIGHUP, SIG_IGN);
        for (int i = 0; i < many; i++)
            if (fork() == 0) {
                if (i % 2)
                    setsid();
                if (i % 3 == 0 && fork() != 0)
                    _exit(0);
                for (;;) {
                    if (fork() == 0) {
                        usleep(20000);
                        _exit(0);
                    }
                    usleep(50000);
                    while (0 < waitpid(-1, 0, WNOHANG))
                        ;
                }
            }
        for (;;)
            pause();
    }
"""


@pytest.fixture
def subreaper() -> Iterator[None]:
    """Orphans come to the test process: nobody else here may reap them."""
    process.become_subreaper()
    yield
    ctypes.CDLL(None).prctl(36, 0, 0, 0, 0)


def reap_all(wait_for: Callable[..., None]) -> None:
    """Wait until no child is left, orphans included."""

    def gone() -> bool:
        process.reap()
        try:
            os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return True
        return False

    wait_for(gone, "the end of all children")
