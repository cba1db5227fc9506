"""Sandboxes and credentials in a daemon: what a program gets, what is said of it, and that nothing stays."""

import os
import stat
from pathlib import Path

import pytest

from sdsuper.engine.credentials import MOST_BYTES, Credentials, remove
from sdsuper.errors import Refusal, SpawnError
from tests.engine.conftest import Daemon, Start

pytestmark = pytest.mark.root
GIVEN = Path("/run/sdsuper/credentials")
SLEEP = "command=sleep 1000\nstartsecs=0\n"


def given(daemon: Daemon) -> list[Path]:
    """The directories of credentials that the daemon has made."""
    own = GIVEN / str(daemon.pid)
    return sorted(own.iterdir()) if own.exists() else []


def environment(pid: int) -> dict[str, str]:
    text = Path(f"/proc/{pid}/environ").read_text()
    return dict(pair.split("=", 1) for pair in text.split("\0") if pair)


def in_force(daemon: Daemon, name: str) -> dict[str, str]:
    (found,) = daemon.call("Cat", name=name)["processes"]
    return {pair["name"]: pair["value"] for pair in found["in_force"]}


def options(daemon: Daemon, name: str) -> dict[str, str]:
    (found,) = daemon.call("Cat", name=name)["processes"]
    return {pair["name"]: pair["value"] for pair in found["options"]}


def executed(daemon: Daemon, name: str) -> int:
    """The pid of a process whose program has begun: until then nothing of it is in force."""
    pid: int = daemon.wait_state(name, "RUNNING")["pid"]
    daemon.wait(lambda: "sdsuper-exec" not in os.readlink(f"/proc/{pid}/exe"), f"{name} executes")
    return pid


# ---- the options reach the child ----------------------------------------------------------------------------------

def test_a_preset_and_an_option_that_wins(start: Start) -> None:
    daemon = start(f"[program:box]\n{SLEEP}sandbox=strict\nuser=nobody\nprotect_home=read-only\n"
                   f"capabilities=CAP_NET_BIND_SERVICE\noom_score_adj=300\n[program:plain]\n{SLEEP}")
    for name in ("box", "plain"):
        executed(daemon, name)
    box, plain = in_force(daemon, "box"), in_force(daemon, "plain")
    assert (box["no_new_privs"], box["seccomp"], box["capabilities effective"], box["oom_score_adj"]) == \
        ("true", "filter", "CAP_NET_BIND_SERVICE", "300")
    assert box["namespaces of its own"] == "mnt"
    assert box["mount /"].endswith(" ro") and box["mount /home"].endswith(" ro") and box["directory"] == "/"
    assert box["uid"] == "65534" and plain["uid"] == "0"
    assert (plain["no_new_privs"], plain["seccomp"], plain["namespaces of its own"]) == ("false", "off", "none")
    assert options(daemon, "box")["protect_home"] == "read-only"
    assert set(options(daemon, "plain")) == {"command", "startsecs"}


def test_numprocs_and_names_in_paths_and_processors(start: Start, directory: Path) -> None:
    for number in (0, 1):
        (directory / f"w{number}").mkdir()
    daemon = start("[program:w]\nnumprocs=2\nprocess_name=w%(process_num)d\n" + SLEEP +
                   f"protect_system=strict\nread_write_paths={directory}/%(program_name)s%(process_num)d\n"
                   "cpu_affinity=0-%(process_num)d\n")
    for number in (0, 1):
        pid = executed(daemon, f"w:w{number}")
        assert os.sched_getaffinity(pid) == {0, number} & os.sched_getaffinity(0)
        table = Path(f"/proc/{pid}/mountinfo").read_text()
        assert f"{directory}/w{number} " in table and f"{directory}/w{1 - number} " not in table


def test_a_change_of_the_sandbox_restarts(start: Start) -> None:
    daemon = start(f"[program:a]\n{SLEEP}sandbox=standard\n[program:b]\n{SLEEP}sandbox=standard\n")
    before = {name: executed(daemon, name) for name in ("a", "b")}
    daemon.write(f"[program:a]\n{SLEEP}sandbox=strict\n[program:b]\n{SLEEP}sandbox=standard\n")
    daemon.call("Update")
    after = {name: executed(daemon, name) for name in ("a", "b")}
    assert after["a"] != before["a"] and after["b"] == before["b"]
    assert in_force(daemon, "a")["capabilities bounding"] == "none"


def test_children_of_a_daemon_that_is_not_to_be_killed(start: Start, directory: Path) -> None:
    """What the daemon reads of itself says -900. What its children inherit is 500 here, for nobody could be given less
    everywhere.
    """
    (directory / "score").write_text("-900\n")
    protected = "echo 500 >/proc/self/oom_score_adj && " \
                f'mount --bind {directory}/score /proc/$$/oom_score_adj && exec "$@"'
    text = f"[program:plain]\n{SLEEP}[program:own]\n{SLEEP}oom_score_adj=200\n[program:box]\n{SLEEP}ionice=idle\n"
    daemon = start(text, before=["unshare", "-m", "sh", "-c", protected, "sh"])
    pids = {name: executed(daemon, name) for name in ("plain", "own", "box")}
    scores = {name: Path(f"/proc/{pid}/oom_score_adj").read_text() for name, pid in pids.items()}
    assert scores == {"plain": "0\n", "own": "200\n", "box": "0\n"}


def test_children_of_another_daemon_inherit(start: Start) -> None:
    set_score = 'echo 500 >/proc/self/oom_score_adj && exec "$@"'
    daemon = start(f"[program:plain]\n{SLEEP}", before=["sh", "-c", set_score, "sh"])
    assert Path(f"/proc/{executed(daemon, 'plain')}/oom_score_adj").read_text() == "500\n"


# ---- what cannot be had -------------------------------------------------------------------------------------------

def test_a_stage_is_named(start: Start) -> None:
    daemon = start("[program:a]\ncommand=sleep 1000\nread_only_paths=/none\nstartretries=0\n")
    found = daemon.wait_state("a", "FATAL")
    assert found["spawnerr"] == "mounting /none read-only: No such file or directory"


def test_a_warning_for_each_program_once(start: Start) -> None:
    daemon = start("[program:a]\nnumprocs=2\nprocess_name=%(process_num)d\ncommand=sleep 0\nstartsecs=0\n"
                   "autorestart=true\nread_only_paths=/none\nsandbox_unsupported=warn\n"
                   f"[program:b]\n{SLEEP}read_only_paths=/none\nsandbox_unsupported=warn\n")
    executed(daemon, "b")
    daemon.wait_log("spawned: '0'", 5)
    said = [line for line in daemon.messages if "runs without" in line]
    words = "runs without a part of its sandbox: mounting /none read-only: No such file or directory"
    assert sorted(said) == [f"WARN a {words}", f"WARN b {words}"] or sorted(said) == [f"a {words}", f"b {words}"]


# ---- credentials --------------------------------------------------------------------------------------------------

@pytest.fixture
def secret(directory: Path) -> Path:
    path = directory / "secret"
    path.write_text("kept quiet\n")
    path.chmod(0o600)
    return path


def test_a_file_for_its_user_alone(start: Start, secret: Path) -> None:
    daemon = start(f"[program:a]\n{SLEEP}user=nobody\ncredential=db:{secret}, tls.key:{secret}\n")
    pid = executed(daemon, "a")
    place = Path(environment(pid)["CREDENTIALS_DIRECTORY"])
    assert given(daemon) == [place]
    assert sorted(path.name for path in place.iterdir()) == ["db", "tls.key"]
    for path, mode in ((place, 0o500), (place / "db", 0o400)):
        status = path.stat()
        assert (stat.S_IMODE(status.st_mode), status.st_uid) == (mode, 65534)
    assert (place / "db").read_text() == "kept quiet\n"
    for path, mode in ((GIVEN.parent, 0o755), (GIVEN, 0o711), (place.parent, 0o711)):
        assert (stat.S_IMODE(path.stat().st_mode), path.stat().st_uid) == (mode, 0)
    everything = f"{environment(pid)}{daemon.log}{daemon.call('Cat', name='a')}{daemon.call('List', name='a')}"
    assert "quiet" not in everything and str(secret) not in everything
    daemon.result("Stop", "a")
    assert given(daemon) == []


def test_in_its_own_view_nobody_else_sees_it(start: Start, secret: Path) -> None:
    daemon = start(f"[program:a]\n{SLEEP}user=nobody\nsandbox=strict\ncredential=db:{secret}\n")
    pid = executed(daemon, "a")
    (place,) = given(daemon)
    assert environment(pid)["CREDENTIALS_DIRECTORY"] == str(place)
    assert list(place.iterdir()) == []
    assert Path(f"/proc/{pid}/root{place}/db").read_text() == "kept quiet\n"
    assert stat.S_IMODE(os.stat(f"/proc/{pid}/root{place}").st_mode) == 0o500
    daemon.result("Stop", "a")
    assert given(daemon) == []


def test_what_a_program_leaves_behind_keeps_it(start: Start, secret: Path, directory: Path,
                                               tracking: dict[str, str]) -> None:
    script = directory / "leaves"
    script.write_text("#!/bin/sh\nsleep 1000 &\necho $! >$1\n")
    script.chmod(0o755)
    daemon = start(f"[program:a]\ncommand={script} {directory}/left\nstartsecs=0\nautorestart=false\n"
                   f"credential=db:{secret}\n", main=tracking)
    daemon.wait_state("a", "EXITED")
    daemon.wait(lambda: daemon.text("left").endswith("\n"))
    assert len(given(daemon)) == 1
    os.kill(int(daemon.text("left")), 9)
    daemon.wait(lambda: given(daemon) == [], "the directory is removed")


def test_with_landlock_and_without_mounts(start: Start, secret: Path, directory: Path) -> None:
    (directory / "out").touch()
    (directory / "out").chmod(0o666)
    daemon = start(f"[program:a]\ncommand=sh -c 'cat $CREDENTIALS_DIRECTORY/db >{directory}/out; exec sleep 1000'\n"
                   f"user=nobody\ncredential=db:{secret}\nlandlock_read=/usr,/bin,/lib,-/lib64,/etc\n"
                   f"landlock_write={directory}/out\nstartsecs=0\n")
    daemon.wait(lambda: daemon.text("out") == "kept quiet\n", "the program reads it")


def test_it_is_read_at_each_start(start: Start, secret: Path) -> None:
    daemon = start(f"[program:a]\n{SLEEP}credential=db:{secret}\n")
    executed(daemon, "a")
    secret.write_text("another\n")
    daemon.result("Stop", "a")
    daemon.result("Start", "a")
    (place,) = given(daemon)
    assert (place / "db").read_text() == "another\n"


@pytest.mark.parametrize(("make", "why"), [
    (lambda path: None, "No such file or directory"),
    (lambda path: path.symlink_to("/etc/shadow"), "is a symbolic link"),
    (lambda path: path.mkdir(), "is not a regular file"),
    (lambda path: os.mkfifo(path), "is not a regular file"),
    (lambda path: path.write_bytes(b"x" * (MOST_BYTES + 1)), "has more than 1 MiB"),
])
def test_what_is_no_credential(start: Start, directory: Path, make: object, why: str) -> None:
    make(directory / "wrong")  # type: ignore[operator]
    daemon = start(f"[program:a]\n{SLEEP}startretries=0\ncredential=db:{directory}/wrong\n")
    found = daemon.wait_state("a", "FATAL")
    assert found["spawnerr"] == f"cannot read credential db: {directory}/wrong: {why}"
    assert given(daemon) == []


def test_a_launch_that_fails_leaves_nothing(start: Start, secret: Path) -> None:
    daemon = start(f"[program:a]\n{SLEEP}startretries=0\ncredential=db:{secret}\nread_only_paths=/none\n"
                   f"[program:b]\n{SLEEP}startretries=0\ncredential=db:{secret}\ndirectory=/\numask=0\n"
                   "cpu_affinity=8000\n")
    for name in ("a", "b"):
        daemon.wait_state(name, "FATAL")
    daemon.wait(lambda: given(daemon) == [], "the directories are removed")


def test_nothing_is_left_after_the_daemon(start: Start, secret: Path) -> None:
    daemon = start(f"[program:a]\n{SLEEP}credential=db:{secret}\n")
    executed(daemon, "a")
    daemon.stop()
    assert not (GIVEN / str(daemon.pid)).exists()


def test_the_most_that_fits(directory: Path) -> None:
    path = directory / "large"
    path.write_bytes(b"x" * MOST_BYTES)
    credentials = Credentials(None)
    place, contents = credentials.give(1, "test", (("a", str(path)),), None, False)
    assert len(contents["a"]) == MOST_BYTES and Path(place, "a").stat().st_size == MOST_BYTES
    with pytest.raises(SpawnError, match="File exists"):
        credentials.give(2, "test", (("a", str(path)),), None, False)
    credentials.close()
    assert not Path(place).exists()


def test_what_a_dead_daemon_left_is_removed(directory: Path) -> None:
    credentials = Credentials(None)
    (directory / "x").write_text("x")
    credentials.give(1, "first", (("a", str(directory / "x")),), None, False)
    (GIVEN / "999999999").mkdir()
    (GIVEN / "999999999/old").mkdir()
    other = Credentials(None)
    other.give(1, "second", (("a", str(directory / "x")),), None, False)
    assert not (GIVEN / "999999999").exists()
    other.close()
    credentials.close()


def test_removing_follows_no_link(directory: Path) -> None:
    (directory / "outside").mkdir()
    (directory / "outside/file").write_text("stays")
    inside = directory / "inside"
    (inside / "deep/er").mkdir(parents=True)
    (inside / "link").symlink_to(directory / "outside")
    (inside / "deep/er/link").symlink_to(directory / "outside/file")
    remove(str(inside))
    assert not inside.exists() and (directory / "outside/file").read_text() == "stays"
    (directory / "itself").symlink_to(directory / "outside")
    remove(str(directory / "itself"))
    assert (directory / "outside/file").exists()


def test_a_place_that_somebody_else_owns_is_not_used(directory: Path) -> None:
    (directory / "sdsuper").mkdir()
    os.chown(directory / "sdsuper", 65534, 65534)
    (directory / "x").write_text("x")
    credentials = Credentials(str(directory))
    credentials._top = str(directory)
    with pytest.raises(SpawnError, match="only this daemon's account can write"):
        credentials.give(1, "a", (("a", str(directory / "x")),), None, False)
    credentials.close()


# ---- ctl cat ------------------------------------------------------------------------------------------------------

def test_cat_shows_no_values_of_variables_and_no_passwords(start: Start, secret: Path) -> None:
    daemon = start("[program:a]\ncommand=sleep 1000 --password=hunter2 --token 'a b' http://u:pw@host/\n"
                   f'autostart=false\nenvironment=KEY="value",OTHER="x"\ncredential=db:{secret}\n')
    shown = options(daemon, "a")
    assert shown["command"] == "sleep 1000 --password=*** --token *** http://u:***@host/"
    assert shown["environment"] == "OTHER=…" and shown["credential"] == "db:…"
    assert in_force(daemon, "a") == {}


def test_cat_of_a_group_and_of_nobody(start: Start) -> None:
    daemon = start(f"[program:a]\n{SLEEP}[program:b]\n{SLEEP}rlimit_nofile=50:60\nnice=3\n[group:g]\nprograms=a,b\n")
    executed(daemon, "g:b")
    found = daemon.call("Cat", name="g:*")["processes"]
    assert [one["name"] for one in found] == ["a", "b"]
    b = in_force(daemon, "g:b")
    assert (b["rlimit_nofile"], b["nice"], b["sched_policy"]) == ("50:60", "3", "other")
    assert options(daemon, "g:b")["rlimit_nofile"] == "50:60"
    with pytest.raises(Refusal, match="BAD_NAME"):
        daemon.call("Cat", name="none")
