"""sdsuper-exec: what it sets up, and that each of its stages fails once with the right report."""

import errno
import grp
import os
import re
import resource
import select
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from sdsuper.config.model import User
from sdsuper.system import process
from sdsuper.system.process import Launch, Launcher, describe, environment_block
from tests.system.conftest import write_stdin

from .conftest import NOBODY, SOURCE, X86, needs, run

Wait = Callable[..., None]
ROOT_USER = User("root", 0, 0, (0,), "/root", "/bin/sh")


def failed(ended: object) -> str:
    """The one report of a launch that failed, in words."""
    assert ended.code == 127, (ended.code, ended.output)  # type: ignore[attr-defined]
    (report,) = ended.reports  # type: ignore[attr-defined]
    assert (report.tag, report.pid) == (7, ended.pid)  # type: ignore[attr-defined]
    return describe(report, ended.launch)  # type: ignore[attr-defined]


# ---- what is set up -----------------------------------------------------------------------------------------------

def test_runs_the_program(launcher: Launcher) -> None:
    argv = ("sh", "-c", 'printf "%s|" "$0" "$@" "$A" "$B"', "x", "y z", "")
    ended = run(launcher, "", argv=argv, environment={"A": "1 2", "B": "=ü\n"})
    assert (ended.code, ended.reports) == (0, [])
    assert ended.output == "x|y z||1 2|=ü\n|"


def test_environment_is_exactly_what_was_given(launcher: Launcher) -> None:
    ended = run(launcher, "", path="/usr/bin/env", argv=("env",), environment={"ONE": "1"})
    assert ended.output == "ONE=1\n"
    ended = run(launcher, "", path="/usr/bin/env", argv=("env",),
                environment=environment_block({"B": "2"}) + environment_block({"A": "1"}))
    assert ended.output == "B=2\nA=1\n"
    assert run(launcher, "", path="/usr/bin/env", argv=("env",), environment={}).output == ""


def test_many_and_long_strings(launcher: Launcher) -> None:
    words = ["w" * 1000] * 500
    ended = run(launcher, "", path="/bin/sh", argv=("sh", "-c", "echo $#; echo ${#V}", "sh", *words),
                environment={"V": "v" * 100_000})
    assert ended.lines == ["500", "100000"]


def test_own_process_group_same_session_same_parent(launcher: Launcher) -> None:
    ended = run(launcher, "read _ _ _ parent group session _ </proc/self/stat; cut -d' ' -f4-6 /proc/$$/stat")
    assert ended.lines == [f"{os.getpid()} {ended.pid} {os.getsid(0)}"]


def test_process_group_is_there_when_spawn_returns(quick: Launcher) -> None:
    pid = quick.spawn(Launch(1, "/bin/sleep", ("sleep", "60")))
    assert os.getpgid(pid) == pid
    os.killpg(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def test_no_descriptor_is_left_open(launcher: Launcher) -> None:
    extra = [os.open("/dev/null", os.O_RDONLY) for _ in range(5)]
    for fd in extra:
        os.set_inheritable(fd, True)
    ended = run(launcher, "", path="/bin/ls", argv=("ls", "/proc/self/fd"))
    for fd in extra:
        os.close(fd)
    assert ended.lines == ["0", "1", "2", "3"]      # the last is ls's own


@pytest.mark.parametrize("stderr", [None, -1])
def test_null_and_shared_outputs(launcher: Launcher, stderr: int | None) -> None:
    ended = run(launcher, "readlink /proc/$$/fd/1 /proc/$$/fd/2", stderr=stderr)
    first, second = ended.lines
    assert second == (first if stderr == -1 else "/dev/null")


def test_null_stdout(quick: Launcher, tmp_path: Path) -> None:
    run(quick, f"x=$(readlink /proc/$$/fd/1); echo $x >{tmp_path}/out", stdout=None)
    assert (tmp_path / "out").read_text() == "/dev/null\n"


def test_signals_are_as_at_the_beginning_of_the_world(launcher: Launcher) -> None:
    assert signal.getsignal(signal.SIGPIPE) == signal.SIG_IGN       # Python's own doing
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGHUP, signal.SIGRTMIN + 3)}
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGUSR1, signal.SIGRTMAX})
    try:
        ended = run(launcher, "", path="/bin/cat", argv=("cat", "/proc/self/status"))
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for number, action in before.items():
            signal.signal(number, action)
    assert [line for line in ended.lines if line[:6] in ("SigBlk", "SigIgn", "SigCgt")] == [
        f"Sig{what}:\t{0:016x}" for what in ("Blk", "Ign", "Cgt")
    ]


def test_umask_directory_nice(launcher: Launcher, tmp_path: Path) -> None:
    ended = run(launcher, "umask; pwd; nice", umask=0o137, directory=str(tmp_path), nice=7)
    assert ended.lines == ["0137", str(tmp_path), "7"]
    ended = run(launcher, "umask; pwd; nice")
    mask = os.umask(0)
    os.umask(mask)
    assert ended.lines == [f"{mask:04o}", os.getcwd(), str(os.nice(0))]


@pytest.mark.parametrize("wanted", [False, True])
def test_no_new_privs(launcher: Launcher, wanted: bool) -> None:
    ended = run(launcher, "grep NoNewPrivs /proc/self/status", no_new_privs=wanted)
    assert ended.lines == [f"NoNewPrivs:\t{wanted:d}"]


def test_limits(launcher: Launcher) -> None:
    ended = run(launcher, "ulimit -Sn; ulimit -Hn; ulimit -Sc; ulimit -Hc",
                rlimits=((resource.RLIMIT_NOFILE, 40, 50), (resource.RLIMIT_CORE, 0, -1)))
    assert ended.lines == ["40", "50", "0", "unlimited"]


def test_a_small_nofile_is_the_programs(launcher: Launcher) -> None:
    ended = run(launcher, "ulimit -n", rlimits=((resource.RLIMIT_NOFILE, 4, 4),))
    assert ended.lines == ["4"]


@pytest.mark.root
def test_user_with_exactly_the_groups(launcher: Launcher) -> None:
    groups = tuple(sorted({65534, *(entry.gr_gid for entry in grp.getgrall()[:20])}))
    user = NOBODY._replace(groups=(*reversed(groups), groups[0]))
    ended = run(launcher, "grep -E '^(Uid|Gid|Groups|CapEff)' /proc/self/status", user=user)
    assert [line.split() for line in ended.lines] == [
        ["Uid:", *["65534"] * 4], ["Gid:", *["65534"] * 4], ["Groups:", *map(str, groups)], ["CapEff:", "0" * 16],
    ]


@pytest.mark.root
@pytest.mark.parametrize("user", [
    NOBODY._replace(groups=()), ROOT_USER._replace(gid=65534, groups=(65534,)), NOBODY._replace(gid=0, groups=(0,)),
])
def test_user_and_group_combinations(launcher: Launcher, user: User) -> None:
    ended = run(launcher, "id -u; id -g; sed -n 's/^Groups:[[:space:]]*//p' /proc/self/status", user=user)
    assert [line.strip() for line in ended.lines] == [str(user.uid), str(user.gid), " ".join(map(str, user.groups))]


@pytest.mark.root
def test_directory_is_entered_as_the_user(launcher: Launcher, tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    assert failed(run(launcher, "pwd", user=NOBODY, directory=str(tmp_path))) == \
        f"changing directory to {tmp_path}: Permission denied"


@pytest.mark.root
@pytest.mark.parametrize("born", [True, False])
def test_begins_in_its_cgroup(launcher: Launcher, cgroups: Path, born: bool) -> None:
    if not born:
        launcher._born = None       # what is left where clone3 is refused: sdsuper-exec joins it
    script = "grep ^0:: /proc/self/cgroup; echo $(id -u) $(ps -o pgid= $$)"
    ended = run(launcher, script, cgroup=str(cgroups), user=NOBODY)
    assert ended.lines[0].endswith(cgroups.name)
    assert ended.lines[1] == f"65534 {ended.pid}"


@pytest.mark.root
def test_is_born_in_its_cgroup_where_that_can_be(quick: Launcher, cgroups: Path) -> None:
    run(quick, "", cgroup=str(cgroups))
    assert quick._born is not None


@pytest.mark.root
@pytest.mark.parametrize("born", [True, False])
def test_a_cgroup_that_takes_nobody(launcher: Launcher, cgroups: Path, born: bool) -> None:
    (cgroups / "inner").mkdir()
    (cgroups / "inner/cgroup.type").write_text("threaded")
    (cgroups / "inner/below").mkdir()           # "domain invalid"
    if not born:
        launcher._born = None
    assert failed(run(launcher, "", cgroup=f"{cgroups}/inner/below")) == \
        f"joining the cgroup {cgroups}/inner/below: Operation not supported"


# ---- stdin --------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("user", [None, pytest.param(NOBODY, marks=pytest.mark.root)])
def test_own_stdin_takes_input_and_never_ends(launcher: Launcher, user: User | None, wait_for: Wait) -> None:
    reader, writer = os.pipe()
    pid = launcher.spawn(Launch(1, "/bin/cat", ("cat",), stdout=writer, user=user))
    os.close(writer)
    stdin = f"/proc/{pid}/fd/0"
    wait_for(lambda: os.readlink(f"/proc/{pid}/exe").endswith("cat"))
    assert os.readlink(stdin).startswith("pipe:") and os.stat(stdin).st_uid == (user.uid if user else os.geteuid())
    for text in (b"one\n", b"two\n"):
        assert write_stdin(pid, text) == len(text)
        assert os.read(reader, 100) == text
    ready, _, _ = select.select([reader], [], [], 0.05)
    assert not ready and os.waitpid(pid, os.WNOHANG) == (0, 0)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    os.close(reader)


def test_dev_stdin_can_be_opened(launcher: Launcher) -> None:
    ended = run(launcher, "exec 5<>/dev/stdin && echo opened", user=NOBODY if os.geteuid() == 0 else None)
    assert ended.lines == ["opened"]


def test_given_stdin(launcher: Launcher, tmp_path: Path) -> None:
    (tmp_path / "in").write_text("hello\n")
    with open(tmp_path / "in") as file:
        assert run(launcher, "cat", stdin=file.fileno()).output == "hello\n"


# ---- what can go wrong --------------------------------------------------------------------------------------------

def test_stage_joining_the_cgroup(launcher: Launcher, tmp_path: Path) -> None:
    assert failed(run(launcher, "", cgroup=f"{tmp_path}/none")) == \
        f"joining the cgroup {tmp_path}/none: No such file or directory"


def unprivileged(launcher: Launcher, **fields: object) -> str:
    """What becomes of a launch by a daemon that has given up root, done in a process of its own."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        os.setgroups([])
        os.setresgid(65534, 65534, 65534)
        os.setresuid(65534, 65534, 65534)
        own = Launcher(launcher._path)
        ended = run(own, "id -u", **fields)
        os.write(writer, (failed(ended) if ended.reports else ended.output).encode())
        os._exit(0)
    os.close(writer)
    text = os.read(reader, 10000).decode()
    os.close(reader)
    os.waitpid(pid, 0)
    return text


@pytest.mark.root
def test_stage_setting_nice(launcher: Launcher) -> None:
    assert unprivileged(launcher, nice=-5) == "setting nice to -5: Permission denied"


@pytest.mark.root
@pytest.mark.parametrize("user", [ROOT_USER, NOBODY._replace(name="other", gid=100)])
def test_stage_changing_user(launcher: Launcher, user: User) -> None:
    assert unprivileged(launcher, user=user) == f"changing user to {user.name}: Operation not permitted"


@pytest.mark.root
def test_an_unprivileged_daemon_may_name_itself(launcher: Launcher) -> None:
    assert unprivileged(launcher, user=NOBODY) == "65534\n"


@pytest.mark.root
def test_stage_opening_stdin_without_proc(release: str, program: Callable[[str, str], str]) -> None:
    without_proc = program("without-proc", """
        #define _GNU_SOURCE
        #include <sched.h>
        #include <sys/mount.h>
        #include <unistd.h>
        int main(int argc, char **argv)
        {
            if (unshare(CLONE_NEWNS) || mount(0, "/proc", 0, MS_PRIVATE, 0) || mount("none", "/proc", "tmpfs", 0, 0))
                return 1;
            execv(argv[argc], argv);
            execl(RELEASE, "sdsuper-exec", (char *)0);
            return 2;
        }
    """.replace("RELEASE", f'"{release}"'))
    launcher = Launcher(without_proc)
    try:
        assert failed(run(launcher, "echo never")) == "opening stdin: No such file or directory"
        assert run(launcher, "echo fine", stdin=launcher._null).output == "fine\n"
    finally:
        launcher.close()


def test_stage_setting_the_limit(launcher: Launcher) -> None:
    assert failed(run(launcher, "", rlimits=((resource.RLIMIT_CORE, 0, 0), (resource.RLIMIT_NOFILE, 20, 10)))) == \
        "setting the limit nofile to 20:10: Invalid argument"


def test_stage_changing_directory(launcher: Launcher) -> None:
    assert failed(run(launcher, "", directory="/none")) == "changing directory to /none: No such file or directory"
    assert failed(run(launcher, "", directory="/etc/passwd")) == "changing directory to /etc/passwd: Not a directory"


@pytest.mark.parametrize(("mode", "text", "why"), [
    (0o755, "echo no interpreter line\n", "Exec format error"),
    (0o644, "#!/bin/sh\n", "Permission denied"),
    (0o755, "#!/none/sh\n", "No such file or directory"),
])
def test_stage_executing(launcher: Launcher, tmp_path: Path, mode: int, text: str, why: str) -> None:
    script = tmp_path / "script"
    script.write_text(text)
    script.chmod(mode)
    assert failed(run(launcher, "", path=str(script), argv=("script",))) == f"executing {script}: {why}"


def test_many_reports_share_the_pipe(quick: Launcher) -> None:
    pids = {quick.spawn(Launch(1000 + i, "/none", ("none",))): 1000 + i for i in range(200)}
    for pid in pids:
        os.waitpid(pid, 0)
    reports = quick.reports()
    assert {report.pid: report.tag for report in reports} == pids
    assert {(report.stage, report.error) for report in reports} == {("executing", errno.ENOENT)}
    assert quick.reports() == []


def test_stage_names_are_those_of_the_source() -> None:
    text = (SOURCE.parent / "launch.h").read_text()
    body = re.search(r"enum stage \{(.*?)\}", text, re.S)
    assert body is not None
    names = [name.lower().replace("_", " ") for name in re.findall(r"\w+", body[1])]
    said = [re.sub(r" the ", " ", stage).replace("setting limit", "setting rlimit") for stage in process.STAGES]
    assert said == names


# ---- the build ----------------------------------------------------------------------------------------------------

@needs("valgrind")
@pytest.mark.parametrize("fields", [{}, {"directory": "/none"}, {"rlimits": ((7, 10, 10),), "umask": 0o22, "nice": 1},
                                    pytest.param({"user": NOBODY}, marks=pytest.mark.root)])
def test_valgrind_sees_nothing(grinded: str, tools: Path, fields: dict[str, object]) -> None:
    launcher = Launcher(grinded)
    try:
        ended = run(launcher, "echo there", **fields)
    finally:
        launcher.close()
    logs = [log.read_text() for log in tools.glob("log.*")]
    assert ended.code == (127 if ended.reports else 0) and (ended.reports or ended.output == "there\n"), logs
    assert not any(logs)


@pytest.mark.skipif(not X86, reason="with a C library there")
def test_release_build_stands_alone(release: str) -> None:
    shown = subprocess.run(["readelf", "-rdlW", release], capture_output=True, text=True, check=True).stdout
    assert "There are no relocations" in shown      # nobody is there to apply them
    assert "NEEDED" not in shown and "INTERP" not in shown
    assert "GNU_RELRO" in shown and not re.search(r"GNU_STACK.*RWE", shown) and not re.search(r"LOAD.*RWE", shown)
