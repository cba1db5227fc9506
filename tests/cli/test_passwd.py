"""`sdsuper passwd`: asked for on a terminal, or read, and never shown."""

import os
import pty
import subprocess
import sys

import pytest

from sdsuper.config.passwords import parse_scrypt

COMMAND = [sys.executable, "-m", "sdsuper", "passwd"]


def test_from_standard_input() -> None:
    done = [subprocess.run(COMMAND, input="sécret\nmore\n", capture_output=True, text=True) for _ in range(2)]
    assert [(one.returncode, one.stderr) for one in done] == [(0, "")] * 2
    forms = [parse_scrypt(one.stdout.rstrip("\n")) for one in done]
    assert forms[0].salt != forms[1].salt
    assert all(form.work_out("sécret".encode()) == form.hash for form in forms)


@pytest.mark.parametrize("text", ["", "\n"])
def test_an_empty_one(text: str) -> None:
    done = subprocess.run(COMMAND, input=text, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "Error: an empty password protects nothing\n")


def test_no_password_in_an_argument() -> None:
    done = subprocess.run([*COMMAND, "secret"], capture_output=True, text=True)
    assert done.returncode == 2 and "positional arguments" in done.stderr and "secret" not in done.stderr


@pytest.mark.parametrize("again", ["secret", "secrets"])
def test_on_a_terminal(again: str) -> None:
    leader, terminal = pty.openpty()
    process = subprocess.Popen(COMMAND, stdin=terminal, stdout=subprocess.PIPE, stderr=terminal, start_new_session=True,
                               text=True)
    os.close(terminal)
    seen = b""
    for prompt, answer in ((b"Password: ", b"secret\n"), (b"Again: ", again.encode() + b"\n")):
        while prompt not in seen:
            seen += os.read(leader, 1000)
        os.write(leader, answer)
    out = process.communicate(timeout=20)[0]
    os.close(leader)
    assert b"secret" not in seen
    if again == "secret":
        assert process.returncode == 0
        form = parse_scrypt(out.strip())
        assert form.work_out(b"secret") == form.hash
    else:
        assert (process.returncode, out) == (1, "")
