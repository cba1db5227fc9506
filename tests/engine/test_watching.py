"""Restarts because of files: real daemons, real files, and every way in which a file is replaced."""

import os
import re
import time
from pathlib import Path

import pytest

from tests.engine.conftest import Daemon, Start

SLEEP = "command=/bin/sleep 1000\nstartsecs=0\nrestart_delay=0.3\n"
QUIET = 1.0         # seconds in which nothing must happen: three times restart_delay


def script(path: Path, text: str = "exec sleep 1000", mode: int = 0o755) -> Path:
    """A new file in the place of an old one."""
    new = path.with_name(path.name + ".new")
    new.write_text(f"#!/bin/sh\n# {time.monotonic_ns()}\n{text}\n")
    new.chmod(mode)
    new.rename(path)
    return path


def lines(daemon: Daemon) -> list[str]:
    """The log without times and levels."""
    return [line.partition(" ")[2] for line in daemon.messages]


def restarts(daemon: Daemon) -> list[str]:
    return [line for line in lines(daemon) if line.startswith("restarting ")]


def ready(daemon: Daemon, name: str = "web") -> int:
    """The pid of a process that is up, with everything looked at."""
    pid: int = daemon.wait_state(name, "RUNNING")["pid"]
    daemon.wait(lambda: watched(daemon), "directories are watched")
    return pid


def watched(daemon: Daemon) -> int:
    """How many watches of the kernel the daemon has."""
    for entry in Path(f"/proc/{daemon.pid}/fd").iterdir():
        try:
            if "inotify" in os.readlink(entry):
                return Path(f"/proc/{daemon.pid}/fdinfo/{entry.name}").read_text().count("inotify wd:")
        except FileNotFoundError:
            continue
    return 0


def restarted(daemon: Daemon, pid: int, name: str = "web") -> int:
    """Wait for another run."""
    daemon.wait(lambda: daemon.status(name)["pid"] not in (0, pid) and daemon.status(name)["state"] == "RUNNING",
                f"{name} is restarted")
    new: int = daemon.status(name)["pid"]
    return new


def sleeps(daemon: Daemon, pid: int) -> None:
    """Wait until a shell has read its script and become what it says."""
    daemon.wait(lambda: Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"sleep\0"), "the script is read")


def nothing_happens(daemon: Daemon) -> None:
    """A sentinel in another program's tree shows that the time has passed in which something would have happened."""
    before = restarts(daemon)
    pid = daemon.status("sentinel")["pid"]
    (daemon.directory / "sentinel" / "x").write_text(str(time.monotonic_ns()))
    daemon.wait(lambda: "restarting sentinel" in "\n".join(restarts(daemon)[len(before):]), "the sentinel's restart")
    # what changes before it is there again would be no reason for another one
    daemon.wait(lambda: daemon.status("sentinel")["pid"] not in (0, pid), "the sentinel is back")
    assert [line for line in restarts(daemon)[len(before):] if "sentinel" not in line] == []


SENTINEL = ("[program:sentinel]\ncommand=/bin/sleep 1000\nstartsecs=0\nrestart_delay=1.2\n"
            "restart_directory_monitor={dir}/sentinel\n")


@pytest.fixture(autouse=True)
def sentinel(directory: Path) -> None:
    (directory / "sentinel").mkdir()


# ---- the binary ---------------------------------------------------------------------------------------------------

def test_atomic_rename_in_place_and_delete_then_create(start: Start, directory: Path) -> None:
    app = script(directory / "app")
    daemon = start(f"{SENTINEL}[program:web]\ncommand={app}\nstartsecs=0\nrestart_delay=0.3\n"
                   "restart_when_binary_changed=true\n")
    pid = restarted(daemon, 0)
    ready(daemon)
    script(app)
    pid = restarted(daemon, pid)
    with open(app, "a") as file:
        file.write("# more\n")
    pid = restarted(daemon, pid)
    sleeps(daemon, pid)
    app.unlink()
    nothing_happens(daemon)
    assert daemon.status("web")["pid"] == pid
    app.write_text("#!/bin/sh\nexec sleep 1000\n")
    nothing_happens(daemon)             # it cannot be executed yet
    assert daemon.status("web")["pid"] == pid
    app.chmod(0o755)
    restarted(daemon, pid)
    assert [line for line in restarts(daemon) if "web" in line] == [f"restarting web: {app} has changed"] * 3


def test_metadata_is_no_change(start: Start, directory: Path) -> None:
    app = script(directory / "app")
    daemon = start(f"{SENTINEL}[program:web]\ncommand={app}\nstartsecs=0\nrestart_delay=0.3\n"
                   "restart_when_binary_changed=true\n")
    pid = ready(daemon)
    app.chmod(0o700)
    os.chown(app, 0, 1)
    nothing_happens(daemon)
    assert daemon.status("web")["pid"] == pid


@pytest.mark.parametrize("command", ["python3 -u app.py", "sh -e app.py", "env A=1 sh app.py", "/bin/sh ./app.py x"])
def test_the_script_of_an_interpreter(start: Start, directory: Path, command: str) -> None:
    text = "import time; time.sleep(1000)\n" if "python" in command else "exec sleep 1000\n"
    (directory / "app.py").write_text(text)
    daemon = start(f"{SENTINEL}[program:web]\ncommand={command}\ndirectory={directory}\nstartsecs=0\n"
                   "environment=PATH=\"/usr/bin:/bin\"\nrestart_delay=0.3\nrestart_when_binary_changed=true\n")
    pid = ready(daemon)
    (directory / "app.py").write_text(text + "# new\n")
    restarted(daemon, pid)
    name = "./app.py" if "./" in command else "app.py"
    assert restarts(daemon) == [f"restarting web: {directory}/{name} has changed"]


def test_a_module(start: Start, directory: Path) -> None:
    (directory / "lib/pkg").mkdir(parents=True)
    main = directory / "lib/pkg/__main__.py"
    main.write_text("import time; time.sleep(1000)\n")
    daemon = start(f"[program:web]\ncommand=/usr/bin/python3 -m pkg\nstartsecs=0\nrestart_delay=0.3\n"
                   f"environment=PYTHONPATH=\"{directory}/lib\"\nrestart_when_binary_changed=true\n")
    pid = ready(daemon)
    main.write_text("import time; time.sleep(1001)\n")
    restarted(daemon, pid)
    assert restarts(daemon) == [f"restarting web: {main} has changed"]


def test_fifty_releases_by_symlink_one_restart_each(start: Start, directory: Path) -> None:
    for number in range(51):
        (directory / f"releases/{number}/bin").mkdir(parents=True)
        script(directory / f"releases/{number}/bin/app")
    current = directory / "current"
    current.symlink_to("releases/0")
    daemon = start(f"[program:web]\ncommand={current}/bin/app\nstartsecs=0\nrestart_delay=0.05\n"
                   f"restart_when_binary_changed=true\n[program:load]\ncommand=/bin/sh -c 'while :; do echo x; done'\n"
                   "stdout_logfile=/dev/null\n"
                   "[program:flood]\ncommand=/bin/sh -c 'while :; do echo $$ > {dir}/flood; done'\n")
    pid = ready(daemon)
    for number in range(1, 51):
        (directory / "next").symlink_to(f"releases/{number}")
        (directory / "next").rename(current)
        pid = restarted(daemon, pid)
        sleeps(daemon, pid)
        assert len(restarts(daemon)) == number
    assert restarts(daemon) == [f"restarting web: {current}/bin/app has changed"] * 50


# ---- trees --------------------------------------------------------------------------------------------------------

def tree_of(options: str = "", name: str = "web") -> str:
    return f"[program:{name}]\n{SLEEP}restart_directory_monitor={{dir}}/tree\n{options}"


def test_patterns_excludes_new_directories_and_one_restart_for_a_burst(start: Start, directory: Path) -> None:
    (directory / "tree/.git").mkdir(parents=True)
    daemon = start(SENTINEL + tree_of("restart_file_pattern=*.py, *.html\n"))
    pid = ready(daemon)
    for name in ("a.txt", ".git/x.py", "a.py~", "b.pyc", ".b.py.swp"):
        (directory / "tree" / name).write_text("x")
    nothing_happens(daemon)
    (directory / "tree/new/deep").mkdir(parents=True)
    for number in range(100):
        (directory / f"tree/new/deep/{number:03}.py").write_text("x")
    (directory / "tree/a.html").write_text("x")
    pid = restarted(daemon, pid)
    nothing_happens(daemon)
    (found,) = [line for line in restarts(daemon) if "web" in line]
    assert re.fullmatch(rf"restarting web: {directory}/tree/\S+ has changed \(and 100 others\)", found)
    (directory / "tree/new/deep/007.py").unlink()
    restarted(daemon, pid)
    assert restarts(daemon)[-1] == f"restarting web: {directory}/tree/new/deep/007.py has changed"


def test_own_excludes(start: Start, directory: Path) -> None:
    (directory / "tree/cache/in").mkdir(parents=True)
    (directory / "tree/other/cache").mkdir(parents=True)
    daemon = start(SENTINEL + tree_of("restart_file_exclude=cache/in, *.tmp\n"))
    pid = ready(daemon)
    for name in ("cache/in/x", "x.tmp", "other/y.tmp"):
        (directory / "tree" / name).write_text("x")
    nothing_happens(daemon)
    (directory / "tree/other/cache/in").write_text("x")
    restarted(daemon, pid)


def test_own_logs_never(start: Start, directory: Path) -> None:
    (directory / "tree").mkdir()
    (directory / "link").symlink_to("tree")
    daemon = start(SENTINEL + "[program:web]\nstartsecs=0\nstopasgroup=true\nrestart_delay=0.2\n"
                   "restart_directory_monitor={dir}/link\n"
                   "command=/bin/sh -c 'while :; do echo 0123456789; echo e >&2; sleep 0.01; done'\n"
                   "stdout_logfile={dir}/tree/out.log\n"
                   "stdout_logfile_maxbytes=200\nstderr_logfile={dir}/link/err.log\n",
                   main={"logfile": str(directory / "tree/daemon.log"), "pidfile": str(directory / "tree/daemon.pid")})
    daemon.wait(lambda: (directory / "tree/out.log.3").exists(), "the log is rotated")
    pid = daemon.wait_state("web", "RUNNING")["pid"]
    log = directory / "tree/daemon.log"
    (directory / "sentinel/x").write_text("1")
    daemon.wait(lambda: "restarting sentinel" in log.read_text(), "the sentinel's restart")
    assert "restarting web" not in log.read_text()
    (directory / "tree/file").write_text("x")
    restarted(daemon, pid)
    assert f"restarting web: {directory}/link/file has changed\n" in log.read_text()


def test_two_programs_share_the_watches_of_one_tree(start: Start, directory: Path) -> None:
    for number in range(20):
        (directory / f"tree/{number}").mkdir(parents=True)
    daemon = start(tree_of("restart_file_pattern=*.py\n", "a") + tree_of("", "b"))
    pids = {name: ready(daemon, name) for name in ("a", "b")}
    daemon.wait(lambda: watched(daemon) >= 21, "everything is watched")
    count = watched(daemon)
    assert count <= 21 + len(directory.parts) + 1
    (directory / "tree/3/x.py").write_text("x")
    for name in ("a", "b"):
        pids[name] = restarted(daemon, pids[name], name)
    (directory / "tree/3/x.txt").write_text("x")
    restarted(daemon, pids["b"], "b")
    assert daemon.status("a")["pid"] == pids["a"] and watched(daemon) == count
    assert sorted(line.split(":")[0] for line in restarts(daemon)) == ["restarting a", "restarting b", "restarting b"]


def test_a_tree_that_is_replaced_away_and_a_symlink(start: Start, directory: Path) -> None:
    daemon = start(SENTINEL + tree_of())                # it is not there yet
    pid = ready(daemon)
    (directory / "tree/sub").mkdir(parents=True)
    (directory / "tree/sub/x").write_text("x")
    pid = restarted(daemon, pid)
    (directory / "tree").rename(directory / "old")
    nothing_happens(daemon)
    assert daemon.status("web")["pid"] == pid
    (directory / "fresh/sub").mkdir(parents=True)
    (directory / "fresh/sub/x").write_text("y")
    (directory / "fresh").rename(directory / "tree")
    pid = restarted(daemon, pid)
    (directory / "old/sub/x").write_text("nobody looks here any more")
    nothing_happens(daemon)
    (directory / "tree").rename(directory / "fresh")
    (directory / "tree").symlink_to("old")
    pid = restarted(daemon, pid)
    (directory / "old/sub/x").write_text("z")
    pid = restarted(daemon, pid)
    (directory / "next").symlink_to("fresh")
    (directory / "next").rename(directory / "tree")
    restarted(daemon, pid)


def test_loops_of_symlinks_are_not_followed(start: Start, directory: Path) -> None:
    (directory / "tree/sub").mkdir(parents=True)
    (directory / "outside").mkdir()
    (directory / "tree/sub/up").symlink_to("..")
    (directory / "tree/out").symlink_to(directory / "outside")
    daemon = start(SENTINEL + tree_of())
    pid = ready(daemon)
    (directory / "outside/x").write_text("x")
    nothing_happens(daemon)
    (directory / "tree/sub/x").write_text("x")
    restarted(daemon, pid)


# ---- what is done, and when ---------------------------------------------------------------------------------------

def test_never_starts_what_is_down(start: Start, directory: Path) -> None:
    (directory / "tree").mkdir()
    daemon = start(SENTINEL + tree_of("autostart=false\n") + "[program:bad]\ncommand=/bin/false\nstartretries=0\n"
                   "restart_directory_monitor={dir}/tree\nrestart_delay=0.3\n"
                   "[program:done]\ncommand=/bin/true\nstartsecs=0\nautorestart=false\nrestart_delay=0.3\n"
                   "restart_directory_monitor={dir}/tree\n")
    daemon.wait_state("bad", "FATAL")
    daemon.wait_state("done", "EXITED")
    (directory / "tree/x").write_text("x")
    nothing_happens(daemon)
    assert {name: daemon.status(name)["state"] for name in ("web", "bad", "done")} == \
        {"web": "STOPPED", "bad": "FATAL", "done": "EXITED"}
    daemon.call("Start", name="web")
    pid = daemon.wait_state("web", "RUNNING")["pid"]
    nothing_happens(daemon)                 # what was before the start is no reason
    (directory / "tree/x").write_text("yy")
    restarted(daemon, pid)


@pytest.mark.parametrize("options", [
    "pre_start_hook=/bin/sh -c 'date +%%N > {dir}/tree/stamp; sleep 0.6'\n",
    "post_stop_hook=/bin/sh -c 'date +%%N > {dir}/tree/stamp; sleep 0.6'\n"])
def test_what_a_hook_changes_before_the_child_is_no_reason(start: Start, directory: Path, options: str) -> None:
    (directory / "tree").mkdir()
    daemon = start(SENTINEL + tree_of() + options)
    pid = ready(daemon)
    nothing_happens(daemon)
    (directory / "tree/x").write_text("x")
    pid = restarted(daemon, pid)
    nothing_happens(daemon)
    assert daemon.status("web")["pid"] == pid and (directory / "tree/stamp").exists()


def test_what_a_hook_changes_that_fails_is_no_reason_to_try_at_once(start: Start, directory: Path) -> None:
    (directory / "tree").mkdir()
    daemon = start(SENTINEL + tree_of() + "restartpause=1000\n"
                   "pre_start_hook=/bin/sh -c 'date +%%N > {dir}/tree/stamp; exit 1'\n")
    daemon.wait_state("web", "BACKOFF")
    nothing_happens(daemon)
    assert daemon.status("web")["state"] == "BACKOFF"


def test_who_is_depended_on_comes_back(start: Start, directory: Path) -> None:
    (directory / "tree").mkdir()
    daemon = start(tree_of() + "[program:app]\ncommand=/bin/sleep 1000\nstartsecs=0\ndepends_on=web\n"
                   "depends_lost=restart\npre_stop_hook=sleep 0.5\n")
    daemon.wait_state("app", "RUNNING")
    app, pid = daemon.status("app")["pid"], ready(daemon)
    (directory / "tree/x").write_text("x")
    restarted(daemon, pid)
    restarted(daemon, app, "app")


def test_a_name_is_one_line(start: Start, directory: Path) -> None:
    (directory / "tree").mkdir()
    daemon = start(tree_of())
    ready(daemon)
    (directory / "tree" / "x\nforged: line").write_text("x")
    daemon.wait_log(r"tree/x\nforged: line has changed")


def test_an_update_lets_no_second_command_run(start: Start, directory: Path) -> None:
    (directory / "tree").mkdir()
    command = ("restart_cmd_when_file_changed=/bin/sh -c 'echo run >> {dir}/ran; "
               "until test -e {dir}/go; do sleep 0.1; done'\n")
    daemon = start(SENTINEL + tree_of() + command)
    ready(daemon)
    (directory / "tree/x").write_text("x")
    daemon.wait(lambda: daemon.text("ran") == "run\n", "the command runs")
    daemon.write(SENTINEL + tree_of().replace("restart_delay=0.3", "restart_delay=0.2") + command)
    daemon.call("Update")
    (directory / "tree/y").write_text("y")
    nothing_happens(daemon)
    assert daemon.text("ran") == "run\n"
    (directory / "go").touch()
    daemon.wait(lambda: daemon.text("ran") == "run\nrun\n", "what has waited follows")


@pytest.mark.parametrize("option", ["restart_delay=0.2", "restart_delay=0.3\nrestart_file_pattern=*.py"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_change_beside_an_update_is_not_lost(start: Start, directory: Path, when: str, option: str) -> None:
    """What waits for quiet when the options change, and what comes before the first look at a large new tree."""
    for number in range(40):
        (directory / f"tree/{number}").mkdir(parents=True)
        for name in range(100):
            (directory / f"tree/{number}/{name}.py").touch()
    daemon = start(tree_of().replace("restart_delay=0.3", "restart_delay=0.8") if when == "before" else
                   f"[program:web]\n{SLEEP}")
    pid: int = daemon.wait_state("web", "RUNNING")["pid"]
    if when == "before":
        daemon.wait(lambda: watched(daemon) > 40, "all directories are watched")
    last = directory / "tree/39/99.py"
    if when == "before":
        last.write_text("x")
    daemon.write(tree_of().replace("restart_delay=0.3", option))
    daemon.call("Update")
    if when == "after":
        last.write_text("x")
    restarted(daemon, pid)
    assert restarts(daemon) == [f"restarting web: {last} has changed"]


def test_what_was_changed_before_a_restart_by_hand_is_no_reason(start: Start, directory: Path) -> None:
    (directory / "tree").mkdir()
    changed = directory / "tree/x"
    changed.touch()
    daemon = start(SENTINEL + tree_of())
    ready(daemon)
    changed.write_text("x")
    daemon.call("Stop", name="web")
    daemon.call("Start", name="web")
    pid = daemon.wait_state("web", "RUNNING")["pid"]
    changed.chmod(0o600)                    # which is no change, but makes somebody look
    nothing_happens(daemon)
    assert daemon.status("web")["pid"] == pid


def test_backoff_is_tried_at_once(start: Start, directory: Path) -> None:
    app = script(directory / "app", "exit 1")
    daemon = start(f"[program:web]\ncommand={app}\nstartsecs=1\nrestartpause=1000\nrestart_delay=0.2\n"
                   "restart_when_binary_changed=true\n")
    daemon.wait_state("web", "BACKOFF")
    script(app)
    daemon.wait_state("web", "RUNNING")


def test_a_starting_one_is_left_to_it(start: Start, directory: Path) -> None:
    (directory / "tree").mkdir()
    daemon = start(tree_of().replace("startsecs=0", "startsecs=3"))
    pid = daemon.wait_state("web", "STARTING")["pid"]
    daemon.wait(lambda: watched(daemon), "the tree is watched")
    (directory / "tree/x").write_text("x")
    daemon.wait(lambda: daemon.status("web")["pid"] != pid, "the restart")
    told = [line for line in lines(daemon) if "web" in line and ("RUNNING" in line or "restarting" in line)]
    assert "entered RUNNING" in told[0] and told[1].startswith("restarting web")


def test_commands_and_signals_instead(start: Start, directory: Path) -> None:
    (directory / "tree").mkdir()
    app = script(directory / "app", f"trap 'echo hup >> {directory}/got' HUP\nwhile :; do sleep 0.05; done")
    daemon = start(f"[program:cmd]\n{SLEEP}user=nobody\nrestart_directory_monitor={{dir}}/tree\n"
                   f"restart_cmd_when_file_changed=/bin/sh -c 'id -un > {directory}/out/%(program_name)s; "
                   "echo $SUPERVISOR_CHANGED_FILE; exit 4'\n"
                   f"[program:sig]\ncommand={app}\nstartsecs=0\nstopasgroup=true\nrestart_delay=0.3\n"
                   "restart_directory_monitor={dir}/tree\nrestart_signal_when_file_changed=HUP\n",
                   main={"loglevel": "debug"})
    (directory / "out").mkdir()
    (directory / "out").chmod(0o777)
    pids = {name: ready(daemon, name) for name in ("cmd", "sig")}
    (directory / "tree/x").write_text("x")
    daemon.wait(lambda: daemon.text("got") == "hup\n", "the signal")
    daemon.wait_log("cmd: what was run for changed files has failed: exit status 4")
    assert daemon.text("out/cmd") == "nobody\n" and f"DEBG cmd: /bin/sh: {directory}/tree/x" in daemon.log
    assert f"sig: sending SIGHUP: {directory}/tree/x has changed" in lines(daemon)
    assert pids == {name: daemon.status(name)["pid"] for name in pids} and not restarts(daemon)


def test_a_reload_takes_options_over_and_watches_away(start: Start, directory: Path) -> None:
    (directory / "tree").mkdir()
    daemon = start(f"[program:web]\n{SLEEP}")
    pid = daemon.wait_state("web", "RUNNING")["pid"]
    assert watched(daemon) == 0
    daemon.write(tree_of())
    daemon.call("Update")
    daemon.wait(lambda: watched(daemon), "the tree is watched")
    assert daemon.status("web")["pid"] == pid
    (directory / "tree/x").write_text("x")
    pid = restarted(daemon, pid)
    daemon.write(f"[program:web]\n{SLEEP}")
    daemon.call("Update")
    daemon.wait(lambda: not watched(daemon), "nothing is watched")
    assert daemon.status("web")["pid"] == pid
    daemon.write(tree_of())
    daemon.call("Update")
    daemon.wait(lambda: watched(daemon), "the tree is watched")
    daemon.write("")
    daemon.call("Update")
    daemon.wait(lambda: not watched(daemon), "nothing is watched")


def test_changes_that_never_stop_are_one_restart_after_a_while(start: Start, directory: Path) -> None:
    (directory / "tree").mkdir()
    daemon = start(tree_of() + "[program:writer]\nautostart=false\nstopasgroup=true\ncommand=/bin/sh -c "
                   "'while :; do echo x >> {dir}/tree/x; sleep 0.02; done'\n")
    pid = ready(daemon)
    began = time.monotonic()
    daemon.call("Start", name="writer")
    restarted(daemon, pid)
    assert time.monotonic() - began > 2.5       # ten times restart_delay, less what a slow clock may take
    daemon.call("Stop", name="writer")


def test_a_file_that_is_being_written_is_waited_for(start: Start, directory: Path) -> None:
    (directory / "tree").mkdir()
    daemon = start(SENTINEL + tree_of())
    pid = ready(daemon)
    with open(directory / "tree/big", "w") as file:
        file.write("half")
        file.flush()
        nothing_happens(daemon)
        file.write("whole")
    restarted(daemon, pid)
    assert sum("web" in line for line in restarts(daemon)) == 1


# ---- many, and the limits of the kernel ---------------------------------------------------------------------------

def test_twenty_thousand_files(start: Start, directory: Path) -> None:
    for number in range(200):
        (directory / f"tree/{number // 20}/{number}").mkdir(parents=True)
        for file in range(100):
            (directory / f"tree/{number // 20}/{number}/{file}").touch()
    daemon = start(tree_of().replace("restart_delay=0.3", "restart_delay=3"))
    pid = daemon.wait_state("web", "RUNNING")["pid"]
    daemon.wait(lambda: watched(daemon) > 210, "all directories are watched")
    asked: list[float] = []

    def until_restarted() -> bool:
        began = time.monotonic()
        state = daemon.status("web")
        asked.append(time.monotonic() - began)
        return state["pid"] not in (0, pid)

    for number in range(200):
        for file in range(100):
            (directory / f"tree/{number // 20}/{number}/{file}").write_text("new")
    daemon.wait(until_restarted, "the restart")
    (found,) = restarts(daemon)
    assert re.fullmatch(r"restarting web: \S+ has changed \(and 19999 others\)", found)
    assert max(asked) < 2, "clients are answered meanwhile"


@pytest.mark.parametrize(("limit", "sysctl"), [
    ("max_inotify_watches", "fs.inotify.max_user_watches"), ("max_inotify_instances", "fs.inotify.max_user_instances")])
def test_limits_of_the_kernel_are_said_and_files_are_polled(start: Start, directory: Path, limit: str, sysctl: str,
                                                            ) -> None:
    for number in range(20):
        (directory / f"tree/{number}").mkdir(parents=True)
    most = 10 if "watches" in limit else 0
    daemon = start(tree_of(), before=["unshare", "-U", "-r", "sh", "-c",
                                      f'echo {most} > /proc/sys/user/{limit} && exec "$@"', "sh"])
    pid = daemon.wait_state("web", "RUNNING")["pid"]
    daemon.wait_log(f"(raise {sysctl}): files are looked at every 5 seconds instead")
    (directory / "tree/19/x").write_text("x")
    daemon.wait(lambda: daemon.status("web")["pid"] not in (0, pid), "the restart", limit=40)
    assert restarts(daemon) == [f"restarting web: {directory}/tree/19/x has changed"]
    assert daemon.log.count(sysctl) == 1


def test_a_command_ends_with_its_program_and_with_the_daemon(start: Start, directory: Path,
                                                             tracking: dict[str, str]) -> None:
    (directory / "tree").mkdir()
    options = ("restart_cmd_when_file_changed=/bin/sh -c 'echo $$ > {dir}/%(program_name)s.pid; "
               "sleep 1000 & sleep 1000'\n")
    daemon = start(tree_of(options, "a") + tree_of(options, "b"), main=tracking)
    for name in ("a", "b"):
        ready(daemon, name)
    (directory / "tree/x").write_text("x")
    pids = {name: daemon.json(f"{name}.pid") for name in ("a", "b")}
    daemon.write(tree_of(options, "b"))
    daemon.call("Update")
    daemon.wait(lambda: not os.path.exists(f"/proc/{pids['a']}"), "the command of what was removed is ended")
    assert os.path.exists(f"/proc/{pids['b']}")
    (directory / "tree/y").write_text("y")      # waits for the command: there are never two
    assert daemon.stop() == 0 and not os.path.exists(f"/proc/{pids['b']}")
    assert daemon.log.count("b: running /bin/sh: ") == 1
