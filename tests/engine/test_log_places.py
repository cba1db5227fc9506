"""Where logs may be, and what happens where they cannot: full disks, planted links, other people's directories."""

import os
import pwd
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from sdsuper.errors import Refusal
from tests.engine.conftest import Daemon, Start
from tests.engine.test_daily import ctl

CAT = "[program:web]\ncommand=cat\nstdout_logfile={dir}/logs/out\nstderr_logfile=NONE\nstartsecs=0\nstartretries=0\n"


def say(daemon: Daemon, text: str) -> None:
    daemon.call("WriteStdin", name="web", data=text + "\n")


@pytest.fixture
def logs(directory: Path) -> Path:
    path = directory / "logs"
    path.mkdir()
    return path


@pytest.fixture
def small_disk(logs: Path) -> Iterator[Path]:
    """`logs` on a file system of 256 kB."""
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", logs], capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"cannot mount: {mounted.stderr}")
    yield logs
    subprocess.run(["umount", logs], check=True)


@pytest.mark.root
def test_a_full_disk(small_disk: Path, start: Start) -> None:
    daemon = start(CAT)
    pid = daemon.status("web")["pid"]
    (small_disk / "filler").write_bytes(b"x" * (200 << 10))
    for _ in range(20):
        say(daemon, "y" * 10000)
    daemon.wait(lambda: daemon.status("web")["lost_bytes"] > 0, "something is lost")
    daemon.wait(lambda: daemon.status("web")["lost_bytes"] + (small_disk / "out").stat().st_size == 20 * 10001,
                "every byte is in the file or counted")
    (small_disk / "filler").unlink()
    say(daemon, "after")
    daemon.wait(lambda: (small_disk / "out").read_text().endswith("after\n"), "writes resume")
    assert daemon.status("web")["pid"] == pid
    complaints = [line for line in daemon.messages if "No space left" in line]
    assert len(complaints) == 1
    assert re.match(r"ERRO web stdout: cannot write to .*/out: No space left on device; \d+ bytes lost", complaints[0])
    daemon.stop()


@pytest.mark.root
def test_a_disk_that_is_full_at_the_start(small_disk: Path, start: Start) -> None:
    with open(small_disk / "filler", "wb", buffering=0) as file:
        try:
            while file.write(b"x" * 4096):
                pass
        except OSError:
            pass
    for number in range(1000):
        try:
            (small_disk / f"inode{number}").touch()
        except OSError:
            break
    daemon = start(CAT, main={"pidfile": str(small_disk / "pid")})
    assert daemon.status("web")["state"] == "RUNNING"
    say(daemon, "lost")
    daemon.wait(lambda: daemon.status("web")["lost_bytes"] == 5)
    for path in small_disk.glob("[fi]*"):
        path.unlink()
    lines = iter(range(1000))

    def written() -> int:
        say(daemon, str(next(lines)))
        return (small_disk / "out").stat().st_size if (small_disk / "out").exists() else 0

    daemon.wait(written, "writes resume", limit=5)
    daemon.stop()


@pytest.mark.root
def test_a_file_system_that_cannot_be_written(small_disk: Path, start: Start) -> None:
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    daemon = start(CAT)
    assert daemon.status("web")["state"] == "RUNNING"
    say(daemon, "lost")
    daemon.wait(lambda: daemon.status("web")["lost_bytes"] == 5)
    daemon.wait_log("Read-only file system")
    daemon.stop()


@pytest.mark.root
def test_a_rotation_that_cannot_be_is_not_called_one(small_disk: Path, start: Start) -> None:
    (small_disk / "out").write_text("of another daemon\n")
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    daemon = start(CAT + "autostart=false\n")
    assert ctl(daemon, "rotate", "web") == (1, f"web: ERROR ({small_disk}/out: Read-only file system)\n")
    daemon.call("Start", name="web")
    assert ctl(daemon, "rotate", "web") == (1, f"web: ERROR ({small_disk}/out: Read-only file system)\n")
    daemon.stop()


def plant(kind: str, logs: Path, target: Path) -> None:
    """Make `logs/out` what it should not be."""
    out = logs / "out"
    if kind == "symbolic link":
        out.symlink_to(target)
    elif kind == "dangling link":
        out.symlink_to(target.with_name("not there"))
    elif kind == "hard link":
        out.hardlink_to(target)
    elif kind == "FIFO":
        os.mkfifo(out)
    elif kind == "device":
        os.mknod(out, 0o020666, os.makedev(1, 7))
    elif kind == "directory":
        out.mkdir()


KINDS = {"symbolic link": "is a symbolic link", "dangling link": "is a symbolic link", "FIFO": "is not a regular file",
         "hard link": "has more than one name (hard link)", "device": "is not a regular file",
         "directory": "Is a directory"}


@pytest.mark.root
@pytest.mark.parametrize("kind", KINDS)
def test_planted_log_files_are_refused(start: Start, logs: Path, directory: Path, kind: str) -> None:
    target = directory / "target"
    target.write_text("important")
    before = target.stat()
    plant(kind, logs, target)
    daemon = start(CAT + "[program:other]\ncommand=sleep 1000\nstartsecs=0\n")
    assert daemon.wait_state("web", "FATAL")["spawnerr"] == f"cannot open {logs}/out: {KINDS[kind]}"
    with pytest.raises(Refusal):
        os.close(daemon.client().open_log("web")[0])
    assert daemon.status("other")["state"] == "RUNNING"
    assert target.read_text() == "important" and not (directory / "not there").exists()
    after = target.stat()
    assert (after.st_mode, after.st_uid, after.st_mtime_ns) == (before.st_mode, before.st_uid, before.st_mtime_ns)


@pytest.mark.root
@pytest.mark.parametrize("kind", KINDS)
def test_log_files_that_are_replaced_while_in_use(start: Start, logs: Path, directory: Path, kind: str) -> None:
    target = directory / "target"
    target.write_text("important")
    daemon = start(CAT)
    say(daemon, "one")
    daemon.wait(lambda: (logs / "out").read_text() == "one\n")
    (logs / "out").unlink()
    plant(kind, logs, target)
    say(daemon, "two")
    daemon.wait(lambda: daemon.status("web")["lost_bytes"] == 4, "it is counted as lost")
    daemon.call("ReopenLogs")
    daemon.wait_log(f"ERRO web stdout: cannot open {logs}/out: {KINDS[kind]}")
    assert target.read_text() == "important"
    daemon.faults("ClearLogs", "web")
    assert target.read_text() == "important"


@pytest.mark.root
def test_a_rotation_into_planted_links(start: Start, logs: Path, directory: Path) -> None:
    target = directory / "target"
    target.write_text("important")
    (logs / "out.1").symlink_to(target)
    daemon = start(CAT + "stdout_logfile_maxbytes=1KB\nstdout_logfile_backups=1\n")
    say(daemon, "x" * 2000)
    daemon.wait(lambda: (logs / "out.1").exists() and not (logs / "out.1").is_symlink(), "the link is replaced")
    assert target.read_text() == "important"
    assert (logs / "out.1").stat().st_size == 2001


@pytest.mark.root
def test_in_a_users_directory_the_user_writes(start: Start, logs: Path, directory: Path) -> None:
    nobody = pwd.getpwnam("nobody")
    os.chown(logs, nobody.pw_uid, nobody.pw_gid)
    secret = directory / "secret"
    secret.write_text("secret")
    secret.chmod(0o600)
    daemon = start(CAT + "user=nobody\nstdout_logfile_maxbytes=1KB\nstdout_logfile_backups=1\n")
    say(daemon, "x" * 2000)
    daemon.wait((logs / "out.1").exists, "it is rotated")
    say(daemon, "one")
    daemon.wait(lambda: (logs / "out").exists() and (logs / "out").read_text() == "one\n")
    for name in ("out", "out.1"):
        facts = (logs / name).stat()
        assert (facts.st_uid, facts.st_gid, facts.st_mode & 0o777) == (nobody.pw_uid, nobody.pw_gid, 0o644)
    # a link in a directory on the way, which the user could have made
    daemon.call("Stop", name="web")
    (logs / "out").unlink()
    (logs / "out").symlink_to(secret)
    assert daemon.result("Start", "web")[0] == "SPAWN_ERROR"
    with pytest.raises(Refusal):
        daemon.client().open_log("web")
    assert secret.read_text() == "secret"
    assert os.geteuid() == 0 and "Uid:\t0\t0\t0\t0" in Path(f"/proc/{daemon.process.pid}/status").read_text()


@pytest.mark.root
def test_in_roots_directory_root_writes_for_a_user(start: Start, logs: Path) -> None:
    daemon = start(CAT + "user=nobody\n")
    say(daemon, "one")
    daemon.wait(lambda: (logs / "out").exists() and (logs / "out").read_text() == "one\n")
    assert (logs / "out").stat().st_uid == 0


def test_auto_logs(start: Start, directory: Path, logs: Path) -> None:
    text = "[program:web]\ncommand=sh -c 'echo hello; exec sleep 1000'\n" \
           "[program:idle]\ncommand=sleep 1\nautostart=false\n"
    main = {"childlogdir": str(logs), "identifier": "mine"}
    (logs / "web-stdout---other-abcdefgh.log").touch()
    (logs / "web-stdout---mine-abcdefgh.log.1").touch()
    daemon = start(text, main=main)
    path = Path(daemon.status("web")["stdout_logfile"])
    assert re.fullmatch(r"web-stdout---mine-[a-z0-9]{8}\.log", path.name) and path.parent == logs
    daemon.wait(lambda: path.read_text() == "hello\n")
    assert path.stat().st_mode & 0o777 == 0o600
    names = sorted(name.rpartition("-")[0] for name in os.listdir(logs))
    assert names == ["idle-stderr---mine", "idle-stdout---mine", "web-stderr---mine", "web-stdout---mine",
                     "web-stdout---other"]
    daemon.stop()
    assert path.exists()
    daemon = start(text, main={**main, "nocleanup": "true"})
    assert path.exists() and len(os.listdir(logs)) == 9
    daemon.stop()
    daemon = start(text, main=main)
    assert not path.exists() and len(os.listdir(logs)) == 5


def test_auto_logs_are_never_a_planted_file(start: Start, directory: Path, logs: Path) -> None:
    target = directory / "target"
    target.write_text("important")
    (logs / "web-stdout---supervisor-abcdefgh.log").symlink_to(target)
    start("[program:web]\ncommand=sleep 1000\n", main={"childlogdir": str(logs)})
    assert target.read_text() == "important" and len(os.listdir(logs)) == 2


def test_a_directory_that_is_not_there(start: Start) -> None:
    daemon = start(CAT, ready=False)
    assert daemon.process.wait(20) == 2
    assert daemon.stderr.startswith(f"{daemon.config}:9: error: [program:web] stdout_logfile: no such directory: ")
