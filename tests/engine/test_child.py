"""What a program finds when it starts: environment, descriptors, limits, user, signals, place."""

import grp
import os
import pwd
import resource
from pathlib import Path
from typing import Any

import pytest

from sdsuper.errors import Refusal
from sdsuper.system.cgroup import own_directories
from tests.engine.conftest import Daemon, Start

#: Writes what it finds about itself, and goes on.
LOOK = """\
import json, os, resource, signal, sys, time
status = dict(line.rstrip("\\n").split(":\\t", 1) for line in open("/proc/self/status") if ":\\t" in line)
mask = os.umask(0)
os.umask(mask)
found = dict(
    environment=dict(os.environ), fds=sorted(map(int, os.listdir("/proc/self/fd"))), umask=mask, cwd=os.getcwd(),
    links={n: os.readlink(f"/proc/self/fd/{n}") for n in (0, 1, 2)}, uid=os.getresuid(), gid=os.getresgid(),
    groups=sorted(os.getgroups()), nice=os.getpriority(os.PRIO_PROCESS, 0), argv=sys.argv, pid=os.getpid(),
    pgid=os.getpgid(0), sid=os.getsid(0), ppid=os.getppid(), cgroup=open("/proc/self/cgroup").read(),
    limits={n: resource.getrlimit(getattr(resource, n)) for n in dir(resource) if n.startswith("RLIMIT_")},
    **{key: status[key] for key in ("SigBlk", "SigIgn", "SigCgt", "NoNewPrivs", "CapEff")})
temporary = sys.argv[1] + ".new"
open(temporary, "w").write(json.dumps(found) + "\\n")
os.rename(temporary, sys.argv[1])
time.sleep(1000)
"""
COMMAND = "command={python} {dir}/look {dir}/found/%(program_name)s\n"


def begin(start: Start, programs: str, **options: Any) -> Daemon:
    """Programs are sections without `command`, which are not yet started."""
    text = programs.replace("]\n", f"]\n{COMMAND}autostart=false\nstartretries=0\n")
    daemon = start(text, **options)
    (daemon.directory / "look").write_text(LOOK)
    (daemon.directory / "found").mkdir()
    (daemon.directory / "found").chmod(0o777)
    daemon.call("Start", name="all", wait=False)
    return daemon


def found(daemon: Daemon, name: str) -> Any:
    return daemon.json(f"found/{name}")


def test_environment(start: Start) -> None:
    private = dict.fromkeys(("WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "FDSTORE",
                             "INVOCATION_ID", "CREDENTIALS_DIRECTORY", "JOURNAL_STREAM"), "x")
    daemon = begin(
        start, "[unix_http_server]\n file={dir}/http.sock\n"
        "[program:web]\nprocess_name=web1\nenvironment=B=\"2\",SUPERVISOR_ENABLED=\"no\"\n"
        "[program:other]\nserverurl=http://there:1\n[group:g]\nprograms=web".replace("]\nprograms", "] \nprograms")
        .replace("server]\n", "server] \n"),
        main={"environment": 'A="1",B="1"', "cgroup": "auto"},
        environment={**private, "INHERITED": "yes", "A": "0", "NOTIFY_SOCKET": "/nowhere"})
    web, other = found(daemon, "web")["environment"], found(daemon, "other")["environment"]
    assert not {*private, "NOTIFY_SOCKET"} & {*web, *other}
    assert (web["INHERITED"], web["A"], web["B"]) == ("yes", "1", "2")
    assert (other["A"], other["B"], other["SUPERVISOR_ENABLED"]) == ("1", "1", "1")
    assert web["SUPERVISOR_ENABLED"] == "no"
    assert (web["SUPERVISOR_PROCESS_NAME"], web["SUPERVISOR_GROUP_NAME"]) == ("web1", "g")
    assert web["SUPERVISOR_SERVER_URL"] == f"unix://{daemon.directory}/http.sock"
    assert other["SUPERVISOR_SERVER_URL"] == "http://there:1"
    ours = {name for name in other if name not in os.environ and not name.startswith("SUPERVISOR_")}
    assert ours <= {"INHERITED", "A", "B", "LC_CTYPE", "PYTHONPATH"}, "nothing else is added"
    assert other["HOME"] == os.environ["HOME"]


def test_without_a_server_there_is_no_server_url(start: Start) -> None:
    daemon = begin(start, "[program:web]\n")
    assert "SUPERVISOR_SERVER_URL" not in found(daemon, "web")["environment"]


def test_descriptors(start: Start) -> None:
    daemon = begin(start, "[program:all]\n[program:none]\nstdout_logfile=NONE\nstderr_logfile=NONE\n"
                          "[program:one]\nredirect_stderr=true\n")
    for name in ("all", "none", "one"):
        seen = found(daemon, name)
        assert [fd for fd in seen["fds"] if fd < 3] == [0, 1, 2]
        assert len(seen["fds"]) == 4, "nothing but the descriptor of the look itself"
        assert seen["links"]["0"].startswith("pipe:")
    links = {name: found(daemon, name)["links"] for name in ("all", "none", "one")}
    assert links["all"]["1"] != links["all"]["2"]
    assert links["all"]["1"].startswith("pipe:") and links["all"]["2"].startswith("pipe:")
    assert links["none"]["1"] == links["none"]["2"] == "/dev/null"
    assert links["one"]["1"] == links["one"]["2"] != "/dev/null"


def test_umask_directory_nice(start: Start) -> None:
    daemon = begin(start, "[program:plain]\n[program:own]\numask=077\ndirectory=/usr\nnice=7\n", main={"umask": "027"})
    plain, own = found(daemon, "plain"), found(daemon, "own")
    assert (plain["umask"], plain["cwd"], plain["nice"]) == (0o027, str(daemon.directory), 0)
    assert (own["umask"], own["cwd"], own["nice"]) == (0o077, "/usr", 7)


@pytest.mark.root
def test_user_and_groups(start: Start) -> None:
    daemon = begin(start, "[program:name]\nuser=nobody\nuser_environment=true\n[program:number]\nuser=65534\n"
                          "[program:group]\nuser=nobody:daemon\n[program:root]\n")
    nobody = pwd.getpwnam("nobody")
    for name, gid in (("name", nobody.pw_gid), ("number", nobody.pw_gid), ("group", grp.getgrnam("daemon").gr_gid)):
        seen = found(daemon, name)
        assert seen["uid"] == [nobody.pw_uid] * 3 and seen["gid"] == [gid] * 3
        assert seen["groups"] == sorted(set(os.getgrouplist("nobody", gid)))
        assert int(seen["CapEff"], 16) == 0
    given, kept = found(daemon, "name")["environment"], found(daemon, "number")["environment"]
    assert [given[key] for key in ("HOME", "USER", "LOGNAME", "SHELL")] == [
        nobody.pw_dir, "nobody", "nobody", nobody.pw_shell]
    assert kept["HOME"] == os.environ["HOME"]
    assert found(daemon, "root")["uid"] == [0, 0, 0]


def test_limits(start: Start) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    daemon = begin(start, "[program:plain]\n[program:own]\nrlimit_nofile=99:100\nrlimit_core=0\nrlimit_fsize=1MB\n",
                   main={"minfds": str(soft // 2 + 1)},
                   before=["sh", "-c", f'ulimit -S -n {soft // 2}; exec "$@"', "sh"])
    plain, own = found(daemon, "plain")["limits"], found(daemon, "own")["limits"]
    assert resource.prlimit(daemon.process.pid, resource.RLIMIT_NOFILE) == (soft // 2 + 1, hard)
    assert plain["RLIMIT_NOFILE"] == [soft // 2, hard], "as they were before the daemon raised its own"
    assert own["RLIMIT_NOFILE"] == [99, 100]
    assert own["RLIMIT_CORE"] == [0, 0] and own["RLIMIT_FSIZE"] == [1 << 20, 1 << 20]
    changed = {"RLIMIT_NOFILE", "RLIMIT_OFILE", "RLIMIT_CORE", "RLIMIT_FSIZE"}
    assert {k: v for k, v in own.items() if k not in changed} == {k: v for k, v in plain.items() if k not in changed}


def test_signals_are_as_new(start: Start) -> None:
    daemon = start("[program:web]\ncommand=sleep 1000\nstartsecs=0\n",
                   before=["/usr/bin/env", "--ignore-signal=HUP,USR2", "--block-signal=WINCH,IO"])
    pid = daemon.status("web")["pid"]
    daemon.wait(lambda: "sleep" in Path(f"/proc/{pid}/comm").read_text(), "it is the program")
    status = Path(f"/proc/{pid}/status").read_text()
    for field in ("SigIgn", "SigBlk"):
        assert f"{field}:\t0000000000000000\n" in status


def test_processes_group_session_parent(start: Start) -> None:
    daemon = begin(start, "[program:a]\n[program:b]\n")
    for name in ("a", "b"):
        seen = found(daemon, name)
        assert seen["pid"] == seen["pgid"] == daemon.status(name)["pid"]
        assert seen["ppid"] == daemon.process.pid and seen["sid"] == os.getsid(daemon.process.pid)


def test_cgroup(start: Start) -> None:
    mounts, own = Path("/proc/self/mountinfo").read_text(), Path("/proc/self/cgroup").read_text()
    if not any(os.access(f"{path}/cgroup.procs", os.W_OK) for path in own_directories(mounts, own)):
        pytest.skip("no cgroup that can be written")
    daemon = begin(start, "[program:a]\n[program:b]\nprocess_name=b%(process_num)d\nnumprocs=2\n[program:c]\n")
    here = Path("/proc/self/cgroup").read_text().rpartition("0::")[2].strip().rstrip("/")
    seen = found(daemon, "a")["cgroup"].rpartition("0::")[2].strip()
    assert seen.startswith(f"{here}/sdsuper-supervisor-") and seen.endswith("/a:a.1")
    daemon.call("Stop", name="a")
    (daemon.directory / "found/a").unlink()
    daemon.call("Start", name="a", wait=False)
    assert found(daemon, "a")["cgroup"].strip().endswith("/a:a.2")


def test_arguments_are_split_as_by_a_shell(start: Start) -> None:
    daemon = start("[program:web]\ncommand={python} {dir}/look {dir}/found \"a b\" 'c \"d' e\\ f $HOME * %%x\n"
                   "autostart=false\n")
    (daemon.directory / "look").write_text(LOOK)
    daemon.call("Start", name="web", wait=False)
    assert daemon.json("found")["argv"][2:] == ["a b", 'c "d', "e f", "$HOME", "*", "%x"]


def test_a_program_that_is_found_by_its_own_path(start: Start) -> None:
    daemon = start("[program:web]\ncommand=mine\nenvironment=PATH=\"{dir}/bin\"\nautostart=false\nstartsecs=0\n")
    (daemon.directory / "bin").mkdir()
    (daemon.directory / "bin/mine").symlink_to("/bin/cat")
    assert daemon.result("Start", "web")[0] == "SUCCESS"


def test_input_that_does_not_fit_follows_as_the_program_reads(start: Start) -> None:
    daemon = start("""
[program:late]
command={python} -c "import os, time; print(flush=True); n = len(os.read(0, 1))
  while n < 1000001: n += len(os.read(0, 65536))
  print('all', n, flush=True); time.sleep(1000)"
stdout_logfile={dir}/late
startsecs=0
""")
    daemon.wait(lambda: daemon.text("late"), "it runs")
    assert daemon.result("Signal", "late", signal="STOP")[0] == "SUCCESS"
    for _ in range(5):
        daemon.call("WriteStdin", name="late", data="x" * 200_000)
    with pytest.raises(Refusal) as refused:
        daemon.call("WriteStdin", name="late", data="y" * 200_000)
    assert refused.value.fault == "FAILED", "what waits is bounded"
    daemon.call("WriteStdin", name="late", data="z")
    assert daemon.result("Signal", "late", signal="CONT")[0] == "SUCCESS"
    daemon.wait(lambda: "all 1000001" in daemon.text("late"), "all of it")
