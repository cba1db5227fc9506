"""Standard input as lines, for the shell and for `fg`.

Promises: what is not asked for stays in the pipe's order: the next reader gets the next line. On a terminal the shell
has readline. Must not: lose a last line without a newline.
"""

import os
import sys


class Lines:
    """Lines of descriptor `fd`, without their newline."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._buffer = b""
        self._ended = False

    @property
    def ready(self) -> bool:
        """A line, or the end, can be had without reading."""
        return self._ended or b"\n" in self._buffer

    def read(self) -> str | None:
        """The next line; None at the end. Waits for it."""
        while not self.ready:
            self.fill()
        line, newline, self._buffer = self._buffer.partition(b"\n")
        return line.decode("utf-8", "surrogateescape") if line or newline else None

    def fill(self) -> None:
        """Read once what is there; waits when there is nothing."""
        data = os.read(self.fd, 1 << 16)
        self._buffer += data
        self._ended = not data

    def ask(self, prompt: str) -> str | None:
        """Show `prompt` and read the answer; None at the end."""
        if self._on_terminal():
            try:
                return input(prompt)
            except EOFError:
                return None
        sys.stdout.write(prompt)
        sys.stdout.flush()
        return self.read()

    def ask_secretly(self, prompt: str) -> str | None:
        """Show `prompt` on the terminal and read the answer without echo; without a terminal, the next line."""
        from getpass import getpass

        if _has_terminal() or self._on_terminal():
            try:
                return getpass(prompt)
            except EOFError:
                return None
        # as Python's does where there is none; it would not know of what `_buffer` holds
        sys.stdout.flush()
        sys.stderr.write(f"Warning: Password input may be echoed.\n{prompt}")
        sys.stderr.flush()
        answer = self.read()
        if answer is not None:
            sys.stderr.write("\n")
        return answer

    def _on_terminal(self) -> bool:
        return self.fd == 0 and sys.stdin is not None and sys.stdin.isatty() and sys.stdout.isatty()


def _has_terminal() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True
