"""What holds for every test: nothing is left behind.

After each test: no child, no descriptor and no cgroup more than before, and no process anywhere that has this run's
mark in its environment, however it has detached itself. Looking does not reap.
"""

import os
import secrets
import signal
import stat
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sdsuper.system.cgroup import own_directories

#: In the environment of everything that the tests start.
MARK = f"SDSUPER_TESTS={os.getpid()}-{secrets.token_hex(4)}"
ROOT = Path(__file__).parent.parent
PATIENCE = 10.0     # seconds that a test's last processes have to go away

Wait = Callable[..., None]


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "root: needs to be root, which CI is")
    name, _, value = MARK.partition("=")
    os.environ[name] = value
    signal.signal(signal.SIGINT, signal.default_int_handler)    # a shell's job in the background ignores it, and so
                                                                # would all that the tests start


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if os.geteuid() != 0:
        for item in items:
            if item.get_closest_marker("root"):
                item.add_marker(pytest.mark.skip(reason="needs to be root"))


@pytest.fixture(scope="session", autouse=True)
def checkout_that_others_can_read() -> Iterator[None]:
    """The HTTP face is another account: it has to get into a checkout of root's. The ways above it are closed again."""
    opened: list[tuple[Path, int]] = []
    if os.geteuid() == 0:
        subprocess.run(["chmod", "-R", "o+rX", ROOT / "sdsuper", ROOT / ".venv"], check=False)
        for path in (ROOT, *ROOT.parents):
            mode, needed = stat.S_IMODE(path.stat().st_mode), 0o005 if path == ROOT else 0o001
            if mode & needed != needed:
                opened.append((path, mode))
                path.chmod(mode | needed)
    yield
    for path, mode in opened:
        path.chmod(mode)


@pytest.fixture
def wait_for() -> Wait:
    """`wait_for(condition, what)`: look again and again until `condition()` is true, and fail if it takes too long."""

    def wait(condition: Callable[[], object], what: str = "", limit: float = 20.0) -> None:
        end = time.monotonic() + limit
        while not condition():
            assert time.monotonic() < end, f"waited {limit:g} s in vain: {what or condition}"
            time.sleep(0.005)

    return wait


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Iterator[None]:
    descriptors, cgroups, processes = _descriptors(), _cgroups(), set(_marked())
    yield
    end = time.monotonic() + PATIENCE
    while (left := _left(descriptors, cgroups, processes)) and time.monotonic() < end:
        time.sleep(0.01)
    _end(set(_marked()) - processes)
    assert not left, "left behind: " + "; ".join(left)


def _left(descriptors: dict[int, str], cgroups: set[str], processes: set[int]) -> list[str]:
    left = [f"process {pid} ({_command(pid)})" for pid in sorted(set(_marked()) - processes)]
    left += [f"child {pid} ({_command(pid)}), not reaped" for pid in _children() if pid not in processes]
    now = _descriptors()
    if len(now) > len(descriptors):
        left += [f"descriptor {fd} ({now[fd]})" for fd in sorted(now.keys() - descriptors.keys())]
    return left + [f"cgroup {path}" for path in sorted(_cgroups() - cgroups)]


def _children() -> list[int]:
    """One of the children that have ended (seen without reaping it), and those that live."""
    try:
        ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT | os.WNOHANG)
    except ChildProcessError:
        return []
    living = [int(pid) for task in Path("/proc/self/task").iterdir() for pid in (task / "children").read_text().split()]
    return sorted({*living, *([ended.si_pid] if ended else [])})


def _descriptors() -> dict[int, str]:
    found = {}
    for entry in os.listdir("/proc/self/fd"):
        try:
            found[int(entry)] = os.readlink(f"/proc/self/fd/{entry}")
        except FileNotFoundError:       # the descriptor of the listing itself
            continue
    return found


def _cgroups() -> set[str]:
    own = own_directories(Path("/proc/self/mountinfo").read_text(), Path("/proc/self/cgroup").read_text())
    return {str(path) for top in own for path in Path(top).glob("*sdsuper*")}


def _marked() -> list[int]:
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit() and int(entry) != os.getpid():
            try:
                environment = Path(f"/proc/{entry}/environ").read_bytes()
            except OSError:
                continue
            if MARK.encode() in environment:
                found.append(int(entry))
    return found


def _command(pid: int) -> str:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return "gone"
    return b" ".join(words).decode(errors="replace").strip() or "ended"


def _end(pids: set[int]) -> None:
    """A test that failed here must not make the next one fail."""
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
        try:
            os.waitpid(pid, 0)
        except ChildProcessError:
            continue
