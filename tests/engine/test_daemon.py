"""The daemon's own life: start, pidfile, background, privileges, limits, signals, options, end."""

import os
import pwd
import re
import resource
import signal
import subprocess
import sys
from binascii import crc32
from pathlib import Path

import pytest

from sdsuper.system.cgroup import own_directories
from tests.engine.conftest import ROOT, Daemon, Start

SLEEP = "[program:web]\ncommand=sleep 1000\nstartsecs=0\n"
DEAF = """
[program:web]
command={python} -c "import signal, time; signal.signal(15, signal.SIG_IGN); print(flush=True); time.sleep(1000)"
stdout_logfile={dir}/out
stopwaitsecs=1000
"""


def refused(daemon: Daemon) -> str:
    """What a daemon says that does not start."""
    assert daemon.process.wait(20) == 2
    return daemon.stderr


def ids(pid: int, field: str) -> list[int]:
    found = re.search(rf"^{field}:\t(.*)$", Path(f"/proc/{pid}/status").read_text(), re.M)
    assert found is not None
    return [int(word) for word in found[1].split()]


# ---- one of a kind --------------------------------------------------------------------------------------------------

def test_pidfile(start: Start) -> None:
    daemon = start(SLEEP)
    path = daemon.directory / "daemon.pid"
    assert path.read_text() == f"{daemon.process.pid}\n"
    assert path.stat().st_mode & 0o777 == 0o644
    assert daemon.stop() == 0
    assert not path.exists() and not daemon.socket.exists()


def test_a_second_daemon_with_the_same_pidfile(start: Start, directory: Path) -> None:
    first = start(SLEEP, place="one")
    pidfile = str(directory / "one/daemon.pid")
    second = start(SLEEP, place="two", main={"pidfile": pidfile}, ready=False)
    text = f"Error: pidfile {pidfile} is locked: another daemon runs with it (pid {first.process.pid})"
    assert text in refused(second)
    assert Path(pidfile).read_text() == f"{first.process.pid}\n" and first.status("web")["state"] == "RUNNING"


def test_a_second_daemon_with_the_same_socket(start: Start) -> None:
    first = start(SLEEP, place="one")
    second = start(SLEEP, place="two", main={"control_socket": str(first.socket)}, ready=False)
    assert f"Error: cannot listen on {first.socket}: another sdsuper answers there" in refused(second)
    assert first.status("web")["state"] == "RUNNING"


def test_what_a_killed_daemon_left_is_replaced(start: Start) -> None:
    first = start("")
    first.process.kill()
    assert first.process.wait() == -9
    first.close_clients()
    assert first.socket.exists() and (first.directory / "daemon.pid").exists()
    first.launch(["-n"], {}, [], None)
    first.wait(first.answers, "the next one answers")
    assert (first.directory / "daemon.pid").read_text() == f"{first.process.pid}\n"


def test_a_pidfile_that_is_a_link(start: Start, directory: Path) -> None:
    victim = directory / "victim"
    victim.write_text("important")
    (directory / "daemon.pid").symlink_to(victim)
    assert f"Error: pidfile {directory}/daemon.pid is a symbolic link" in refused(start(SLEEP, ready=False))
    assert victim.read_text() == "important"


def test_a_pidfile_that_is_no_file(start: Start, directory: Path) -> None:
    os.mkfifo(directory / "daemon.pid")
    assert f"Error: pidfile {directory}/daemon.pid is not a regular file" in refused(start(SLEEP, ready=False))


def test_a_pidfile_that_cannot_be_made(start: Start, directory: Path) -> None:
    (directory / "daemon.pid").mkdir()
    daemon = start(SLEEP)
    daemon.wait_log(f"CRIT could not write pidfile {directory}/daemon.pid: Is a directory")
    assert daemon.status("web")["state"] == "RUNNING"


def test_a_control_socket_that_is_something_else(start: Start, directory: Path) -> None:
    (directory / "control").write_text("important")
    assert f"cannot listen on {directory}/control: it exists and is not a socket" in refused(start(SLEEP, ready=False))
    assert (directory / "control").read_text() == "important"


def test_the_control_socket_is_for_its_owner(start: Start, directory: Path) -> None:
    assert start("").socket.stat().st_mode & 0o777 == 0o600
    gid = os.getgid()
    daemon = start("", place="two", main={"control_group": str(gid)})
    facts = daemon.socket.stat()
    assert (facts.st_mode & 0o777, facts.st_gid) == (0o660, gid)


# ---- foreground and background --------------------------------------------------------------------------------------

def test_in_the_background(start: Start) -> None:
    daemon = start(SLEEP, foreground=False)
    assert daemon.process.wait(10) == 0, "the parent ends at once"
    daemon.pid = int((daemon.directory / "daemon.pid").read_text())
    try:
        assert daemon.call("GetState")["pid"] == daemon.pid != daemon.process.pid
        assert os.getsid(daemon.pid) == os.getpgid(daemon.pid) == daemon.pid
        assert [os.readlink(f"/proc/{daemon.pid}/fd/{fd}") for fd in (0, 1, 2)] == ["/dev/null"] * 3
        daemon.wait_log("INFO daemonizing the supervisord process")
        daemon.wait_log(f"INFO supervisord started with pid {daemon.pid}")
        assert daemon.text("stdout") == ""
    finally:
        daemon.close_clients()
        daemon.signal(signal.SIGTERM)
        daemon.wait(lambda: not os.path.exists(f"/proc/{daemon.pid}"), "it has ended")
    assert not (daemon.directory / "daemon.pid").exists()


def test_option_d_overrides_nodaemon(start: Start) -> None:
    daemon = start("", "-d", foreground=False, main={"nodaemon": "true"})
    assert daemon.process.wait(10) == 0
    daemon.call("Shutdown")
    daemon.wait(lambda: not daemon.socket.exists(), "it has ended")


def test_mistakes_are_told_before_it_goes_to_the_background(start: Start, directory: Path) -> None:
    (directory / "daemon.pid").symlink_to("elsewhere")
    assert "is a symbolic link" in refused(start(SLEEP, foreground=False, ready=False))


def test_umask_and_directory_in_the_foreground(start: Start, directory: Path) -> None:
    (directory / "home").mkdir()
    daemon = start("", main={"umask": "027", "directory": str(directory / "home")})
    assert os.readlink(f"/proc/{daemon.process.pid}/cwd") == str(directory / "home")
    assert "Umask:\t0027" in Path(f"/proc/{daemon.process.pid}/status").read_text()
    assert (directory / "daemon.log").stat().st_mode & 0o777 == 0o640


# ---- privileges and limits ------------------------------------------------------------------------------------------

@pytest.mark.root
def test_user_drops_all_privileges(start: Start, directory: Path) -> None:
    nobody = pwd.getpwnam("nobody")
    home = directory / "nobody"
    home.mkdir()
    os.chown(home, nobody.pw_uid, nobody.pw_gid)
    reachable = subprocess.run(
        ["setpriv", "--reuid=65534", "--clear-groups", sys.executable, "-c", "import sdsuper.cli.daemon"],
        cwd=home, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True)
    if reachable.returncode:
        pytest.skip("nobody cannot read the checkout")
    # nobody may not write where coverage keeps its data
    unmeasured = ["env", "-u", "COVERAGE_PROCESS_START", "-u", "COVERAGE_PROCESS_CONFIG"]
    daemon = start(SLEEP, place="nobody", main={"user": "nobody"}, before=unmeasured)
    daemon.wait_log(f"INFO Set uid to user {nobody.pw_uid} succeeded")
    groups = sorted(set(os.getgrouplist("nobody", nobody.pw_gid)))
    for pid in (daemon.process.pid, daemon.status("web")["pid"]):
        assert ids(pid, "Uid") == [nobody.pw_uid] * 4 and ids(pid, "Gid") == [nobody.pw_gid] * 4
        assert sorted(ids(pid, "Groups")) == groups
        assert "CapEff:\t0000000000000000" in Path(f"/proc/{pid}/status").read_text()
    assert daemon.socket.stat().st_uid == (home / "daemon.log").stat().st_uid == nobody.pw_uid
    assert "running as root" not in daemon.log
    assert daemon.stop() == 0
    assert not (home / "daemon.pid").exists()
    mounts, cgroup = Path("/proc/self/mountinfo").read_text(), Path("/proc/self/cgroup").read_text()
    name = f"sdsuper-supervisor-{crc32(os.fsencode(home / 'daemon.pid')):08x}"
    for tree in [Path(own, name) for own in own_directories(mounts, cgroup) if Path(own, name).is_dir()]:
        # its daemon was in it itself and had no right to remove it
        (tree / "daemon").rmdir()
        tree.rmdir()


@pytest.mark.root
def test_as_root_without_user_it_says_so(start: Start) -> None:
    assert "CRIT running as root" in start("").log
    assert "running as root" not in start("", place="two", main={"user": "root"}).log


@pytest.mark.root
def test_minfds_beyond_the_hard_limit(start: Start) -> None:
    # without CAP_SYS_RESOURCE, as a container's root is
    before = ["setpriv", "--bounding-set=-sys_resource", "--inh-caps=-sys_resource", "sh", "-c",
              'ulimit -n 900; ulimit -S -n 800; exec "$@"', "sh"]
    daemon = start("", main={"minfds": "5000"}, before=before, ready=False)
    assert daemon.process.wait(20) == 2
    if "CapEff" in daemon.stderr:
        pytest.skip(daemon.stderr)
    assert "minfds=5000" in daemon.stderr and "800 soft" in daemon.stderr and "900 hard" in daemon.stderr


@pytest.mark.root
def test_minfds_raises_the_hard_limit_where_it_may(start: Start) -> None:
    if subprocess.run(["sh", "-c", "ulimit -n 900; ulimit -n 1500"], capture_output=True).returncode:
        pytest.skip("root may not do this here")
    daemon = start("", main={"minfds": "1500"}, before=["sh", "-c", 'ulimit -n 900; exec "$@"', "sh"])
    assert resource.prlimit(daemon.process.pid, resource.RLIMIT_NOFILE) == (1500, 1500)


# ---- signals --------------------------------------------------------------------------------------------------------

def test_signals_that_mean_nothing(start: Start) -> None:
    daemon = start(SLEEP)
    for number in (signal.SIGUSR1, signal.SIGALRM, signal.SIGVTALRM, signal.SIGPROF, signal.SIGPIPE, signal.SIGWINCH,
                   signal.SIGCHLD, signal.SIGURG):
        daemon.signal(number)
        assert daemon.status("web")["state"] == "RUNNING"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_signals_that_end_it(start: Start, number: signal.Signals) -> None:
    daemon = start(SLEEP)
    pid = daemon.status("web")["pid"]
    daemon.signal(number)
    assert daemon.process.wait(20) == 0
    assert f"WARN received {number.name} indicating exit request" in daemon.log
    assert not os.path.exists(f"/proc/{pid}")


def test_term_twice_and_hup_at_the_end_change_nothing(start: Start) -> None:
    daemon = start(DEAF)
    daemon.wait(lambda: daemon.text("out"), "SIGTERM is ignored")
    pid = daemon.status("web")["pid"]
    daemon.signal(signal.SIGTERM)
    daemon.wait_log("received SIGTERM")
    daemon.signal(signal.SIGTERM)
    daemon.wait_log("received SIGTERM", 2)
    daemon.signal(signal.SIGHUP)
    daemon.wait_log("WARN ignored SIGHUP indicating restart request (shutdown in progress)")
    assert daemon.process.poll() is None and daemon.call("GetState")["state"] == "SHUTDOWN"
    daemon.wait_log("waiting for web to die", 2)
    os.kill(pid, signal.SIGKILL)
    assert daemon.process.wait(20) == 0


# ---- options --------------------------------------------------------------------------------------------------------

def test_options_win_over_the_file(start: Start, directory: Path) -> None:
    daemon = start("", "-s", "-e", "debug", "-l", str(directory / "other.log"), "-j", str(directory / "other.pid"),
                   "-i", "me", "-m", "077", main={"loglevel": "error"})
    assert daemon.call("GetState")["identifier"] == "me"
    assert daemon.text("stdout") == "" and daemon.log == ""
    assert "supervisord started" in daemon.text("other.log")
    assert (directory / "other.log").stat().st_mode & 0o777 == 0o600
    assert daemon.text("other.pid") == f"{daemon.process.pid}\n"


def test_the_log_is_copied_to_stdout_in_the_foreground(start: Start) -> None:
    daemon = start(SLEEP)
    daemon.wait(lambda: "spawned: 'web'" in daemon.text("stdout"))
    daemon.stop()
    assert daemon.text("stdout") == daemon.log


def test_the_log_on_stdout_alone(start: Start) -> None:
    daemon = start(SLEEP, main={"logfile": "/dev/stdout", "logfile_maxbytes": "0"})
    daemon.wait(lambda: "spawned: 'web'" in daemon.text("stdout"))
    assert daemon.text("stdout").count("spawned: 'web'") == 1


def test_levels(start: Start) -> None:
    loud = start(SLEEP, main={"loglevel": "debug"})
    loud.call("Stop", name="web")
    loud.wait_log("DEBG killing web (pid ")
    quiet = start(SLEEP, place="two", main={"loglevel": "error", "user": "root" if os.geteuid() == 0 else None})
    quiet.call("Stop", name="web")
    quiet.stop()
    assert quiet.log == ""


def test_the_daemons_log_is_rotated(start: Start) -> None:
    daemon = start(SLEEP, main={"logfile_maxbytes": "2KB", "logfile_backups": "3"})
    for _ in range(60):
        daemon.call("Start", name="web")
        daemon.call("Stop", name="web")
    assert sorted(path.name for path in daemon.directory.glob("daemon.log*")) == [
        "daemon.log", "daemon.log.1", "daemon.log.2", "daemon.log.3"]


def test_env_file(start: Start, directory: Path) -> None:
    (directory / "env").write_text("# comment\n\nONE=1\nexport TWO='two words'\nTHREE=\"a#b\"\nWHO=nobody\n")
    daemon = start("[program:web]\ncommand=sh -c 'echo $ONE/$TWO/$THREE/%(ENV_ONE)s; exec sleep 1000'\n"
                   "stdout_logfile={dir}/out\n", "--env-file", str(directory / "env"))
    daemon.wait(lambda: daemon.text("out") == "1/two words/a#b/1\n")
    (directory / "env2").write_text("A=1\nno equals\n")
    other = start("", "--env-file", str(directory / "env2"), place="two", ready=False)
    assert f"{directory}/env2:2: error: --env-file: NAME=VALUE expected\n" == refused(other)


@pytest.mark.parametrize(("args", "text"), [
    (["--nonsense"], "Error: option --nonsense not recognized\nFor help, use sdsuper -h\n"),
    (["word"], "Error: positional arguments are not supported: word\nFor help, use sdsuper -h\n"),
    (["-e", "loud"], "error: -e: "),
    (["-l"], "Error: option -l requires argument\n"),
    (["-u", "no-such-user"], "no such user: 'no-such-user'"),
])
def test_command_lines_that_are_refused(start: Start, args: list[str], text: str) -> None:
    assert text in refused(start("", *args, ready=False))


def test_all_mistakes_at_once(start: Start) -> None:
    daemon = start("[program:a]\ncommand=x\nstartsecs=soon\n[program:b]\nautorestart=perhaps\n", ready=False)
    lines = refused(daemon).splitlines()
    assert len(lines) == 3 and all(line.startswith(f"{daemon.config}:") and ": error: " in line for line in lines)
    assert not daemon.socket.exists() and not (daemon.directory / "daemon.log").exists()


def test_warnings_are_logged(start: Start) -> None:
    daemon = start(SLEEP + "autorestrat=true\n")
    daemon.wait_log("warning: [program:web] autorestrat: no such option, did you mean 'autorestart'?")


# ---- those around ---------------------------------------------------------------------------------------------------

def test_nobody_else_is_answered(start: Start, directory: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs another user")
    daemon = start("")
    daemon.socket.chmod(0o666)
    code = "import socket, sys; s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])\n" \
           "try: s.sendall(b'{\"method\":\"io.sdsuper.Control.GetState\"}\\0')\n" \
           "except BrokenPipeError: pass\n" \
           "print(s.recv(100))"
    done = subprocess.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "/usr/bin/python3",
                           "-SEc", code, str(daemon.socket)], capture_output=True, text=True)
    assert "PermissionDenied" in done.stdout and "version" not in done.stdout


def test_descriptors_that_were_closed(start: Start) -> None:
    daemon = start(SLEEP, before=["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh"])
    assert daemon.status("web")["state"] == "RUNNING"
