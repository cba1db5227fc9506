"""Real daemons: started from a configuration in the test's directory, asked over their control socket, always ended."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from sdsuper.client import Client
from tests.conftest import Wait
from tests.ways import open_ways

ROOT = Path(__file__).parents[2]
#: For programs of the tests: without site, so that it starts at once and is not measured.
PYTHON = "/usr/bin/python3 -SE"

Status = dict[str, Any]


class Daemon:
    """One daemon and the directory it has everything in."""

    def __init__(self, directory: Path, wait: Wait) -> None:
        self.directory, self._wait = directory, wait
        self.config = directory / "sdsuper.conf"
        self.socket = directory / "control"
        self.main: dict[str, str] = {
            "logfile": str(directory / "daemon.log"), "pidfile": str(directory / "daemon.pid"),
            "childlogdir": str(directory), "control_socket": str(self.socket),
        }
        self.process: subprocess.Popen[bytes]
        self.pid = 0
        self.status_at_end = 0      # another exit status that is no trouble
        self._clients: list[Client] = []
        self._asking: Client | None = None

    # ---- beginning and ending -------------------------------------------------------------------------------------

    def write(self, programs: str) -> None:
        """Write the configuration: [supervisord] from `main`, then `programs`, where {dir} is the directory."""
        head = "".join(f"{key}={value}\n" for key, value in self.main.items())
        self.config.write_text(f"[supervisord]\n{head}\n" + programs.replace("{dir}", str(self.directory))
                               .replace("{python}", PYTHON))

    def launch(self, args: Sequence[str], environment: Mapping[str, str], before: Sequence[str], out: Any) -> None:
        """Start the daemon; `before` is a command that runs it."""
        with open(self.directory / "stdout", "ab") as stdout, open(self.directory / "stderr", "ab") as stderr:
            self.process = subprocess.Popen(
                [*before, sys.executable, "-m", "sdsuper", "-c", str(self.config), *args], cwd=self.directory,
                stdin=subprocess.DEVNULL, stdout=stdout if out is None else out, stderr=stderr,
                env={**os.environ, "PYTHONPATH": str(ROOT), "STATE_DIRECTORY": str(self.directory), **environment})
        self.pid = self.process.pid

    def answers(self) -> bool:
        """Whether the control socket does."""
        try:
            return bool(self.call("GetState"))
        except OSError:
            assert self.process.poll() in (None, 0), f"the daemon did not start: {self.stderr}"
            return False

    def stop(self) -> int:
        """End it in the ordinary way, if it still runs; returns its exit status."""
        self.close_clients()
        if self.process.poll() is None:
            self.signal(signal.SIGTERM)
        return self.process.wait(15)

    def close_clients(self) -> None:
        """Give the test's own descriptors back."""
        for client in self._clients:
            client.close()
        self._clients, self._asking = [], None

    def signal(self, number: int) -> None:
        """Signal the daemon."""
        os.kill(self.pid, number)

    # ---- asking ---------------------------------------------------------------------------------------------------

    def client(self) -> Client:
        """A new connection."""
        client = Client(str(self.socket), timeout=20)
        self._clients.append(client)
        return client

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One call over the test's own connection."""
        if self._asking is None:
            self._asking = self.client()
        return self._asking.call(method, **parameters)

    def result(self, method: str, name: str, **parameters: Any) -> tuple[str, str]:
        """Fault and description of a command for one process."""
        (found,) = self.call(method, name=name, **parameters)["results"]
        return found["fault"], found["description"]

    def faults(self, method: str, name: str, **parameters: Any) -> dict[str, str]:
        """The faults of a command by process."""
        return {r["name"]: r["fault"] for r in self.call(method, name=name, **parameters)["results"]}

    def processes(self, name: str = "all") -> dict[str, Status]:
        """The processes by name."""
        return {process["name"]: process for process in self.call("List", name=name)["processes"]}

    def status(self, name: str) -> Status:
        """One process."""
        (found,) = self.call("List", name=name)["processes"]
        assert isinstance(found, dict)
        return found

    def pids(self) -> dict[str, int]:
        """The pids of all processes."""
        return {name: process["pid"] for name, process in self.processes().items()}

    def wait(self, condition: Callable[[], object], what: str = "", limit: float = 15.0) -> None:
        """Wait until it is so; a test that waits in vain shows the log."""
        try:
            self._wait(condition, what, limit)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.log[-3000:]}{self.stderr[-2000:]}") from None

    def wait_state(self, name: str, *states: str, limit: float = 15.0) -> Status:
        """Wait until a process is in one of the states."""
        self.wait(lambda: self.status(name)["state"] in states, f"{name} is {' or '.join(states)}", limit)
        return self.status(name)

    def wait_log(self, text: str, count: int = 1) -> None:
        """Wait for a text in the daemon's log."""
        self.wait(lambda: self.log.count(text) >= count, f"{text!r} in the log")

    @property
    def log(self) -> str:
        """The daemon's log."""
        path = self.directory / "daemon.log"
        return path.read_text() if path.exists() else ""

    @property
    def messages(self) -> list[str]:
        """The lines of the log without their times."""
        return [line.partition(" ")[2].partition(" ")[2] for line in self.log.splitlines()]

    @property
    def spawned(self) -> list[str]:
        """The processes in the order in which they were started."""
        return re.findall(r"spawned: '(.*?)' with pid", self.log)

    @property
    def stderr(self) -> str:
        """What the daemon wrote there."""
        return (self.directory / "stderr").read_text()

    def text(self, name: str) -> str:
        """A file of the directory; empty as long as it is not there."""
        path = self.directory / name
        return path.read_text(errors="replace") if path.exists() else ""

    def json(self, name: str) -> Any:
        """A file of the directory that a program writes; waits for it."""
        import json

        self.wait(lambda: self.text(name).endswith("\n"), f"{name} is written")
        return json.loads(self.text(name))


Start = Callable[..., Daemon]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """The test's directory, which everybody may enter."""
    return open_ways(tmp_path)


@pytest.fixture
def start(directory: Path, wait_for: Wait, nothing_left_behind: None) -> Iterator[Start]:
    """`start(programs, *args, main={…}, environment={…})`: a daemon in the foreground that answers."""
    daemons: list[Daemon] = []

    def begin(programs: str = "", *args: str, main: Mapping[str, str | None] | None = None,
              environment: Mapping[str, str] | None = None, before: Sequence[str] = (), place: str = "",
              foreground: bool = True, ready: bool = True, out: Any = None) -> Daemon:
        home = directory / place
        home.mkdir(exist_ok=True)
        daemon = Daemon(home, wait_for)
        daemon.main.update({key: value for key, value in (main or {}).items() if value is not None})
        for key in [key for key, value in (main or {}).items() if value is None]:
            del daemon.main[key]
        daemon.write(programs)
        daemon.launch(["-n", *args] if foreground else args, environment or {}, before, out)
        daemons.append(daemon)
        if ready:
            daemon.wait(daemon.answers, "the control socket answers")
        return daemon

    yield begin
    trouble = []
    for daemon in reversed(daemons):
        try:
            code = daemon.stop()
        except subprocess.TimeoutExpired:
            daemon.process.kill()
            code = daemon.process.wait()
        if code not in (0, 2, daemon.status_at_end):
            trouble.append(f"exit status {code}: {daemon.stderr}")
        if "unexpected error" in daemon.log + daemon.stderr or "Traceback" in daemon.stderr:
            trouble.append(daemon.log[-5000:] + daemon.stderr)
    assert not trouble, "\n".join(trouble)


@pytest.fixture(params=["auto", "off"])
def tracking(request: pytest.FixtureRequest) -> dict[str, str]:
    """`main=` for both ways of keeping a program's processes together."""
    return {"cgroup": request.param}
