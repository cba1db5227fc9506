"""`sdsuper passwd`: print a password as the configuration should have it.

Promises: the password is asked for without echo, or read from standard input when that is no terminal; it is in no
argument and nothing but its form is printed. Must not: change a configuration.
"""

import os
import sys

from sdsuper.cli.options import UsageError, parse
from sdsuper.config.passwords import SALT_BYTES, scrypt_form

_HELP = """\
sdsuper passwd -- print a password as `password =` of an HTTP server should have it

Usage: sdsuper passwd

The password is asked for twice; without a terminal the first line of standard input is taken.
"""


def main(argv: list[str]) -> int:
    """Ask and print; returns the exit status."""
    try:
        options, words = parse(argv, {"-h": ("help", False), "--help": ("help", False)})
        if words:
            raise UsageError("positional arguments are not supported (a password in one could be seen by others)")
    except UsageError as error:
        sys.stderr.write(f"Error: {error}\nFor help, use sdsuper passwd -h\n")
        return 2
    if "help" in options:
        sys.stdout.write(_HELP)
        return 0
    try:
        password = _ask() if sys.stdin.isatty() else sys.stdin.readline().rstrip("\n")
    except (EOFError, KeyboardInterrupt):
        sys.stderr.write("\n")
        return 1
    if not password:
        sys.stderr.write("Error: an empty password protects nothing\n" if password == "" else "")
        return 1
    sys.stdout.write(f"{scrypt_form(password, os.urandom(SALT_BYTES))}\n")
    return 0


def _ask() -> str | None:
    """The password; None when the two differ, which is said."""
    from getpass import getpass

    first = getpass("Password: ")
    if getpass("Again: ") == first:
        return first
    sys.stderr.write("Error: the two differ\n")
    return None
