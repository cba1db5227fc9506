"""Supervisor 4.3.0 and sdsuper side by side: a daemon of one, asked by a client of one, and what is masked.

Supervisor is looked for in SDSUPER_PEER_BIN, then in `original/bin` of the environment that runs the tests, then
beside its Python.
"""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.api.web import free_port

CONFIG = """\
[unix_http_server]
file={dir}/s.sock

[supervisord]
logfile={dir}/daemon.log
pidfile={dir}/daemon.pid
childlogdir={dir}
cgroup=off

[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface

"""
CTL_UNIX = """\
[supervisorctl]
serverurl=unix://{dir}/s.sock

"""
CTL_HTTP = """\
[inet_http_server]
port=127.0.0.1:{port}
username=user
password=secret

[supervisorctl]
serverurl=http://127.0.0.1:{port}
username=user
password=secret

"""
#: As [supervisorctl] says it, in place of the address.
URL = "URL"


class Daemon:
    """A daemon of one of the two, in a directory of its own, and the client that asks it."""

    def __init__(self, folder: Path, daemon: str, ctl: str, config: str, programs: str) -> None:
        """`daemon` and `ctl` are `theirs` or `ours`; `config` is all that is no program."""
        self.folder, self._config, self.port = folder, config, free_port()
        self.url = f"http://127.0.0.1:{self.port}" if "{port}" in config else f"unix://{folder}/s.sock"
        self.environment, command = commands(daemon)[0], commands(daemon)[1]
        self._ctl_environment, _, self._ctl = commands(ctl)
        self.configure(programs)
        self.process = subprocess.Popen([*command, "-n", "-c", str(folder / "x.conf")], stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL, env=self.environment, cwd=folder)  # fmt: skip

    def configure(self, programs: str) -> None:
        text = (self._config + programs).replace("{dir}", str(self.folder)).replace("{port}", str(self.port))
        (self.folder / "x.conf").write_text(text)

    def command(self, words: str) -> list[str]:
        """What runs the client with these words."""
        return [*self._ctl, "-c", str(self.folder / "x.conf"), *words.replace("{url}", self.url).split()]

    def popen(self, words: str) -> "subprocess.Popen[bytes]":
        """A client that goes on."""
        return subprocess.Popen(self.command(words), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT, env=self._ctl_environment, cwd=self.folder, bufsize=0,
                                start_new_session=True)  # fmt: skip

    def ctl(self, words: str, stdin: str = "") -> str:
        """Output, errors and exit status of a client. It has no terminal."""
        done = subprocess.run(self.command(words), input=stdin, text=True, capture_output=True, timeout=120,
                              env=self._ctl_environment, cwd=self.folder, start_new_session=True)  # fmt: skip
        return f"{done.stdout}{done.stderr}[{done.returncode}]"

    def until(self, name: str, wanted: str) -> None:
        """Wait until the status line of `name` has `wanted` in it."""
        end = time.monotonic() + 60
        while not re.search(wanted, shown := self.ctl(f"status {name}")):
            assert time.monotonic() < end, f"{self._ctl}: waiting for {wanted} of {name}, it shows\n{shown}"
            time.sleep(0.05)

    def kill(self, name: str, number: int) -> None:
        """Send a signal to a program behind the daemon's back and wait until another process has its place."""
        pid = self.ctl(f"pid {name}").split()[0]
        os.kill(int(pid), number)
        self.until(name, rf"RUNNING +pid (?!{pid},)")

    def face(self) -> int | None:
        """The pid of sdsuper's HTTP face, if it runs."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        for pid in map(int, children):
            try:
                if b"sdsuper.api" in Path(f"/proc/{pid}/cmdline").read_bytes():
                    return pid
            except OSError:
                continue  # it has just ended
        return None

    def end_face(self) -> None:
        """End the HTTP face, if there is one; the next connection starts another."""
        pid = self.face()
        end = time.monotonic() + 60
        if pid is not None:
            os.kill(pid, signal.SIGTERM)
        while pid is not None and self.face() == pid:
            assert time.monotonic() < end, "the face does not end"
            time.sleep(0.02)

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)

    def gone(self) -> None:
        """Wait for the end that was asked for."""
        assert self.process.wait(60) == 0

    def masked(self, text: str) -> str:
        """`text` without what differs from run to run."""
        text = text.replace(self.url, URL).replace(str(self.folder), "DIR")
        for pattern, replacement in MASKS:
            text = re.sub(pattern, replacement, text)
        return text


MASKS = [
    (r"pid \d+, uptime \d+:\d\d:\d\d", "pid PID, uptime TIME"),
    (r"\w{3} \d\d \d\d:\d\d [AP]M", "DATE"),
    (r": file: \S+ line: \d+", ": PLACE"),
    (r"(?s)(CANT_REREAD: ).*(\n\[|'>: PLACE)", r"\1MISTAKE\2"),
    # what Python says in its own name where there is no terminal
    (r"\S+getpass.py:\d+: GetPassWarning: .*\n.*\n", ""),
]


def commands(whose: str) -> tuple[dict[str, str], list[str], list[str]]:
    """Environment, daemon and client of `theirs` or `ours`."""
    plain = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    if whose == "theirs":
        peer = peer_bin()
        return plain, [f"{peer}/supervisord"], [f"{peer}/supervisorctl"]
    ours = plain | {"PYTHONPATH": str(Path(__file__).parents[2]), "PYTHONSAFEPATH": "1"}
    command = [sys.executable, "-m", "sdsuper"]
    return ours, command, [sys.executable, str(Path(__file__).parents[2] / "packaging/compat/bin/supervisorctl")]


def peer_bin() -> str:
    """Where Supervisor's commands are."""
    for folder in (os.environ.get("SDSUPER_PEER_BIN"), f"{sys.prefix}/original/bin", os.path.dirname(sys.executable)):
        if folder and os.path.exists(f"{folder}/supervisorctl"):
            return folder
    pytest.fail("no Supervisor to compare with; ./dev test installs it, or set SDSUPER_PEER_BIN")
