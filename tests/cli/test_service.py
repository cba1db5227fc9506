"""`sdsuper service`, as a command and, where it would change this machine, with a folder of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sdsuper.cli import service
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
