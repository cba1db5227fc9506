"""`sdsuper service`, as a command and, where it would change this machine, with a folder of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sdsuper.cli import importing, service
from sdsuper.cli.check import main as check
from sdsuper.systemd.unit import MARK

ROOT = Path(__file__).resolve().parents[2]
GOOD = "[supervisord]\n[program:a]\ncommand=/bin/true\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for units, an installed sdsuper and a good configuration; systemd is not there."""
    for name in ("units", "packaged", "bin"):
        (tmp_path / name).mkdir()
    for name in ("sdsuper", "sdsuperd"):
        (tmp_path / "bin" / name).write_text("#!/bin/sh\n")
        (tmp_path / "bin" / name).chmod(0o755)
    (tmp_path / "s.conf").write_text(GOOD)
    monkeypatch.setattr(service, "FOLDER", str(tmp_path / "units"))
    monkeypatch.setattr(service, "PACKAGED", (str(tmp_path / "packaged"),))
    monkeypatch.setattr(service, "BOOTED", str(tmp_path / "no-systemd"))
    monkeypatch.setattr(sys, "argv", [str(tmp_path / "bin" / "sdsuper")])
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_print_changes_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert service.main(["install", "-c", "s.conf", "--print"]) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"{MARK}\n[Unit]\n")
    assert f"ExecStart={folder}/bin/sdsuperd --nodaemon --silent --configuration {folder}/s.conf\n" in said
    assert list((folder / "units").iterdir()) == []


def test_install_again_and_uninstall(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    unit = folder / "units" / "own.service"
    umask = os.umask(0o077)
    try:
        for _ in range(2):                                  # over its own it writes again
            assert service.main(["install", "-c", "s.conf", "--name", "own"]) == 0
    finally:
        os.umask(umask)
    assert unit.read_text().startswith(MARK)
    assert unit.stat().st_mode & 0o777 == 0o644
    assert list(unit.parent.iterdir()) == [unit]
    assert "systemd does not run here" in capsys.readouterr().out
    assert service.main(["uninstall", "--name", "own.service"]) == 0
    assert not unit.exists()
    assert service.main(["uninstall", "--name", "own"]) == 1
    assert capsys.readouterr().err == f"Error: {unit} is not there\n"


@pytest.mark.parametrize("kind", ["file", "link", "dangling link"])
def test_somebody_elses_unit_stays(folder: Path, capsys: pytest.CaptureFixture[str], kind: str) -> None:
    unit, other = folder / "units" / "sdsuper.service", folder / "other"
    if kind == "file":
        unit.write_text("[Unit]\n")
    else:
        unit.symlink_to(other)
    if kind == "link":
        other.write_text(f"{MARK}\n")                       # ours by its text, but not by its place
    assert service.main(["install", "-c", "s.conf"]) == 1
    assert "was not written by `sdsuper service install`" in capsys.readouterr().err
    if kind != "dangling link":
        assert service.main(["uninstall"]) == 1
    assert unit.is_symlink() == (kind != "file")
    assert not other.exists() or other.read_text() == f"{MARK}\n"


def test_a_packages_unit_is_not_hidden(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "packaged" / "sdsuper.service").write_text("[Unit]\n")
    assert service.main(["install", "-c", "s.conf"]) == 1
    assert "systemctl enable --now sdsuper.service" in capsys.readouterr().err
    assert service.main(["install", "-c", "s.conf", "--name", "other"]) == 0


def test_a_bad_configuration_is_no_service(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "s.conf").write_text(GOOD + "startsecs=soon\n")
    assert service.main(["install", "-c", "s.conf"]) == 1
    said = capsys.readouterr().err
    assert "s.conf:4: error: [program:a] startsecs" in said
    assert "no service is made" in said
    assert list((folder / "units").iterdir()) == []


def test_what_cannot_be_done(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "new\nline.conf").write_text(GOOD)
    assert service.main(["install", "-c", "new\nline.conf"]) == 1
    assert "no control characters expected" in capsys.readouterr().err
    assert service.main(["start"]) == 1
    assert capsys.readouterr().err == "Error: systemd does not run here\n"
    (folder / "bin" / "sdsuperd").unlink()
    assert service.main(["install", "-c", "s.conf"]) == 1
    assert "sdsuperd is not there or not executable" in capsys.readouterr().err
    (folder / "bin" / "sdsuperd").touch(0o755)
    (folder / "units").rmdir()
    assert service.main(["install", "-c", "s.conf"]) == 1
    assert capsys.readouterr().err == f"Error: cannot write {folder}/units/sdsuper.service: No such file or directory\n"


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ([], "an action is missing"),
        (["enable"], "no such action: enable"),
        (["install", "now"], "positional arguments are not supported: now"),
        (["install", "--name", "../../etc/passwd"], "no name for a unit: '../../etc/passwd'"),
        (["install", "--name", ""], "no name for a unit: ''"),
        (["install", "--name", ".service"], "no name for a unit: '.service'"),
        (["install", "--name", "ä"], "no name for a unit: 'ä'"),
        (["install", "--nome", "x"], "option --nome not recognized"),
    ],
)
def test_wrong_words(words: list[str], text: str) -> None:
    code = "import sys; from sdsuper.cli.service import main; sys.exit(main(sys.argv[1:]))"
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=False,
                          env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert done.returncode == 2
    assert done.stderr.startswith(f"Error: {text}")
    assert done.stderr.endswith("For help, use sdsuper service -h\n")


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert service.main(["-h"]) == 0
    assert capsys.readouterr().out.startswith("sdsuper service -- ")


# ---- kinds of units -------------------------------------------------------------------------------------------------

PROGRAMS = """\
[supervisord]
pidfile = %(here)s/packaged/s.pid
logfile = %(here)s/packaged/s.log
childlogdir = %(here)s
[program:web]
command = /bin/true
numprocs = 2
process_name = w%(process_num)s
environment = DB_PASSWORD="hunter2"
stopwaitsecs = 300
[program:one]
command = /bin/true
directory = /srv
"""


def test_hardening(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "s.conf").write_text(PROGRAMS)
    assert service.main(["print", "-c", "s.conf", "--hardening", "strict"]) == 0
    said = capsys.readouterr().out
    assert "ProtectSystem=strict\n" in said and "ReadWritePaths=-/srv\n" in said
    assert f"ReadWritePaths=-{folder}/packaged\n" in said
    assert "state" not in "".join(line for line in said.split("\n") if line.startswith("ReadWritePaths=")), "usual"
    assert "TimeoutStopSec=320\n" in said, "300 and 10, one group after the other, and 10 more"
    assert service.main(["print", "-c", "s.conf", "--hardening", "hardened"]) == 0
    assert "ProtectSystem=full\n" in capsys.readouterr().out
    (folder / "s.conf").write_text("[supervisord]\nstate_file=/srv/state/kept\n" + PROGRAMS)
    assert service.main(["print", "-c", "s.conf", "--hardening", "strict"]) == 0
    assert "ReadWritePaths=-/srv/state\n" in capsys.readouterr().out


def test_a_users_own(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(folder / "config"))
    assert service.main(["install", "-c", "s.conf", "--user"]) == 0
    unit = folder / "config" / "systemd" / "user" / "sdsuper.service"
    assert "WantedBy=default.target" in unit.read_text()
    assert list((folder / "units").iterdir()) == []
    assert service.main(["uninstall", "--user"]) == 0 and not unit.exists()
    capsys.readouterr()


def test_units_of_one_program(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "s.conf").write_text(PROGRAMS)
    units = folder / "units"
    (units / "one.service.d").mkdir()
    (units / "one.service.d" / "mine.conf").write_text("[Service]\nNice=1\n")
    for _ in range(2):
        assert service.main(["install", "-c", "s.conf", "--program", "one"]) == 0
    assert "ProtectSystem=strict\n" in (units / "one.service").read_text()
    assert service.main(["uninstall", "--name", "one"]) == 0
    assert [path.name for path in units.iterdir()] == ["one.service.d"], "a drop-in is not ours"

    assert service.main(["install", "-c", "s.conf", "--program", "web", "--name", "site", "--sandbox", "off"]) == 0
    assert sorted(path.name for path in units.iterdir()) == [
        "one.service.d", "site-w0.env", "site-w0.service", "site-w1.env", "site-w1.service"]
    assert (units / "site-w0.env").read_text() == f'{MARK}\nDB_PASSWORD="hunter2"\n'
    assert (units / "site-w0.env").stat().st_mode & 0o777 == 0o600
    assert "hunter2" not in (units / "site-w0.service").read_text() + capsys.readouterr().out
    assert service.main(["uninstall", "--name", "site-w0"]) == 0
    assert not (units / "site-w0.env").exists() and (units / "site-w1.env").exists()


@pytest.fixture
def asked(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file with the words of each call of systemctl, a program that does no more."""
    (folder / "bin" / "systemctl").write_text(f'#!/bin/sh\necho "$@" >>{folder}/asked\n')
    (folder / "bin" / "systemctl").chmod(0o755)
    (folder / "asked").touch()
    (folder / "no-systemd").mkdir()
    monkeypatch.setenv("PATH", f"{folder}/bin:{os.environ['PATH']}")
    return folder / "asked"


def lines_of(asked: Path) -> list[str]:
    found = asked.read_text().splitlines()
    asked.write_text("")
    return [line for line in found if line != "--version"]


def test_actions_with_a_program_are_for_its_units(folder: Path, asked: Path,
                                                  capsys: pytest.CaptureFixture[str]) -> None:
    units = folder / "units"
    (folder / "s.conf").write_text(PROGRAMS)
    assert service.main(["install", "-c", "s.conf"]) == 0
    for words in (["web"], ["one"], ["web", "--name", "web-w"]):
        assert service.main(["install", "-c", "s.conf", "--program", *words]) == 0
    before = sorted(path.name for path in units.iterdir())
    (folder / "s.conf").unlink()                            # what is installed is known without it
    lines_of(asked)
    for action in ("start", "stop", "restart", "status"):
        assert service.main([action, "--program", "web"]) == 0
    assert service.main(["stop", "--program", "web", "--name", "web-w.service"]) == 0
    assert lines_of(asked) == ["start web-w0.service web-w1.service", "stop web-w0.service web-w1.service",
                               "restart web-w0.service web-w1.service",
                               "status --no-pager web-w0.service web-w1.service",
                               "stop web-w-w0.service web-w-w1.service"]
    assert service.main(["uninstall", "--program", "web"]) == 0
    assert lines_of(asked) == ["disable --now web-w0.service web-w1.service", "daemon-reload"]
    gone = {"web-w0.env", "web-w0.service", "web-w1.env", "web-w1.service"}
    assert sorted(path.name for path in units.iterdir()) == [name for name in before if name not in gone]
    assert "sdsuper.service" in before
    capsys.readouterr()
    assert service.main(["uninstall", "--program", "web"]) == 1
    assert capsys.readouterr().err == (f"Error: {units} has no unit of [program:web] by the name of web (there are "
                                       "web-w-w0.service, web-w-w1.service; --name says which)\n")
    assert service.main(["stop", "--program", "sdsuper"]) == 1, "the daemon's own is none of them"
    assert lines_of(asked) == []


def test_what_does_not_start_by_itself_is_not_enabled(folder: Path, asked: Path, capsys: pytest.CaptureFixture[str]
                                                      ) -> None:
    (folder / "s.conf").write_text(GOOD)
    assert service.main(["install", "-c", "s.conf", "--program", "a", "--now"]) == 0
    assert lines_of(asked) == ["daemon-reload", "enable a.service", "start a.service"]
    assert "autostart" not in capsys.readouterr().out
    (folder / "s.conf").write_text(GOOD + "autostart=false\n")
    assert service.main(["install", "-c", "s.conf", "--program", "a"]) == 0
    assert lines_of(asked) == ["daemon-reload", "disable a.service"]
    assert "    autostart=false: it is not enabled" in capsys.readouterr().out
    assert "# autostart=false: it is not enabled" in (folder / "units" / "a.service").read_text()


def test_units_of_a_program_and_of_the_daemon_do_not_replace_each_other(folder: Path,
                                                                        capsys: pytest.CaptureFixture[str]) -> None:
    units = folder / "units"
    (folder / "s.conf").write_text("[supervisord]\n[program:sdsuper]\ncommand=/bin/true\n")
    assert service.main(["install", "-c", "s.conf"]) == 0
    assert service.main(["install", "-c", "s.conf", "--program", "sdsuper"]) == 1
    assert "is there for something else: it runs the daemon." in capsys.readouterr().err
    assert service.main(["install", "-c", "s.conf", "--program", "sdsuper", "--name", "other"]) == 0
    assert service.main(["install", "-c", "s.conf", "--name", "other"]) == 1
    assert "is there for something else: other is [program:sdsuper]." in capsys.readouterr().err
    (units / "mine.env").write_text("A=1\n")
    (folder / "s.conf").write_text("[supervisord]\n[program:mine]\ncommand=/bin/true\nenvironment=A=2\n")
    assert service.main(["install", "-c", "s.conf", "--program", "mine"]) == 1
    assert "mine.env is there and was not written by" in capsys.readouterr().err
    assert (units / "mine.env").read_text() == "A=1\n"


def test_a_file_of_variables_goes_with_the_last_of_them(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "s.conf").write_text(GOOD + "environment=A=1\n")
    assert service.main(["install", "-c", "s.conf", "--program", "a"]) == 0
    assert (folder / "units" / "a.env").exists()
    (folder / "s.conf").write_text(GOOD)
    assert service.main(["install", "-c", "s.conf", "--program", "a"]) == 0
    assert [path.name for path in (folder / "units").iterdir()] == ["a.service"]
    capsys.readouterr()


@pytest.mark.parametrize(("text", "why"), [
    ("[eventlistener:p]\ncommand=/bin/true\nevents=TICK\n", "[eventlistener:p] cannot be a unit: the daemon gives"),
    ("[fcgi-program:p]\ncommand=/bin/true\nsocket=tcp://127.0.0.1:9\n", "[fcgi-program:p] cannot be a unit"),
    ("[program:p]\ncommand=/bin/true\nprocess_name=pä%(process_num)s\nnumprocs=2\n",
     "no name for a unit: 'p-pä0'"),
    ("[program:p]\ncommand=/bin/true\nenvironment=A=\"%(ENV_X)s\"\n", "environment: A is not UTF-8"),
    ("[program:p]\ncommand=/bin/true %(ENV_X)s\n", "cannot write"),
    ("[program:p]\ncommand=/bin/true\nenvironment=A.B=1\n", "systemd takes no variable 'A.B'"),
    ("[program:p]\ncommand=/bin/true\nstdout_logfile=/var/log/x\\\n", "no backslash behind it expected"),
])
def test_what_cannot_be_a_unit_leaves_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch, text: str, why: str,
                                              capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("X", os.fsdecode(b"\xff"))
    (folder / "s.conf").write_text(f"[supervisord]\n{text}")
    assert service.main(["install", "-c", "s.conf", "--program", "p"]) == 1
    assert why in capsys.readouterr().err
    assert list((folder / "units").iterdir()) == []


def test_relative_paths_are_those_of_the_daemon_under_systemd(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for text, lost in (("logfile=s.log\npidfile=/run/s.pid\n", "/s.log: "),
                       ("logfile=/var/log/s.log\n", "/supervisord.pid: "),
                       ("logfile=s.log\n", "/supervisord.pid, /s.log: ")):
        (folder / "s.conf").write_text(f"[supervisord]\n{text}")
        assert service.main(["print", "-c", "s.conf"]) == 0
        capsys.readouterr()
        assert service.main(["print", "-c", "s.conf", "--hardening", "strict"]) == 1
        assert capsys.readouterr().err.startswith(f"Error: {lost}")
    (folder / "s.conf").write_text("[supervisord]\nlogfile=/var/log/s.log\npidfile=run/s.pid\n")
    assert service.main(["print", "-c", "s.conf", "--hardening", "strict"]) == 0
    assert "ReadWritePaths=-/run\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "status", "why"),
    [
        (["--program", "none"], 1, "has no [program:none] (expected: a)"),
        (["--program", "a", "--sandbox", "tight"], 2, "--sandbox 'tight': off, standard, strict, offline expected"),
        (["--program", "a", "--user"], 2, "--user and --hardening are for the daemon's unit"),
        (["--hardening", "much"], 2, "--hardening 'much': default, hardened, strict expected"),
        (["--hardening", "strict", "--user"], 2, "--hardening is for the machine's systemd"),
    ],
)
def test_what_does_not_go_together(folder: Path, capsys: pytest.CaptureFixture[str], words: list[str], status: int,
                                   why: str) -> None:
    assert service.main(["install", "-c", "s.conf", *words]) == status
    assert why in capsys.readouterr().err
    assert list((folder / "units").iterdir()) == []


# ---- and back -------------------------------------------------------------------------------------------------------

def test_import(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "web.service").write_text("[Service]\nExecStart=/bin/web\nUser=nobody\nSlice=x.slice\n")
    assert importing.main(["systemd", "./web.service"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("; not carried over: Slice=x.slice\n[program:web]\ncommand = /bin/web\nuser = nobody\n")
    (folder / "made.conf").write_text(said)
    assert check(["-c", str(folder / "made.conf")]) == 0
    (folder / "web.service").write_text("[Service]\nExecStart=/bin/web\n")
    assert importing.main(["systemd", "./web.service", "--name", "other"]) == 0
    assert "[program:other]" in capsys.readouterr().out


@pytest.mark.parametrize(("words", "status", "why"), [
    (["systemd", "./none.service"], 1, "./none.service: No such file or directory"),
    (["systemd", "./bad.service"], 1, "./bad.service: there is no [Service] section"),
    (["systemd", "./latin.service"], 1, "not a text in UTF-8"),
    (["systemd", "./nobody.service"], 1,
     "the section would be refused:\n    error: [program:nobody] user: no such user"),
    (["systemd", "./a b.service"], 1, "cannot use 'a b' as a name, for it has ' ' (--name gives another)"),
    (["systemd", "./nobody.service", "--name", "a]"], 1, "cannot use 'a]' as a name"),
    (["systemd"], 2, "`systemd` and one unit expected"),
    (["upstart", "x"], 2, "`systemd` and one unit expected"),
])
def test_what_cannot_be_imported(folder: Path, capsys: pytest.CaptureFixture[str], words: list[str], status: int,
                                 why: str) -> None:
    (folder / "bad.service").write_text("[Unit]\nAfter=x\n")
    (folder / "latin.service").write_bytes(b"\xe9")
    (folder / "nobody.service").write_text("[Service]\nExecStart=/bin/x\nUser=no-such-user\n")
    (folder / "a b.service").write_text("[Service]\nExecStart=/bin/x\n")
    assert importing.main(words) == status
    said = capsys.readouterr()
    assert why in said.err and said.out == ""


def test_there_and_back_with_variables(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "s.conf").write_text(GOOD + 'environment=A="1 $x",B="%%"\nstopwaitsecs=7\n')
    assert service.main(["install", "-c", "s.conf", "--program", "a", "--sandbox", "off"]) == 0
    capsys.readouterr()
    assert importing.main(["systemd", f"{folder}/units/a.service"]) == 0
    said = capsys.readouterr().out
    assert 'environment = A="1 $x",B="%%"\n' in said and "stopwaitsecs = 7\n" in said and "not carried" not in said
    (folder / "units" / "a.env").write_text('A="1"\n')     # somebody else's
    assert importing.main(["systemd", f"{folder}/units/a.service"]) == 0
    said = capsys.readouterr().out
    assert "environment =" not in said and f"; not carried over: EnvironmentFile={folder}/units/a.env\n" in said
