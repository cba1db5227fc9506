"""Environment files with real programs: read at each start, opened without being led astray, shown by name only."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sdsuper.logs.opening import read_given
from tests.looping import OTHER

from .conftest import Daemon, Start

root = pytest.mark.root

ENV = "[program:web]\ncommand=sh -c 'env >{dir}/got.new; mv {dir}/got.new {dir}/got; exec sleep 1000'\nstartretries=0\n"
#: Below what a file may have, and above.
MOST = 1 << 20


def got(daemon: Daemon) -> dict[str, str]:
    """The environment of the newest run."""
    daemon.wait(lambda: daemon.text("got"), "the program has its environment")
    return dict(line.partition("=")[::2] for line in daemon.text("got").splitlines())


def again(daemon: Daemon) -> dict[str, str]:
    """The environment after a restart."""
    (daemon.directory / "got").unlink(missing_ok=True)
    daemon.call("Stop", name="web", wait=True)
    assert daemon.result("Start", "web", wait=True)[0] == "SUCCESS"
    return got(daemon)


# ---- reading ------------------------------------------------------------------------------------------------------

def test_a_restart_sees_what_is_in_the_file_now(start: Start, directory: Path) -> None:
    file = directory / "env"
    file.write_text("A=s3cret-1\nB='two\nlines'\n")
    daemon = start(ENV + "environment_file={dir}/env\n")
    assert got(daemon)["A"] == "s3cret-1"
    file.write_text("A=s3cret-2\n")
    file.chmod(0o600)
    found = again(daemon)
    assert found["A"] == "s3cret-2" and "B" not in found
    everything = f"{daemon.log}{daemon.call('Cat', name='web')}{daemon.call('List')}{daemon.call('ListConfigs')}"
    assert "s3cret" not in everything and str(file) in everything


def test_who_wins(start: Start, directory: Path) -> None:
    (directory / "all").write_text("A=all\nB=all\nC=all\nD=all\nE=all\nSEEN=${HIS}+${SUPERVISOR_PROCESS_NAME}+${E}\n")
    (directory / "go").write_text("C=go\nD=go\nE=go\nF=go${NOWHERE}\n")
    (directory / "one").write_text("D=one\nE=one\nREF=${F}${B}\n")
    daemon = start(ENV + "environment=E=own\nenvFiles={dir}/go\nenvironment_file={dir}/one\n",
                   main={"environment_file": f"{directory}/all", "environment": "B=main,D=main"},
                   environment={"A": "inherited", "HIS": "his"})
    found = got(daemon)
    assert {name: found[name] for name in "ABCDEF"} == {
        "A": "all", "B": "main", "C": "go", "D": "one", "E": "own", "F": "go"}
    assert (found["SEEN"], found["REF"]) == ("his+web+all", "gomain")


def test_path_of_a_file_is_where_the_command_is_looked_for(start: Start, directory: Path) -> None:
    (directory / "bin").mkdir()
    (directory / "bin" / "mine").write_text("#!/bin/sh\nexec sleep 1000\n")
    (directory / "bin" / "mine").chmod(0o755)
    (directory / "env").write_text(f"PATH={directory}/bin:${{PATH}}\n")
    daemon = start("[program:a]\ncommand=mine\nenvironment_file={dir}/env\n")
    daemon.wait_state("a", "RUNNING")


# ---- what cannot be read ------------------------------------------------------------------------------------------

def test_one_that_is_missing(start: Start, directory: Path) -> None:
    daemon = start(ENV + "environment_file={dir}/env\n")
    fatal = daemon.wait_state("web", "FATAL")
    assert fatal["spawnerr"] == f"cannot read environment file {directory}/env: No such file or directory"
    assert (f"WARN {daemon.config}:10: warning: [program:web] environment_file: {directory}/env: no such file, and the "
            "program cannot start") in daemon.log
    assert daemon.result("Start", "web", wait=True) == ("SPAWN_ERROR", fatal["spawnerr"])
    (directory / "env").write_text("A=1")
    assert daemon.result("Start", "web", wait=True)[0] == "SUCCESS"
    assert got(daemon)["A"] == "1"


def test_one_that_may_be_missing(start: Start, directory: Path) -> None:
    daemon = start(ENV + "environment_file=-{dir}/env\n")
    assert "A" not in got(daemon)
    (directory / "env").write_text("A=1")
    assert again(daemon)["A"] == "1"
    (directory / "env").write_text("s3cret\n")
    daemon.call("Stop", name="web", wait=True)
    fault, why = daemon.result("Start", "web", wait=True)
    assert (fault, why) == ("SPAWN_ERROR", f"cannot read environment file {directory}/env:1: NAME=VALUE expected")


def test_gos_option_starts_without_it(start: Start, directory: Path) -> None:
    (directory / "bad").write_text("A=1\ns3cret\n")
    daemon = start(ENV + "envFiles={dir}/no, {dir}/bad\nexitcodes=0\n")
    assert "A" not in got(daemon)
    for why in (f"{directory}/no: No such file or directory", f"{directory}/bad:2: NAME=VALUE expected"):
        assert daemon.messages.count(f"ERRO web starts without the variables of a file: {why}") == 1
    assert "s3cret" not in daemon.log


def fifo(path: Path) -> None:
    os.mkfifo(path)


def large(path: Path) -> None:
    path.write_bytes(b"A=" + b"x" * MOST)


def folder(path: Path) -> None:
    path.mkdir()


def planted(path: Path) -> None:
    """A link of somebody else's, in a directory where everybody may make files."""
    path.parent.chmod(0o1777)
    path.symlink_to("/etc/passwd")
    os.lchown(path, OTHER.uid, OTHER.gid)


@root
@pytest.mark.parametrize(("make", "why"), [
    (fifo, "is not a regular file"), (large, "has more than 1 MiB"), (folder, "is not a regular file"),
    (planted, "has a symbolic link of another user on its way ('env')"),
])
def test_what_is_no_such_file(start: Start, directory: Path, make: Callable[[Path], None], why: str) -> None:
    place = directory / "place"
    place.mkdir()
    make(place / "env")
    daemon = start(ENV + "environment_file={dir}/place/env\n")
    assert daemon.wait_state("web", "FATAL")["spawnerr"] == f"cannot read environment file {place}/env: {why}"
    assert f"environment_file: {place}/env: {why}, and the program cannot start" in daemon.log


@root
def test_a_link_of_roots_is_followed(directory: Path) -> None:
    (directory / "one").write_text("A=1")
    (directory / "two").symlink_to("one")
    (directory / "three").symlink_to(directory / "two")
    assert read_given(str(directory / "three"), None, MOST) == b"A=1"
    (directory / "round").symlink_to("round")
    with pytest.raises(OSError, match="Too many levels of symbolic links"):
        read_given(str(directory / "round"), None, MOST)
    (directory / "one").write_bytes(b"x" * MOST)
    assert len(read_given(str(directory / "two"), None, MOST)) == MOST


@root
def test_in_a_directory_of_the_user_it_is_read_as_the_user(directory: Path) -> None:
    home = directory / "home"
    home.mkdir()
    os.chown(home, OTHER.uid, OTHER.gid)
    file = home / "env"
    file.write_text("A=1")
    file.chmod(0o600)                   # of root: nothing that the user has put there
    with pytest.raises(PermissionError):
        read_given(str(file), OTHER, MOST)
    os.chown(file, OTHER.uid, OTHER.gid)
    assert read_given(str(file), OTHER, MOST) == b"A=1"
    (home / "link").symlink_to("env")
    with pytest.raises(OSError, match="has a symbolic link of another user on its way"):
        read_given(str(home / "link"), OTHER, MOST)
    (directory / "secret").write_text("S=1")
    os.link(directory / "secret", home / "hard")
    with pytest.raises(OSError, match="has more than one name"):
        read_given(str(home / "hard"), None, MOST)
    assert os.geteuid() == 0


# ---- --env-file ---------------------------------------------------------------------------------------------------

def test_the_file_of_the_command_line_is_read_again(start: Start, directory: Path) -> None:
    file = directory / "env"
    file.write_text("A=1\nB=1\nNAME=first\n")
    daemon = start(ENV + "environment=WHO=\"%(ENV_NAME)s\"\n", "--env-file", "env", main={"environment": "B=main"})
    found = got(daemon)
    assert (found["A"], found["B"], found["WHO"]) == ("1", "main", "first")
    (directory / "got").unlink()
    file.write_text("B=2\nNAME=second\n")
    daemon.signal(signal.SIGHUP)
    daemon.wait_log("configuration taken over: web updated")
    found = got(daemon)
    assert "A" not in found and (found["B"], found["WHO"]) == ("main", "second")
    run = daemon.status("web")["run"]
    for text, why in (("B=2\ns3cret", f"{file}:2: error: --env-file: NAME=VALUE expected"),
                      (None, f"could not read environment file {file}: No such file or directory")):
        file.unlink() if text is None else file.write_text(text)
        daemon.signal(signal.SIGHUP)
        daemon.wait_log(why)
    daemon.wait_log("the configuration was not taken over", 2)
    assert daemon.status("web")["run"] == run and "s3cret" not in daemon.log


# ---- cat ----------------------------------------------------------------------------------------------------------

def places(daemon: Daemon, name: str = "a") -> dict[str, tuple[Any, ...]]:
    """What Cat says of places, by option or variable."""
    (found,) = daemon.call("Cat", name=name)["processes"]
    return {(one["value"] if one["name"] == "environment" else one["name"]):
            (one.get("file"), one.get("line"), one.get("section")) for one in found["options"]}


def test_cat_has_places(start: Start, directory: Path) -> None:
    (directory / "env").write_text("\nOUT=1\n")
    text = "[template:t]\nnice=3\nenvironment=T=1\n[program:a]\ncommand=sleep 1000\nextends=t\nenvironment=A=1,\n B=2\n"
    daemon = start(text, "--env-file", str(directory / "env"), main={"environment": "M=1"})
    file = str(daemon.config)
    daemon.wait_state("a", "RUNNING")
    assert places(daemon) == {
        "nice": (file, 9, "template:t"), "command": (file, 12, None), "T=…": (file, 10, "template:t"),
        "A=…": (file, 14, None), "B=…": (file, 15, None), "M=…": (file, 6, "supervisord"),
        "OUT=…": (str(directory / "env"), 2, "--env-file")}
    run = daemon.status("a")["run"]

    daemon.write("; one more line\n" + text)
    assert daemon.call("Update")["changes"] == []
    assert places(daemon)["nice"] == (file, 10, "template:t"), "the same value, on another line"

    daemon.write(text.replace("nice=3", "nice=4"))
    daemon.call("Reread")
    (found,) = daemon.call("Cat", name="a")["processes"]
    assert not found["current"] and {"name": "nice", "value": "3"} in found["options"]
    assert set(places(daemon).values()) == {(None, None, None)}
    assert daemon.status("a")["run"] == run
    daemon.call("Update")
    assert places(daemon)["nice"] == (file, 9, "template:t")


def test_cat_tells_groups_and_kinds_apart(start: Start) -> None:
    daemon = start("[group:g]\nprograms=f,p\n[fcgi-program:f]\ncommand=sleep 1000\nsocket=unix://{dir}/s\n"
                   "[program:p]\ncommand=sleep 1000\n[eventlistener:e]\ncommand=sleep 1000\nevents=TICK_60\n")
    file = str(daemon.config)
    assert [places(daemon, name)["command"][:2] for name in ("g:f", "g:p", "e")] == [(file, 10), (file, 13), (file, 15)]


def test_cat_tells_where_a_bundle_is_written(start: Start) -> None:
    daemon = start("[program:a]\ncommand=sleep 1000\nautostart=false\nstdout_syslog=true\nsandbox=standard\n"
                   "private_tmp=false\nprotect_home=yes\n")
    found, file = places(daemon), str(daemon.config)
    assert found["stdout_logfile"] == (file, 10, None)
    assert (found["seccomp"], found["protect_home"]) == ((file, 11, None), (file, 13, None))
