"""Errands: real commands for a program in a real engine; what they get, how they end, and that nothing stays."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from sdsuper.config.load import load
from sdsuper.core.slot import Slot
from sdsuper.core.vocabulary import Exit
from sdsuper.engine.errands import AT_ONCE, Errand, ErrandResult, Errands
from sdsuper.engine.launching import Surroundings
from sdsuper.engine.outputs import Outputs
from sdsuper.engine.resources import Resources
from sdsuper.engine.supervise import Engine
from sdsuper.engine.trees import Trees
from sdsuper.logs.journal import Journal
from sdsuper.logs.main import MainLog
from sdsuper.logs.sinks import ConsoleSink, Sink
from sdsuper.system.cgroup import CgroupTree
from sdsuper.system.host import RealHost
from sdsuper.system.loop import Loop
from sdsuper.system.process import Launcher
from tests.looping import fresh_loop, turn_until

pytestmark = pytest.mark.root
LIVES = "60"        # seconds that somebody sleeps who is to be killed


class Lines(Sink):
    """The engine's log."""

    def __init__(self) -> None:
        super().__init__(print)
        self.text = ""

    def write(self, data: memoryview) -> None:
        self.text += bytes(data).decode()


class House:
    """An engine with one program, and its errands."""

    def __init__(self, loop: Loop, directory: Path, cgroups: CgroupTree | None, options: str) -> None:
        config = directory / "errands.conf"
        config.write_text(f"[supervisord]\n[program:web]\n{options}\n" +
                          ("" if "command=" in options else "command=/bin/true\n"))
        self.loop, self.directory, self.cgroups = loop, directory, cgroups
        self.log = MainLog("debug")
        self.lines = Lines()
        self.log.sinks = [self.lines]
        trees = Trees(loop, cgroups, f"errands-{os.getpid()}-{time.monotonic_ns()}")
        outputs = Outputs(str(directory), "errands", _no_console, Journal(), self.log.write)
        environment = {"SUPERVISOR_ENABLED": "1", **{name: os.environ[name] for name in ("PATH", "SDSUPER_TESTS")}}
        self.engine = Engine(loop, self.log, Launcher(), trees, outputs, Resources(loop, cgroups, self.log),
                             Surroundings(environment, None, (), False))
        model = load(str(config), RealHost())
        self.engine.roster.set_group(model.groups[0])
        (self.slot,) = self.engine.roster.members("web")
        self.errands = Errands(self.engine)

    def run(self, command: str, seconds: float = 60, extra: Mapping[str, str] | None = None) -> ErrandResult:
        """The result of an errand."""
        results: list[ErrandResult] = []
        self.errands.run(self.slot, command, seconds, results.append, extra)
        assert not results, "told within the call"
        self.until(lambda: results, "the result")
        return results[0]

    def shell(self, text: str, **more: float) -> ErrandResult:
        """The result of a shell's."""
        script = self.directory / "errand.sh"
        script.write_text(text)
        return self.run(f"/bin/sh {script}", **more)

    def begin(self, command: str, seconds: float = 60) -> tuple[Errand, list[ErrandResult]]:
        """An errand that is under way, and where its result will be."""
        results: list[ErrandResult] = []
        return self.errands.run(self.slot, command, seconds, results.append), results

    def until(self, condition: Callable[[], object], what: str = "") -> None:
        turn_until(self.loop, condition, what)

    def pid(self, name: str) -> int:
        """What a script has written into a file of this name."""
        path = self.directory / name
        self.until(lambda: path.exists() and path.read_text().endswith("\n"), f"{name} is written")
        return int(path.read_text())

    def gone(self, pid: int) -> bool:
        try:
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
        except OSError:
            return True

    def trees(self) -> list[str]:
        """The cgroups of errands that are there."""
        if self.cgroups is None:
            return []
        return [entry for entry in os.listdir(self.cgroups.directory) if entry.startswith("web:web.")]


def _no_console(path: str) -> ConsoleSink:
    raise AssertionError(path)


MakeHouse = Callable[..., House]


@pytest.fixture(params=["auto", "off"])
def house(request: pytest.FixtureRequest, directory: Path, nothing_left_behind: None) -> Iterator[MakeHouse]:
    """`house(options)`: with cgroups and without."""
    made: list[House] = []
    with fresh_loop() as loop:

        def make(options: str = "") -> House:
            cgroups = CgroupTree.find(request.param, "errands", str(directory))
            made.append(House(loop, directory, cgroups, options))
            return made[-1]

        yield make
        for each in made:
            each.engine.close()


# ---- what it gets -------------------------------------------------------------------------------------------------

def test_it_has_what_the_program_has(house: MakeHouse, directory: Path) -> None:
    (directory / "in").mkdir()
    home = house(f"user=nobody\ndirectory={directory}/in\numask=027\nnice=7\nrlimit_nofile=77\n"
                 "environment=COLOUR=\"blue\",WHICH=\"program\"")
    found = home.shell("id -un; pwd; umask; nice; ulimit -n; echo $COLOUR $WHICH $SUPERVISOR_PROCESS_NAME "
                       "$SUPERVISOR_GROUP_NAME $SUPERVISOR_ENABLED; readlink /proc/self/fd/0\n")
    assert found.ok and found.exit == Exit(0) and found.reason == ""
    assert found.output.splitlines() == \
        ["nobody", f"{directory}/in", "0027", "7", "77", "blue program web web 1", "/dev/null"]


def test_more_environment_wins(house: MakeHouse) -> None:
    home = house("environment=WHICH=\"program\"")
    found = home.run("/usr/bin/printenv WHICH REASON", extra={"WHICH": "errand", "REASON": "a file has changed"})
    assert found.output == "errand\na file has changed\n"


def test_the_command_is_found_in_the_programs_path_and_no_shell_sees_it(house: MakeHouse, directory: Path) -> None:
    (directory / "tool").write_text("#!/bin/sh\nprintf '%s|' \"$@\"\n")
    (directory / "tool").chmod(0o755)
    home = house(f"environment=PATH=\"{directory}:/usr/bin:/bin\"")
    assert home.run("tool '$HOME and more' ; *").output == "$HOME and more|;|*|"


def test_it_has_the_sandbox_of_the_program(house: MakeHouse) -> None:
    home = house("no_new_privs=true\nuser=nobody")
    assert "NoNewPrivs:\t1" in home.run("grep NoNewPrivs /proc/self/status").output


def test_credentials_are_given_and_taken_back(house: MakeHouse, directory: Path) -> None:
    (directory / "secret").write_text("opensesame")
    home = house(f"credential=key:{directory}/secret")
    found = home.shell("cat $CREDENTIALS_DIRECTORY/key; echo; echo $CREDENTIALS_DIRECTORY\n")
    assert found.ok
    secret, place = found.output.splitlines()
    assert secret == "opensesame"
    home.until(lambda: not os.path.exists(place), "the credentials are gone")


# ---- how it ends --------------------------------------------------------------------------------------------------

@pytest.mark.parametrize(("command", "exit", "reason"), [
    ("/bin/sh -c 'exit 3'", Exit(3), "exit status 3"),
    ("/bin/sh -c 'kill -TERM $$'", Exit(-1, signal.SIGTERM), "terminated by SIGTERM"),
    ("/nowhere/x", None, "can't find command '/nowhere/x'"),
    ("/etc/passwd", None, "command at '/etc/passwd' is not executable"),
    ("'", None, "can't parse command \"'\": No closing quotation"),
    ("", None, "command is empty"),
])
def test_reasons(house: MakeHouse, command: str, exit: Exit | None, reason: str) -> None:
    home = house()
    found = home.run(command)
    assert (found.exit, found.ok) == (exit, False)
    assert found.reason == reason or (command == "'" and found.reason.startswith("can't parse command"))
    assert not home.errands.busy(home.slot.key)


def test_why_it_could_not_begin(house: MakeHouse, directory: Path) -> None:
    home = house(f"directory={directory}/nowhere")
    assert home.run("/bin/true").reason == \
        f"cannot start /bin/true: changing directory to {directory}/nowhere: No such file or directory"
    assert "nowhere" not in home.lines.text       # whoever asked for it says what is to be said


def test_too_long(house: MakeHouse) -> None:
    home = house()
    found = home.shell(f"echo $$ > {home.directory}/first; setsid sleep {LIVES} & echo $! > {home.directory}/second\n"
                       f"echo working; sleep {LIVES}\n", seconds=1.5)
    assert found == ErrandResult(None, "took longer than 1.5 seconds", "working\n")
    home.until(lambda: home.gone(home.pid("first")) and home.gone(home.pid("second")), "all are gone")
    home.until(lambda: not home.trees(), "its cgroup is gone")


def test_cancelled(house: MakeHouse) -> None:
    home = house()
    errand, results = home.begin(f"/bin/sleep {LIVES}")
    assert home.errands.busy(("web", "web")) and not home.errands.busy(("web", "other"))
    errand.cancel()
    errand.cancel()
    assert not results
    home.until(lambda: results, "the result")
    home.loop.turn(False)
    assert results == [ErrandResult(None, "cancelled", "")]
    assert not home.errands.busy(("web", "web"))
    errand.cancel()
    home.loop.turn(False)
    assert len(results) == 1


def test_whoever_is_left_is_killed_and_holds_up_nobody(house: MakeHouse) -> None:
    home = house()
    found = home.shell(f"setsid sh -c 'echo $$ > {home.directory}/left; exec sleep {LIVES}' & \n"
                       f"while ! [ -s {home.directory}/left ]; do :; done; echo done\n")
    assert found.ok and found.output == "done\n"         # although the pipe is held
    home.until(lambda: home.gone(home.pid("left")), "who was left behind is gone")
    home.until(lambda: not home.trees(), "its cgroup is gone")


def test_the_program_is_not_touched(house: MakeHouse) -> None:
    from sdsuper.core.vocabulary import Start, State, Stop
    home = house(f"command=/bin/sleep {LIVES}\nstartsecs=0\nkillasgroup=true")
    home.engine.submit(home.slot, Start())
    home.until(lambda: home.slot.process.state is State.RUNNING, "the program runs")
    pid = home.slot.process.pid
    errand, results = home.begin(f"/bin/sleep {LIVES}")
    assert home.run("/bin/true").ok
    errand.cancel()
    home.until(lambda: results, "the errand is cancelled")
    assert home.slot.process.state is State.RUNNING and home.slot.process.pid == pid and not home.gone(pid)
    home.engine.submit(home.slot, Stop())
    home.until(lambda: home.slot.process.state is State.STOPPED, "the program is stopped")


def test_output_is_kept_to_its_end_and_told_at_debug_level(house: MakeHouse) -> None:
    home = house()
    found = home.shell("i=0; while [ $i -lt 30000 ]; do echo line $i; i=$((i+1)); done\n"
                       "echo error >&2; printf '\\377last'\n")
    assert found.ok and len(found.output.encode()) <= 4096 + 8
    assert found.output.endswith("line 29999\nerror\n\ufffdlast")
    home.log.flush()
    assert home.lines.text.count("DEBG web: /bin/sh: line ") == 30000
    assert "DEBG web: /bin/sh: \\xfflast\n" in home.lines.text


def test_arguments_are_told_to_nobody(house: MakeHouse) -> None:
    home = house()
    assert not home.run("/bin/false --password=opensesame").ok
    assert "opensesame" not in home.run("/nowhere/x --password=opensesame").reason
    home.log.flush()
    assert "opensesame" not in home.lines.text


def test_so_many_at_once(house: MakeHouse) -> None:
    home = house()
    under_way = [home.begin(f"/bin/sleep {LIVES}") for _ in range(AT_ONCE)]
    assert home.run("/bin/true").reason == f"{AT_ONCE} of its errands are under way already"
    for errand, _results in under_way:
        errand.cancel()
    home.until(lambda: all(results for _errand, results in under_way), "all have ended")
    assert home.run("/bin/true").ok


def test_a_mistake_in_done_is_no_matter(house: MakeHouse) -> None:
    home = house()
    errors: list[Exception] = []
    home.loop.on_error = errors.append

    def broken(_result: ErrandResult) -> None:
        raise ValueError("mistake")

    home.errands.run(home.slot, "/bin/true", 60, broken)
    home.until(lambda: errors, "the mistake is told")
    assert home.run("/bin/true").ok and len(errors) == 1


def test_the_end_of_the_daemon_is_that_of_its_errands(house: MakeHouse) -> None:
    home = house()
    _errand, results = home.begin(f"/bin/sh -c 'sleep {LIVES} & sleep {LIVES}'")
    home.errands.close()
    assert not home.errands.busy(home.slot.key)
    home.loop.turn(False)
    assert not results


def test_no_descriptor_and_no_process_is_left_by_many(house: MakeHouse) -> None:
    home = house()
    assert home.run("/bin/true").ok
    before, threads = sorted(os.listdir("/proc/self/fd")), threading.active_count()
    for number in range(20):
        assert home.run("/bin/true" if number % 2 else "/nowhere").ok is bool(number % 2)
    home.until(lambda: not home.trees(), "their cgroups are gone")
    assert sorted(os.listdir("/proc/self/fd")) == before and threading.active_count() == threads


def test_slot_is_the_callers(house: MakeHouse) -> None:
    home = house()
    before: tuple[Slot, object] = home.slot, home.slot.process
    assert home.run("/bin/true").ok
    assert (home.slot, home.slot.process) == before and len(home.engine.roster) == 1
