"""When a process is ready, and who its main process is: docs/lifecycle.md with real programs."""

import os
import pwd
import socket
import sys
from pathlib import Path

import pytest

from tests.engine.conftest import Daemon, Start

#: Sends its arguments, each one message after the pause before it, from the main process or (`child:`) from another.
NOTIFIER = r"""
import os, socket, sys, time
def send(text, fds=()):
    end = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    end.connect(os.environ["NOTIFY_SOCKET"])
    socket.send_fds(end, [text.replace("|", "\n").encode()], list(fds))
for word in sys.argv[1:]:
    if word.startswith("wait:"):
        while not os.path.exists(word[5:]): time.sleep(0.01)
    elif word.startswith("child:"):
        if os.fork() == 0:
            send(word[6:]); os._exit(0)
        os.wait()
    elif word.startswith("living:"):
        if os.fork() == 0:
            send(word[7:].replace("@", str(os.getpid()))); time.sleep(1000)
    elif word == "flood":
        for number in range(1000): send("STATUS=%d" % number)
    elif word == "fds":
        send("STATUS=with descriptors|FDSTORE=1", [0, 1, 2])
    elif word == "long":
        send("READY=1|STATUS=" + "x" * 100000)
    elif word == "end":
        sys.exit(0)
    else:
        send(word)
time.sleep(1000)
"""


@pytest.fixture
def notifier(tmp_path: Path) -> str:
    (tmp_path / "notifier.py").write_text(NOTIFIER)
    return "[program:web]\nreadiness=notify\nkillasgroup=true\ncommand={python} {dir}/notifier.py"


def pause(daemon: Daemon) -> None:
    """What was sent to the daemon before has been read."""
    daemon.call("GetState")


# ---- notify -------------------------------------------------------------------------------------------------------

def test_running_is_when_it_says_so(start: Start, notifier: str) -> None:
    daemon = start(f"{notifier} STATUS=loading wait:{{dir}}/go READY=1")
    daemon.wait(lambda: daemon.status("web")["pid"], "it has a child")
    assert daemon.status("web")["state"] == "STARTING"
    (daemon.directory / "go").touch()
    daemon.wait_state("web", "RUNNING")
    assert "web entered RUNNING state, it is ready (notify)" in daemon.log


def test_a_client_waits_for_it(start: Start, notifier: str) -> None:
    daemon = start(f"{notifier} READY=1\nautostart=false")
    assert daemon.result("Start", "web")[0] == "SUCCESS"
    assert daemon.status("web")["state"] == "RUNNING"


def test_a_user_may_send_to_it(start: Start, notifier: str) -> None:
    daemon = start(f"{notifier} READY=1\nuser=nobody")
    daemon.wait_state("web", "RUNNING")
    folder = Path(f"{daemon.socket}.notify")
    (path,) = folder.iterdir()
    assert len(path.name) == 12, "nobody can guess it"
    assert (folder.stat().st_mode & 0o7777, path.stat().st_mode & 0o7777) == (0o711, 0o666)
    daemon.call("Stop", name="web")
    daemon.wait(lambda: not list(folder.iterdir()), "the socket is gone with the run")
    assert daemon.stop() == 0 and not folder.exists()


def test_another_process_of_it_is_not_believed_unless_it_is_to_be(start: Start, notifier: str) -> None:
    daemon = start(f"{notifier} child:READY=1 wait:{{dir}}/go READY=1")
    daemon.wait_log("is not believed (see notify_access)")
    assert daemon.status("web")["state"] == "STARTING"
    (daemon.directory / "go").touch()
    daemon.wait_state("web", "RUNNING")


@pytest.mark.parametrize("user", ["", "user=nobody\n"])
def test_all_of_it_may_if_it_says_so_even_who_has_ended_meanwhile(start: Start, notifier: str, user: str) -> None:
    daemon = start(f"{notifier} child:READY=1\nnotify_access=all\n{user}")
    daemon.wait_state("web", "RUNNING")


def test_a_stranger_is_not_believed(start: Start, notifier: str) -> None:
    daemon = start(f"{notifier} wait:{{dir}}/never\nuser=nobody\nnotify_access=all")
    folder = Path(f"{daemon.socket}.notify")
    daemon.wait(lambda: folder.exists() and list(folder.iterdir()), "the socket is there")
    (path,) = folder.iterdir()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
        end.connect(str(path))
        end.send(b"READY=1")
    daemon.wait_log(f"a notification of pid {os.getpid()} is not believed")
    assert daemon.status("web")["state"] == "STARTING"


def test_too_late_is_a_failed_start(start: Start, notifier: str) -> None:
    daemon = start(f"{notifier} wait:{{dir}}/never\nready_timeout=1\nstartretries=0")
    assert daemon.wait_state("web", "FATAL")["spawnerr"] == "Was not ready after 1 seconds"
    assert daemon.status("web")["pid"] == 0 and "web: Was not ready after 1 seconds: stopping it" in daemon.log


def test_an_end_before_it_is_a_failed_start_too(start: Start, notifier: str) -> None:
    daemon = start(f"{notifier} end\nstartretries=0\nstartsecs=0")
    assert daemon.wait_state("web", "FATAL")["spawnerr"] == "Ended before it was ready (exit status 0)"


def test_last_words_count(start: Start, notifier: str) -> None:
    daemon = start(f"{notifier} READY=1 end\nautorestart=false")
    assert daemon.wait_state("web", "EXITED")["exitstatus"] == 0
    assert "it is ready (notify)" in daemon.log


def test_a_flood_and_what_is_too_long_hold_up_nobody(start: Start, notifier: str) -> None:
    daemon = start(f"{notifier} long fds flood wait:{{dir}}/go\n")
    daemon.wait_log("notifies more than 100 times a second")
    before = len(os.listdir(f"/proc/{daemon.pid}/fd"))
    pause(daemon)
    assert daemon.status("web")["state"] == "STARTING", "a message that was cut is none"
    assert len(os.listdir(f"/proc/{daemon.pid}/fd")) == before, "descriptors that came along are closed"


def test_the_main_process_can_be_another_one_of_it(start: Start, notifier: str) -> None:
    daemon = start(f"{notifier} living:MAINPID=@ READY=1\nnotify_access=all")
    daemon.wait_state("web", "RUNNING")
    daemon.wait_log("takes the place of pid")
    first = daemon.status("web")["pid"]
    (second,) = [int(pid) for pid in Path(f"/proc/{first}/task/{first}/children").read_text().split()]
    os.kill(first, 9)       # only now is the other one a child of the daemon
    daemon.wait(lambda: daemon.status("web")["pid"] == second, "it is followed")
    assert daemon.status("web")["state"] == "RUNNING" and daemon.status("web")["run"] == 1
    os.kill(second, 15)
    daemon.wait_log("exited: web (terminated by SIGTERM; not expected)")


def test_both_are_stopped_while_there_are_two(start: Start, notifier: str) -> None:
    daemon = start(f"{notifier} living:MAINPID=@ READY=1\nnotify_access=all\nstopwaitsecs=60")
    daemon.wait_log("takes the place of pid")
    first = daemon.wait_state("web", "RUNNING")["pid"]
    (second,) = [int(pid) for pid in Path(f"/proc/{first}/task/{first}/children").read_text().split()]
    assert daemon.result("Stop", "web")[0] == "SUCCESS"
    daemon.wait(lambda: not os.path.exists(f"/proc/{second}"), "the other one is gone as well")
    assert "killing" not in daemon.log


def test_a_stranger_cannot_be_the_main_process(start: Start, notifier: str) -> None:
    daemon = start(f"{notifier} MAINPID={os.getpid()} MAINPID=1 MAINPID=x READY=1")
    daemon.wait_state("web", "RUNNING")
    assert f"web: pid {os.getpid()} is none of its processes" in daemon.log
    assert daemon.status("web")["pid"] not in (os.getpid(), 1)
    daemon.call("Stop", name="web")


def test_the_daemons_own_socket_is_not_handed_on(start: Start) -> None:
    daemon = start("[program:web]\ncommand=sh -c 'env >{dir}/env; exec sleep 1000'\nstartsecs=0",
                   environment={"NOTIFY_SOCKET": "/run/systemd/nobody"})
    daemon.wait(lambda: daemon.text("env"), "it has written")
    assert "NOTIFY_SOCKET" not in daemon.text("env")


# ---- descriptors and lines ----------------------------------------------------------------------------------------

@pytest.mark.parametrize("number", [3, 5, 6, 9])
def test_a_line_on_a_descriptor(start: Start, number: int) -> None:
    daemon = start(f"[program:web]\nreadiness=fd:{number}\ncommand=sh -c 'ls /proc/$$/fd >{{dir}}/fds; "
                   f"until test -e {{dir}}/go; do sleep 0.01; done; echo >&{number}; exec {number}>&-; sleep 1000'\n"
                   "stopasgroup=true")
    daemon.wait(lambda: daemon.text("fds"), "it runs")
    assert set(daemon.text("fds").split()) - {"10", "255"} == {"0", "1", "2", str(number)}
    assert daemon.status("web")["state"] == "STARTING"
    (daemon.directory / "go").touch()
    daemon.wait_state("web", "RUNNING")


def test_a_descriptor_that_is_closed_without_a_word(start: Start) -> None:
    daemon = start("[program:web]\nreadiness=fd:3\nready_timeout=1\nstartretries=0\n"
                   "command=sh -c 'exec 3>&-; exec sleep 1000'")
    assert daemon.wait_state("web", "FATAL")["spawnerr"] == "Was not ready after 1 seconds"


@pytest.mark.parametrize("channel", ["1", "2"])
def test_a_line_of_output(start: Start, channel: str) -> None:
    daemon = start("[program:web]\nreadiness=log:listening on port \\d+\n"
                   "stdout_logfile={dir}/out\nstderr_logfile={dir}/err\nstopasgroup=true\n"
                   f"command=sh -c 'printf listening >&{channel}; until test -e {{dir}}/go; do sleep 0.01; done; "
                   f"echo \" on port 80\" >&{channel}; sleep 1000'")
    daemon.wait(lambda: daemon.text("out") + daemon.text("err"), "it has begun its line")
    assert daemon.status("web")["state"] == "STARTING"
    (daemon.directory / "go").touch()
    daemon.wait_state("web", "RUNNING")
    daemon.wait(lambda: daemon.text("out") + daemon.text("err") == "listening on port 80\n", "nothing is missing")


def test_output_that_nobody_keeps_is_looked_at_all_the_same(start: Start) -> None:
    daemon = start("[program:web]\nreadiness=log:ready\nstdout_logfile=NONE\nstderr_logfile=NONE\n"
                   "command=sh -c 'echo ready; exec sleep 1000'")
    daemon.wait_state("web", "RUNNING")


# ---- programs that go to the background ---------------------------------------------------------------------------

FORKER = r"""
import os, signal, sys, time
pidfile, pause = sys.argv[1], float(sys.argv[2])
def settle():
    if os.fork(): return False
    os.setsid()
    time.sleep(pause)
    open(pidfile + ".new", "w").write("%d\n" % os.getpid())
    os.rename(pidfile + ".new", pidfile)
    return True
if not settle():
    os._exit(int(sys.argv[3]) if len(sys.argv) > 3 else 0)
def upgrade(*_):
    if settle(): return
def leave(*_): os._exit(7)
signal.signal(signal.SIGUSR2, upgrade)
signal.signal(signal.SIGQUIT, leave)
while True: time.sleep(1000)
"""


@pytest.fixture
def forker(tmp_path: Path) -> str:
    (tmp_path / "forker.py").write_text(FORKER)
    return ("[program:old]\ntype=forking\npidfile={dir}/old.pid\nkillasgroup=true\n"
            "command={python} {dir}/forker.py {dir}/old.pid")


@pytest.mark.parametrize("seconds", ["0", "0.5"])
def test_it_is_the_one_in_the_background(start: Start, forker: str, seconds: str) -> None:
    daemon = start(f"{forker} {seconds}")
    old = daemon.wait_state("old", "RUNNING")
    assert old["pid"] == int(daemon.text("old.pid")) and old["run"] == 1
    assert daemon.result("Stop", "old")[0] == "SUCCESS"
    assert not os.path.exists(f"/proc/{old['pid']}")


def test_its_end_is_known_with_its_status(start: Start, forker: str) -> None:
    daemon = start(f"{forker} 0\nautorestart=false")
    pid = daemon.wait_state("old", "RUNNING")["pid"]
    os.kill(pid, 3)
    assert daemon.wait_state("old", "EXITED")["exitstatus"] == 7


def test_it_is_started_again_when_it_has_crashed(start: Start, forker: str) -> None:
    daemon = start(f"{forker} 0")
    pid = daemon.wait_state("old", "RUNNING")["pid"]
    os.kill(pid, 9)
    daemon.wait(lambda: daemon.status("old")["pid"] not in (0, pid) and daemon.status("old")["state"] == "RUNNING",
                "another one runs")
    assert daemon.status("old")["run"] == 2


def test_a_successor_takes_its_place(start: Start, forker: str) -> None:
    daemon = start(f"{forker} 0")
    first = daemon.wait_state("old", "RUNNING")["pid"]
    os.kill(first, 12)
    daemon.wait(lambda: daemon.text("old.pid").strip() not in ("", str(first)), "there is a second one")
    second = int(daemon.text("old.pid"))
    os.kill(first, 3)
    daemon.wait(lambda: daemon.status("old")["pid"] == second, "it leads")
    assert daemon.status("old")["run"] == 1 and daemon.status("old")["state"] == "RUNNING"
    assert daemon.result("Stop", "old")[0] == "SUCCESS" and not os.path.exists(f"/proc/{second}")


def test_a_command_that_fails_has_failed(start: Start, forker: str) -> None:
    daemon = start(f"{forker} 0.3 4\nstartretries=0\nleftovers=kill")
    assert daemon.wait_state("old", "FATAL")["spawnerr"] == "Ended before it was ready (exit status 4)"


def test_a_pidfile_that_never_comes(start: Start) -> None:
    daemon = start("[program:old]\ntype=forking\npidfile={dir}/old.pid\nready_timeout=1\nstartretries=0\n"
                   "command=sh -c 'sleep 900 & exit 0'")
    assert daemon.wait_state("old", "FATAL")["state"] == "FATAL"
    daemon.wait(lambda: daemon.status("old")["leftovers"] == 0, "what it had started is ended")


@pytest.mark.parametrize("text", [str(os.getpid()), "1", "", "abc", "99999999999999"])
def test_a_pidfile_that_names_a_stranger_is_not_believed(start: Start, text: str) -> None:
    daemon = start("[program:old]\ntype=forking\npidfile={dir}/old.pid\nready_timeout=1\nstartretries=0\n"
                   f"command=sh -c 'echo {text} >{{dir}}/old.pid; sleep 900 & exit 0'")
    daemon.wait_state("old", "FATAL")
    assert "entered RUNNING" not in daemon.log


def test_what_an_earlier_run_has_left_is_not_believed(start: Start, forker: str, tmp_path: Path) -> None:
    (tmp_path / "old.pid").write_text(f"{os.getpid()}\n")
    daemon = start(f"{forker} 0.3")
    assert daemon.wait_state("old", "RUNNING")["pid"] not in (0, os.getpid())


def test_a_process_with_a_parent_of_its_own_is_none_that_could_be_followed(start: Start) -> None:
    """Nobody would tell the daemon of its end, and its pid could be somebody else's one day (mysqld_safe's way)."""
    daemon = start("[program:old]\ntype=forking\npidfile={dir}/old.pid\nready_timeout=1\nstartretries=0\n"
                   "command=sh -c 'rm -f {dir}/old.pid; setsid sh -c \"sleep 900 & echo \\$! >{dir}/old.pid; wait\" & "
                   "until test -s {dir}/old.pid; do sleep 0.05; done'")
    daemon.wait_state("old", "FATAL")
    assert "entered RUNNING" not in daemon.log
    daemon.wait(lambda: daemon.status("old")["leftovers"] == 0, "nothing is left")


def test_a_stop_before_its_pidfile_is_there_is_gentle(start: Start) -> None:
    daemon = start("[program:old]\ntype=forking\npidfile={dir}/old.pid\nstopwaitsecs=60\n"
                   "command={python} -c \"import os,signal,time;os.fork() and os._exit(0);os.setsid();"
                   "signal.signal(15,lambda *_:(open('{dir}/term','w').write('x'),os._exit(0)));"
                   "open('{dir}/up','w').write('x');time.sleep(900)\"")
    daemon.wait(lambda: daemon.text("up"), "it is in the background")
    pid = daemon.status("old")["pid"]
    daemon.wait(lambda: not os.path.exists(f"/proc/{pid}"), "the command has ended")
    assert daemon.result("Stop", "old")[0] == "SUCCESS"
    assert daemon.text("term") == "x" and "killing what" not in daemon.log


def test_a_pidfile_that_is_a_link_is_not_followed(start: Start, tmp_path: Path) -> None:
    (tmp_path / "real").write_text("1\n")
    daemon = start("[program:old]\ntype=forking\npidfile={dir}/old.pid\nready_timeout=1\nstartretries=0\n"
                   "command=sh -c 'ln -sf {dir}/real {dir}/old.pid; sleep 900 & echo $! >{dir}/real; exit 0'")
    daemon.wait_state("old", "FATAL")


def test_a_stop_while_it_is_not_there_yet(start: Start, forker: str) -> None:
    daemon = start(f"{forker} 900")
    daemon.wait(lambda: "spawned: 'old'" in daemon.log, "it has been started")
    pid = daemon.status("old")["pid"]
    daemon.wait(lambda: not os.path.exists(f"/proc/{pid}"), "the command has ended")
    assert daemon.result("Stop", "old")[0] == "SUCCESS"
    assert daemon.status("old")["state"] == "STOPPED" and daemon.status("old")["leftovers"] == 0


def test_a_user_of_its_own(start: Start, forker: str, tmp_path: Path) -> None:
    os.chown(tmp_path, pwd.getpwnam("nobody").pw_uid, -1)
    daemon = start(f"{forker} 0\nuser=nobody")
    assert daemon.wait_state("old", "RUNNING")["pid"] == int(daemon.text("old.pid"))


APP = """
def application(environ, start_response):
    start_response("200 OK", [])
    return [str(__import__("os").getppid()).encode()]
"""


def test_gunicorn_replaces_itself(start: Start, tmp_path: Path) -> None:
    """USR2, then QUIT: the new master takes over the port, the pidfile, and the place here; nothing is restarted."""
    (tmp_path / "app.py").write_text(APP)
    gunicorn = Path(sys.executable).parent / "gunicorn"
    daemon = start("[program:app]\ntype=forking\npidfile={dir}/app.pid\nkillasgroup=true\n"
                   f"command={gunicorn} --daemon --pid {{dir}}/app.pid --bind unix:{{dir}}/sock --chdir {{dir}} app")
    first = daemon.wait_state("app", "RUNNING", limit=30)["pid"]

    def master() -> int:
        with socket.socket(socket.AF_UNIX) as end:
            end.connect(str(tmp_path / "sock"))
            end.sendall(b"GET / HTTP/1.0\r\n\r\n")
            return int(b"".join(iter(lambda: end.recv(4096), b"")).rpartition(b"\r\n\r\n")[2])

    daemon.wait(lambda: (tmp_path / "sock").exists() and master() == first, "it answers")
    daemon.call("Signal", name="app", signal="USR2")
    daemon.wait(lambda: daemon.text("app.pid.2"), "there is a second one", 30)
    second = int(daemon.text("app.pid.2"))
    daemon.call("Signal", name="app", signal="QUIT")
    daemon.wait(lambda: daemon.status("app")["pid"] == second, "it is followed", 30)
    assert daemon.status("app")["run"] == 1 and daemon.status("app")["state"] == "RUNNING" and master() == second
    assert daemon.result("Stop", "app")[0] == "SUCCESS" and not os.path.exists(f"/proc/{second}")


@pytest.mark.parametrize("options", [
    "readiness=fd:3\ncommand=sh -c 'echo ready >&3'", "readiness=log:ready\ncommand=sh -c 'echo ready'",
    "readiness=notify\ncommand={python} -c \"import os,socket;socket.socket(socket.AF_UNIX,socket.SOCK_DGRAM)"
    ".sendto(b'READY=1',os.environ['NOTIFY_SOCKET'])\"",
])
def test_one_that_is_ready_and_ends_at_once_was_ready(start: Start, options: str) -> None:
    daemon = start(f"[program:job]\n{options}\nautorestart=false\nstartretries=0\nautostart=false\n")
    for _ in range(10):
        daemon.call("Start", name="job", wait=False)
        assert daemon.wait_state("job", "EXITED", "FATAL")["state"] == "EXITED"


BABBLER = """import os, socket, time
end, place = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM), os.environ["NOTIFY_SOCKET"]
for number in range(300):
    end.sendto(b"STATUS=%d" % number, place)
end.sendto(b"READY=1", place)
time.sleep(1000)
"""


def test_one_that_says_too_much_is_ready_all_the_same(start: Start) -> None:
    daemon = start("[program:web]\ncommand={python} {dir}/babbler.py\nreadiness=notify\nautostart=false\n")
    (daemon.directory / "babbler.py").write_text(BABBLER)
    assert daemon.result("Start", "web")[0] == "SUCCESS" and "notifies more than 100 times" in daemon.log
