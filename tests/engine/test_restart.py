"""Starting again, with real processes: the examples of docs/restart.md as they stand there, limits, and a machine that
lacks descriptors or processes."""

import errno
import os
import pwd
import re
import resource
import subprocess
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from sdsuper.engine.launching import failure, lacks
from tests.core.story import policy
from tests.engine.conftest import ROOT, Daemon, Start, Status

#: Says when it started, on a clock that nobody sets: in seconds, to the hundredth.
STAMP = "read up rest </proc/uptime; echo $up >>{dir}/times"


def example(title: str, command: str, more: str = "") -> str:
    """The example of the page below a title, with a command for its own."""
    page = (ROOT / "docs" / "restart.md").read_text(encoding="utf-8")
    (text,) = re.findall(r"\*\*" + re.escape(title) + r".*?```ini\n(.*?)```", page, re.DOTALL)
    return re.sub(r"(?m)^command = .*$", lambda _line: f"command = sh -c '{STAMP}; {command}'", text) + more


def pauses(daemon: Daemon) -> list[float]:
    """Seconds between the starts."""
    times = [float(line) for line in daemon.text("times").split()]
    return [after - before for before, after in pairwise(times)]


def starts(daemon: Daemon) -> int:
    return len(daemon.text("times").split())


# ---- the four examples --------------------------------------------------------------------------------------------

def test_a_short_job_is_tried_again_three_times_then_given_up(start: Start) -> None:
    daemon = start(example("A short job that is tried again three times", "exit 1"))
    waiting = daemon.wait_state("job", "BACKOFF")
    assert re.fullmatch(r"Bad exit code 1; retry [123] of 3 at \d\d:\d\d:\d\d", waiting["description"])
    fatal = daemon.wait_state("job", "FATAL", limit=30)
    assert (fatal["run"], fatal["goal"], fatal["description"]) == (4, "down", "Bad exit code 1")
    found = pauses(daemon)
    assert len(found) == 3 and all(pause > least - 0.05 for pause, least in zip(found, (1, 2, 3), strict=True))
    assert daemon.log.count("success: job entered RUNNING state") == 4, "with startsecs=0 each run was one"
    assert daemon.log.count("exited: job (exit status 1; not expected)") == 4


def test_a_short_job_that_succeeds_is_done(start: Start) -> None:
    daemon = start(example("A short job that is tried again three times", "exit 0"))
    done = daemon.wait_state("job", "EXITED")
    assert (done["run"], done["exitstatus"], done["spawnerr"]) == (1, 0, "")


def test_a_short_job_is_tried_until_it_succeeds(start: Start) -> None:
    command = "test $(wc -l <{dir}/times) -ge 6"
    daemon = start(example("A short job that is tried until", command, "backoff_max = 1\n"))
    assert re.search(r"; retry \d at \d", daemon.wait_state("job", "BACKOFF")["description"])
    done = daemon.wait_state("job", "EXITED", limit=30)
    assert (done["run"], done["exitstatus"]) == (6, 0), "more tries than Supervisor's startretries would allow"
    assert min(pauses(daemon)) > 0.95


def test_a_resident_program_is_started_for_ever(start: Start) -> None:
    # ends with 0, with 1, by a signal, by turns
    command = "case $(($(wc -l <{dir}/times) %% 3)) in 0) exit 0;; 1) exit 1;; 2) kill -9 $$;; esac"
    daemon = start(example("A resident program that is started for ever", command, "backoff_max = 1\n"))
    daemon.wait(lambda: starts(daemon) >= 7, "a seventh start", limit=40)
    assert "gave up" not in daemon.log and min(pauses(daemon)) > 0.95
    assert daemon.status("web")["goal"] == "up"


def test_a_resident_program_that_has_run_is_started_at_once(start: Start) -> None:
    daemon = start(example("A resident program that is started for ever", "exec sleep 1000", "startsecs = 0\n"))
    for run in range(1, 9):
        daemon.wait(lambda run=run: daemon.status("web")["run"] == run, f"run {run}")
        daemon.wait(lambda run=run: starts(daemon) == run, "it says so")
        daemon.result("Signal", "web", signal="TERM")
    daemon.wait(lambda: daemon.status("web")["run"] == 9, "run 9")
    assert "BACKOFF" not in daemon.log and "gave up" not in daemon.log


def test_a_resident_program_is_started_again_three_times_in_all(start: Start) -> None:
    daemon = start(example("A resident program that is started again three times", "exec sleep 1.2"))
    fatal = daemon.wait_state("web", "FATAL", limit=40)
    assert (fatal["run"], fatal["spawnerr"]) == (4, "restart_limit=3 is used up")
    daemon.wait_log("gave up: web entered FATAL state, restart_limit=3 is used up")
    assert starts(daemon) == 4
    assert daemon.result("Start", "web")[0] == "SUCCESS", "it begins anew"
    daemon.wait(lambda: starts(daemon) == 6, "it starts again by itself")


# ---- limits and pauses --------------------------------------------------------------------------------------------

LOOP = f"[program:web]\ncommand=sh -c '{STAMP}; exit 3'\nautorestart=true\nstartsecs=0\n"


def test_a_limit_ends_a_loop(start: Start) -> None:
    daemon = start(LOOP + "restart_limit=20/1h\n")
    fatal = daemon.wait_state("web", "FATAL")
    assert (fatal["run"], fatal["description"]) == (21, "restart_limit=20/3600s is used up; Bad exit code 3")
    assert starts(daemon) == 21


def test_a_limit_may_leave_it_as_it_ended(start: Start) -> None:
    daemon = start(LOOP + "restart_limit=5\nrestart_limit_action=stop\n")
    daemon.wait_log("gave up: web stays down, restart_limit=5 is used up")
    ended = daemon.status("web")
    assert (ended["state"], ended["run"], ended["exitstatus"], ended["goal"]) == ("EXITED", 6, 3, "down")


def test_a_limit_may_make_it_wait(start: Start) -> None:
    daemon = start(LOOP + "restart_limit=2/4s\nrestart_limit_action=wait\n")
    waiting = daemon.wait_state("web", "BACKOFF")
    assert re.fullmatch(r"Bad exit code 3; restart_limit=2/4s allows the next start at \d\d:\d\d:\d\d",
                        waiting["description"])
    daemon.wait(lambda: starts(daemon) >= 6, "it goes on", limit=40)
    times = [float(line) for line in daemon.text("times").split()][1:]      # the first was asked for
    # a program may say late that it has started; without the limit all would be within a few hundredths
    assert all(third - first > 2 for first, third in zip(times, times[2:], strict=False))


def test_pauses_are_kept_and_multiplied(start: Start) -> None:
    daemon = start(LOOP + "startretries=3\nrestartpause=1\nbackoff_factor=1.5\nbackoff_max=2\nbackoff_reset=60\n")
    daemon.wait_state("web", "FATAL", limit=30)
    found = pauses(daemon)
    assert len(found) == 3 and all(pause > least - 0.05 for pause, least in zip(found, (1, 1.5, 2), strict=True))


def test_a_new_policy_holds_from_the_next_end_on(start: Start) -> None:
    daemon = start(LOOP + "backoff_reset=unlimited\nstartretries=unlimited\nbackoff_max=1\n")
    daemon.wait(lambda: starts(daemon) >= 2, "a second start")
    daemon.write(LOOP + "backoff_reset=unlimited\nstartretries=0\n")
    daemon.call("Update")
    assert daemon.wait_state("web", "FATAL")["spawnerr"] == "Bad exit code 3"


# ---- what is not the program's fault ------------------------------------------------------------------------------

NO_FAULT = r"; no fault of the program: retried until it works, next at \d\d:\d\d:\d\d"


def waiting_for_the_machine(daemon: Daemon, name: str, runs: int, reason: str) -> Status:
    """Wait until more starts have failed than `startretries` allows; the process must not be given up."""
    daemon.wait(lambda: daemon.status(name)["run"] >= runs, f"run {runs}", limit=40)
    status = daemon.wait_state(name, "BACKOFF")
    assert re.fullmatch(reason + NO_FAULT, status["description"]), status["description"]
    assert (status["goal"], "gave up" in daemon.log) == ("up", False)
    return status


@pytest.mark.parametrize(("hook", "where"), [("", ""), ("pre_start_hook=true\n", "pre_start_hook: ")])
def test_no_descriptors(start: Start, hook: str, where: str) -> None:
    daemon = start(f"[program:web]\ncommand=sleep 1000\nstartretries=0\nautostart=false\n{hook}")
    most = resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE)
    highest = max(int(name) for name in os.listdir(f"/proc/{daemon.pid}/fd"))
    resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, (highest + 1, most[1]))
    assert daemon.result("Start", "web") == ("SPAWN_ERROR", f"{where}too many open files to spawn 'web'")
    waiting_for_the_machine(daemon, "web", 3, f"{where}too many open files to spawn 'web'")
    resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, most)
    daemon.wait_state("web", "RUNNING", limit=25)
    assert daemon.log.count("web is tried again until the machine has what it needs") == 1


@pytest.mark.root
def test_no_processes_for_an_unprivileged_daemon(start: Start, directory: Path) -> None:
    uid = 60_000 + os.getpid() % 5000       # whose processes are all its own: the kernel counts them by account
    account = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups"]
    (directory / "home").mkdir()
    os.chown(directory / "home", uid, uid)
    daemon = start("[program:web]\ncommand=sleep 1000\nstartretries=1\nautostart=false\nnumprocs=3\n"
                   "process_name=w%(process_num)d\n", place="home", main={"minprocs": "1", "minfds": "64"},
                   before=account)

    def allow(processes: str) -> None:
        subprocess.run([*account, "prlimit", f"--pid={daemon.pid}", f"--nproc={processes}:"], check=True, timeout=20)

    most = re.findall(r"Max processes +(\S+)", Path(f"/proc/{daemon.pid}/limits").read_text())[0]
    allow("2")
    assert daemon.result("Start", "web:w0")[0] == "SUCCESS"
    daemon.faults("Start", "web:*", wait=False)
    for name in ("w1", "w2"):
        waiting_for_the_machine(daemon, f"web:{name}", 3, f"Too many processes in process table to spawn '{name}'")
    allow(most)
    for name in ("w1", "w2"):
        daemon.wait_state(f"web:{name}", "RUNNING", limit=25)


@pytest.fixture
def account() -> str:
    """An account that nobody is using."""
    def used() -> Iterator[int]:
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    yield entry.stat().st_uid
                except OSError:
                    continue
    busy = set(used())
    return next(one.pw_name for one in pwd.getpwall() if 0 < one.pw_uid < 1000 and one.pw_uid not in busy)


@pytest.mark.root
@pytest.mark.parametrize(("startsecs", "hook", "what"), [
    (0, "", "executing /bin/sleep"), (1, "", "executing /bin/sleep"),
    (1, "pre_start_hook=/bin/true", "pre_start_hook: cannot start /bin/true: executing /bin/true"),
])
def test_no_processes_for_a_programs_account(start: Start, account: str, startsecs: int, hook: str, what: str) -> None:
    common = f"command=/bin/sleep 1000\nuser={account}\nautorestart=false\nstartsecs={startsecs}\nstartretries=0\n"
    daemon = start(f"[program:first]\n{common}numprocs=2\nprocess_name=p%(process_num)d\n"
                   f"[program:second]\n{common}autostart=false\nrlimit_nproc=1\n{hook}\n")
    for name in ("p0", "p1"):
        daemon.wait_state(f"first:{name}", "RUNNING")
    daemon.result("Start", "second", wait=False)
    waiting_for_the_machine(daemon, "second", 3, f"{what}: Resource temporarily unavailable")
    assert set(daemon.faults("Stop", "first:*").values()) == {"SUCCESS"}
    daemon.wait_state("second", "RUNNING", limit=25)


def test_a_limit_of_the_programs_own_is_its_own_fault(start: Start) -> None:
    daemon = start("[program:web]\ncommand=/bin/sleep 1000\nrlimit_as=4096\nrlimit_nofile=4\nstartretries=0\n")
    assert daemon.wait_state("web", "FATAL")["run"] == 1


def test_the_daemon_ends_while_it_waits(start: Start) -> None:
    daemon = start("[program:web]\ncommand=sleep 1000\nautostart=false\n" + LOOP.replace("web", "loop")
                   + "startretries=unlimited\nbackoff_reset=unlimited\n")
    most = resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE)
    highest = max(int(name) for name in os.listdir(f"/proc/{daemon.pid}/fd"))
    daemon.wait_state("loop", "BACKOFF")
    resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, (highest + 1, most[1]))
    daemon.result("Start", "web")
    daemon.wait_state("web", "BACKOFF")
    resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, most)
    assert daemon.stop() == 0


@pytest.mark.parametrize(("number", "rlimits", "lack"), [
    (errno.EAGAIN, (), True), (errno.ENOMEM, (), True), (errno.EMFILE, (), True), (errno.ENFILE, (), True),
    (errno.EAGAIN, (("nproc", 1, 1),), True), (errno.ENOMEM, (("nofile", 9, 9),), True),
    (errno.ENOMEM, (("core", 0, 0), ("as", 1, 1)), False), (errno.EMFILE, (("nofile", 3, 3),), False),
    (errno.ENOENT, (), False), (errno.EACCES, (), False), (errno.ENOSPC, (), False),
])
def test_which_failures_of_a_launch_are_no_fault_of_the_program(
        number: int, rlimits: tuple[tuple[str, int, int], ...], lack: bool) -> None:
    assert lacks(policy(rlimits=rlimits), number) is lack


@pytest.mark.parametrize(("error", "text", "lack"), [
    (OSError(errno.EMFILE, "x", "/var/log/x"), "too many open files to spawn 'web'", True),
    (OSError(errno.ENFILE, "x"), "too many open files to spawn 'web'", True),
    (OSError(errno.EAGAIN, "x"), "Too many processes in process table to spawn 'web'", True),
    (OSError(errno.ENOMEM, "x"), "unknown error during fork for 'web': ENOMEM", True),
    (OSError(errno.EACCES, "Permission denied", "/x"), "cannot open /x: Permission denied", False),
    (OSError(errno.EPERM, "x"), "unknown error during fork for 'web': EPERM", False),
    (ValueError("embedded null byte"), "embedded null byte", False),
])
def test_which_failures_to_make_a_child_are_no_fault_of_the_program(
        error: OSError | ValueError, text: str, lack: bool) -> None:
    found = failure("web", error)
    assert (str(found), found.lack) == (text, lack)
