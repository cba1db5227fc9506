"""Children: commands found, signalled, reaped, written to; the daemon's own descriptors."""

import errno
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sdsuper.config.model import User
from sdsuper.errors import SpawnError
from sdsuper.system import process
from sdsuper.system.process import Launch, Launcher, NotFound, Report, describe, resolve_command
from tests.system.conftest import write_stdin
from tests.ways import open_ways

from .conftest import NOBODY

Wait = Callable[..., None]


# ---- commands -----------------------------------------------------------------------------------------------------

@pytest.fixture
def place(tmp_path: Path) -> Path:
    """first/tool is not executable, second/tool is; first/dir is a directory."""
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "tool").write_text("#!/bin/sh\n")
    (tmp_path / "second/tool").chmod(0o755)
    (tmp_path / "second/only").touch(0o755)
    (tmp_path / "first/dir").mkdir()
    return tmp_path


def test_a_name_is_looked_for_in_path(place: Path) -> None:
    assert resolve_command("only", f"{place}/first:{place}/second") == f"{place}/second/only"
    assert resolve_command("sh", None) == "/bin/sh"
    assert resolve_command("sh", "") == "/bin/sh"


def test_a_path_is_taken_as_it_is(place: Path) -> None:
    assert resolve_command(f"{place}/second/tool", None) == f"{place}/second/tool"
    here = os.getcwd()
    os.chdir(place)
    try:
        assert resolve_command("second/tool", None) == "second/tool"
    finally:
        os.chdir(here)


def refused(command: str, path: str | None = None) -> str:
    with pytest.raises(SpawnError) as caught:
        resolve_command(command, path)
    assert isinstance(caught.value, NotFound) == str(caught.value).startswith("can't find")
    return str(caught.value)


def test_what_cannot_be_run_is_said_in_supervisors_words(place: Path) -> None:
    assert refused("none", f"{place}/first") == "can't find command 'none'"
    assert refused(f"{place}/none") == f"can't find command '{place}/none'"
    assert refused(f"{place}/first/dir") == f"command at '{place}/first/dir' is a directory"
    # the first that has the name ends the search
    assert refused("tool", f"{place}/first:{place}/second") == f"command at '{place}/first/tool' is not executable"


@pytest.mark.root
def test_no_permission_to_run(tmp_path: Path) -> None:
    tool = tmp_path / "tool"
    tool.write_text("#!/bin/sh\n")
    tool.chmod(0o700)
    open_ways(tmp_path)
    pid = os.fork()
    if pid == 0:
        os.setresuid(65534, 65534, 65534)
        os._exit(0 if refused(str(tool)) == f"no permission to run command '{tool}'" else 1)
    assert os.waitpid(pid, 0)[1] == 0


# ---- launches -----------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("fields", [{"argv": ("a", "b\0c")}, {"path": "/bin/\0"}, {"environment": {"A": "\0"}},
                                    {"directory": "/\0"}])
def test_no_nul_gets_into_a_spec(quick: Launcher, fields: dict[str, object]) -> None:
    launch = Launch(1, "/bin/true", ("true",), {})._replace(**fields)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="null"):
        quick.spawn(launch)


def test_names_that_are_no_utf8_pass(quick: Launcher, tmp_path: Path) -> None:
    name = os.fsdecode(b"\xff\xfe")
    pid = quick.spawn(Launch(1, "/bin/touch", ("touch", f"{tmp_path}/{name}"), {}))
    assert os.waitpid(pid, 0)[1] == 0
    assert os.listdir(os.fsencode(tmp_path)) == [b"\xff\xfe"]


def test_a_launcher_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="not executable"):
        Launcher(f"{tmp_path}/none")


@pytest.mark.parametrize(("stage", "words"), [
    ("joining the cgroup", "joining the cgroup /sys/fs/cgroup/x"), ("setting nice", "setting nice to -3"),
    ("setting the limit", "setting the limit nofile to 5:infinity"), ("changing user", "changing user to nobody"),
    ("verifying the user", "verifying the user nobody"), ("changing directory", "changing directory to /srv/web"),
    ("executing", "executing /bin/web"), ("opening stdin", "opening stdin"),
])
def test_describe(stage: str, words: str) -> None:
    launch = Launch(1, "/bin/web", ("web",), {}, "/srv/web", None, NOBODY, -3, ((7, 5, -1),), "/sys/fs/cgroup/x")
    assert describe(Report(1, 2, stage, errno.EACCES, 7), launch) == f"{words}: Permission denied"


# ---- reaping ------------------------------------------------------------------------------------------------------

def test_reap_takes_all_and_no_more(quick: Launcher, wait_for: Wait) -> None:
    assert process.reap() == []
    pids = {quick.spawn(Launch(1, "/bin/sh", ("sh", "-c", f"exit {code}"))): code for code in range(5)}
    found: list[tuple[int, int]] = []
    wait_for(lambda: found.extend(process.reap()) or len(found) == 5)
    assert {pid: os.waitstatus_to_exitcode(status) for pid, status in found} == pids


def test_reap_is_capped(quick: Launcher, wait_for: Wait) -> None:
    pids = [quick.spawn(Launch(1, "/bin/true", ("true",))) for _ in range(6)]
    wait_for(lambda: all("Z" in Path(f"/proc/{pid}/stat").read_text() for pid in pids))
    assert [len(process.reap(4)), len(process.reap(4)), len(process.reap(4))] == [4, 2, 0]


# ---- stdin --------------------------------------------------------------------------------------------------------

@pytest.fixture
def child(quick: Launcher) -> Iterator[Callable[..., int]]:
    """`child(script)`: a shell that runs the script and then sleeps; its pid once the script is done."""
    pids: list[int] = []

    def start(script: str, user: User | None = None) -> int:
        reader, writer = os.pipe()
        command = f"{script}\necho done\nexec sleep 60"
        argv = ("bash", "-c", command)
        pids.append(quick.spawn(Launch(1, "/bin/bash", argv, dict(os.environ), user=user, stdout=writer)))
        os.close(writer)
        assert os.read(reader, 10) == b"done\n"
        os.close(reader)
        return pids[-1]

    yield start
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def test_writing_until_the_pipe_is_full(child: Callable[..., int]) -> None:
    pid = child("")
    total = 0
    with pytest.raises(BlockingIOError):
        while True:
            total += write_stdin(pid, b"x" * 4096)
    assert total == 65536


@pytest.mark.parametrize(("script", "error"), [
    ("exec <&-", errno.ENOENT),
    ("exec </dev/null", errno.EPIPE),
    ("exec </etc/passwd", errno.EPIPE),
    ("cd $(mktemp -d); mkfifo f; exec <>f; rm f; rmdir $PWD", errno.EPIPE),
    ("exec </dev/tty9999 || exec </proc/self/status", errno.EPIPE),
])
def test_a_child_that_puts_something_else_in_its_place(child: Callable[..., int], script: str, error: int) -> None:
    pid = child(script)
    with pytest.raises(OSError) as caught:
        write_stdin(pid, b"x")
    assert caught.value.errno == error


def test_a_socket_is_not_written_to(quick: Launcher) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        pid = quick.spawn(Launch(1, "/bin/sleep", ("sleep", "60"), stdin=theirs.fileno()))
        with pytest.raises(BrokenPipeError):
            write_stdin(pid, b"x")
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def test_a_child_that_is_gone(quick: Launcher) -> None:
    pid = quick.spawn(Launch(1, "/bin/true", ("true",)))
    os.waitpid(pid, 0)
    with pytest.raises(FileNotFoundError):
        write_stdin(pid, b"x")


# ---- the daemon itself --------------------------------------------------------------------------------------------

def alone(code: str, **options: object) -> str:
    """Run Python code in a process of its own."""
    lines = f"import os, sys\nfrom sdsuper.system import process\n{code}"
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", lines], cwd=root, capture_output=True, text=True, **options)  # type: ignore[call-overload]
    assert done.returncode == 0, done.stderr
    return str(done.stdout)


def test_low_descriptors_are_taken_once() -> None:
    assert alone(
        "os.close(0)\n"
        "made = process.reserve_low_fds()\n"
        "print(os.readlink('/proc/self/fd/0'), made, process.reserve_low_fds(), os.get_inheritable(0))\n"
        "print(os.open('/', 0), any(os.get_inheritable(fd) for fd in made))"
    ) == f"/dev/null {[3, 4, 5, 6, 7, 8, 9]} [] True\n10 False\n"


def test_orphans_come_to_a_subreaper() -> None:
    assert alone(
        "process.become_subreaper()\n"
        "os.posix_spawn('/bin/sh', ['sh', '-c', '(sleep 0.1; exit 5) & exit 3'], os.environ)\n"
        "print([os.waitstatus_to_exitcode(os.wait()[1]) for _ in range(2)])"
    ) == "[3, 5]\n"
