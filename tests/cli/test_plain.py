"""The short way to ctl's configuration gives what the real reader gives, or nothing."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdsuper.cli.ctl.plain import control_socket, plain_values
from sdsuper.config import load
from sdsuper.config.search import search_paths
from sdsuper.errors import ConfigError
from sdsuper.system.host import RealHost

PLAIN = """\
; made by hand
[unix_http_server]
file=/run/x.sock
chmod=0700

[supervisord]
environment=A="1",
  B="2"
logfile=/tmp/a.log ; yes

[supervisorctl]
serverurl = unix:///run/x.sock
prompt: mine
username=me
password=se=cret
history_file=/tmp/history
; serverurl=http://elsewhere
[program:x]
command=/bin/cat
"""


def real(text: str, folder: Path) -> tuple[dict[str, str], str] | None:
    """What load_ctl says of it, None when it refuses."""
    path = folder / "x.conf"
    path.write_bytes(text.encode())
    try:
        config, socket = load.load_ctl(str(path), RealHost())
    except ConfigError:
        return None
    return {key: value for key, value in config._asdict().items() if value is not None}, socket


def agrees(text: str, folder: Path) -> bool:
    """Whether the short way answers; fails when its answer is not the real one."""
    values = plain_values(text)
    socket = control_socket(values) if values is not None else None
    if values is None or socket is None:
        return False
    found = real(text, folder)
    assert found is not None
    assert socket == found[1]
    known = {"prompt": "supervisor", "serverurl": "http://localhost:9001"} | values
    assert {key: known[key] for key in known if key not in ("file", "control_socket")} == found[0]
    return True


def test_a_plain_file(tmp_path: Path) -> None:
    assert plain_values(PLAIN) == {
        "file": "/run/x.sock", "serverurl": "unix:///run/x.sock", "prompt": "mine", "username": "me",
        "password": "se=cret", "history_file": "/tmp/history",
    }  # fmt: skip
    assert agrees(PLAIN, tmp_path)
    assert agrees("[supervisorctl]\nserverurl=unix:///a/b\n", tmp_path)
    assert agrees("[supervisord]\ncontrol_socket=/a/c\n[supervisorctl]\nprompt=x", tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[supervisord]\n",
        "[supervisorctl]\n",
        "[supervisorctl]\nserverurl=http://localhost:9001\n",
        "[supervisorctl]\nserverurl=unix://%(here)s/x\n",
        "[supervisorctl]\nserverurl=unix:///x ; no\n",
        "[supervisorctl]\nserverurl=unix:///x\n  more\n",
        "[supervisorctl]\n  serverurl=unix:///x\n",
        "[supervisorctl]\nserverurl=unix:///x\nserverurl=unix:///y\n",
        "[supervisorctl]\nserverurl=unix:///x\n[supervisorctl]\nserverurl=unix:///y\n",
        "[supervisorctl]\nserverurl=unix:///x/../y\n",
        "[supervisorctl]\nserverurl=unix://x\n",
        "[supervisorctl] x\nserverurl=unix:///x\n",
        " [supervisorctl]\nserverurl=unix:///x\n",
        "[DEFAULT]\nprompt=x\n[supervisorctl]\nserverurl=unix:///x\n",
        "[supervisorctl]\nserverurl=unix:///x\nhistory_file=~/h\n",
        "[supervisorctl]\nserverurl=unix:///x\nnonsense\n",
        "[supervisorctl]\r\nserverurl=unix:///x\r\n",
        "[supervisorctl]\nserverurl=unix:///x\nprompt=\n",
        "[supervisorctl]\nserverurl=unix:///x\n[program:y]\n command=/bin/cat\n",
        "[supervisorctl]\nserverurl=unix:///x\n[program:y\n",
        "x=1\n[supervisorctl]\nserverurl=unix:///x\n",
    ],
)
def test_what_is_left_to_the_real_reader(text: str, tmp_path: Path) -> None:
    assert not agrees(text, tmp_path)


LINES = st.sampled_from([
    "[supervisorctl]", "[supervisord]", "[unix_http_server]", "[program:x]", "[DEFAULT]", " [supervisorctl]",
    "serverurl=unix:///a", "serverurl = unix:///b/c ", "serverurl=http://h:1", "prompt: x y", "prompt=a%%b", "prompt",
    "file=/s", "FILE=/t", "file=s", "control_socket=/c", "control_socket=/c/", "username=u;v", "username=u ;v", "",
    "  ",
    "\t", "; c", "# c", " ; c", " d", "environment=A=1,", "x=[supervisorctl]", "history_file=/h", "history_file=//h",
])  # fmt: skip


@given(st.lists(LINES, max_size=12), st.booleans())
def test_any_mixture_of_lines(tmp_path_factory: pytest.TempPathFactory, lines: list[str], begun: bool) -> None:
    agrees("\n".join(["[supervisorctl]"] * begun + lines), tmp_path_factory.getbasetemp())


@pytest.mark.parametrize("argv0", ["sdsuper", "/usr/bin/sdsuper", "/sdsuper", "bin/sdsuper", "./sdsuper", "a/b/c"])
def test_the_search_order(argv0: str) -> None:
    here = os.path.dirname(os.path.dirname(argv0))
    assert search_paths(argv0)[:2] == (
        os.path.join(here, "etc", "supervisord.conf"), os.path.join(here, "supervisord.conf"),
    )  # fmt: skip
    assert search_paths(argv0)[2:] == (
        "supervisord.conf", "etc/supervisord.conf", "/etc/supervisord.conf", "/etc/supervisor/supervisord.conf",
    )  # fmt: skip
