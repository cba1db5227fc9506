"""`sdsuper check` and `sdsuper init`, as commands."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def run(module: str, *words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    code = f"import sys; from sdsuper.cli.{module} import main; sys.exit(main(sys.argv[1:]))"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", code, *words]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, env=environment)


def test_a_good_file(tmp_path):
    (tmp_path / "s.conf").write_text(
        "[supervisord]\n[program:a]\ncommand=a\nnumprocs=2\nprocess_name=%(process_num)d\n"
    )
    done = run("check", "-c", "s.conf", cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "s.conf: ok, 1 group, 2 processes\n", "")


def test_warnings_only(tmp_path):
    (tmp_path / "s.conf").write_text("[supervisord]\nnonsense=1\n")
    done = run("check", "-c", "s.conf", cwd=tmp_path)
    assert done.returncode == 0
    assert done.stdout == "s.conf: ok, 0 groups, 0 processes, 1 warning\n"
    assert done.stderr == "s.conf:2: warning: [supervisord] nonsense: no such option\n"


def test_errors(tmp_path):
    (tmp_path / "supervisord.conf").write_text("[supervisord]\n[program:web]\ncommand=w\nstartsecs=soon\n")
    done = run("check", cwd=tmp_path)  # found by the search
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "supervisord.conf:4: error: [program:web] startsecs: cannot read 'soon' as seconds (number >= 0 expected)\n"
    )


@pytest.mark.skipif(
    any(Path(p).exists() for p in ("/etc/supervisord.conf", "/etc/supervisor/supervisord.conf")),
    reason="there is a configuration",
)
def test_nothing_found(tmp_path):
    done = run("check", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("Error: No config file found at default paths (")


def test_missing_file_and_bad_words(tmp_path):
    assert run("check", "-c", "none", cwd=tmp_path).stderr == "error: could not find config file none\n"
    assert run("check", "none", cwd=tmp_path).returncode == 2
    assert run("check", "--help", cwd=tmp_path).returncode == 0


def test_a_unit_is_recognised():
    done = run("check", "-c", "supervisord.service", cwd=ROOT / "tests" / "samples")
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        "supervisord.service:1: error: this is a systemd unit, not a configuration; its configuration is "
        "/etc/supervisord/supervisord.conf",
        "supervisord.service:6: warning: [Service] Type: systemd has to guess the daemon's pid; Type=notify with -n in "
        "ExecStart tells it, and readiness too",
        "supervisord.service:9: warning: [Service] ExecReload: this stops every program and starts it again; `ctl "
        "update` touches only what has changed",
        "supervisord.service:10: warning: [Service] killMode: systemd does not know this key and ignores the line, "
        "did you mean 'KillMode'?",
    ]


def test_init(tmp_path):
    assert run("init", cwd=tmp_path).returncode == 1
    assert run("init", "-o", "new.conf", cwd=tmp_path).returncode == 0
    assert run("check", "-c", "new.conf", cwd=tmp_path).returncode == 0
    again = run("init", "-o", "new.conf", cwd=tmp_path)
    assert (again.returncode, again.stderr) == (1, "Error: cannot write new.conf: File exists\n")
    assert run("init", "-o", "x", "y", cwd=tmp_path).returncode == 2
    assert run("init", "-h", cwd=tmp_path).returncode == 0


def test_echo_conf(tmp_path):
    done = run("echo_conf", "ignored", cwd=tmp_path)
    assert done.returncode == 0
    assert "Sample supervisor config file" in done.stdout.splitlines()[0]


def test_variables_of_a_file(tmp_path):
    (tmp_path / "s.conf").write_text("[supervisord]\n[program:web]\ncommand=w %(ENV_FROM_FILE)s\n")
    assert run("check", "-c", "s.conf", cwd=tmp_path).returncode == 2
    (tmp_path / "env").write_text("FROM_FILE=1\n")
    done = run("check", "-c", "s.conf", "--env-file", "env", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    (tmp_path / "env").write_text("FROM_FILE='s3cret\n")
    done = run("check", "-c", "s.conf", "--env-file=env", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (2, f"{tmp_path}/env:1: error: --env-file: the quote is not closed\n")
