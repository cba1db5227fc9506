"""`sdsuper init -o FILE`: write a commented sample configuration, as Go's supervisord does.

Promises: never overwrites a file. Must not: have a sample of its own.
"""

import os
import sys

from sdsuper.cli.echo_conf import sample
from sdsuper.cli.options import UsageError, parse

_TABLE = {"-o": ("output", True), "--output": ("output", True), "-h": ("help", False), "--help": ("help", False)}

_HELP = """\
sdsuper init -- write a commented sample configuration

Usage: sdsuper init -o FILE

-o/--output FILE -- where to write it; a file that exists is left alone
"""


def main(argv: list[str]) -> int:
    """Write the sample; returns the exit status (1 as Go's when there is no -o or the file cannot be written)."""
    try:
        options, words = parse(argv, _TABLE)
        if words:
            raise UsageError("positional arguments are not supported: " + " ".join(words))
    except UsageError as error:
        sys.stderr.write(f"Error: {error}\nFor help, use sdsuper init -h\n")
        return 2
    if "help" in options:
        sys.stdout.write(_HELP)
        return 0
    if "output" not in options:
        sys.stderr.write("Error: init needs -o FILE\nFor help, use sdsuper init -h\n")
        return 1
    try:
        fd = os.open(options["output"], os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        with open(fd, "w", encoding="utf-8") as stream:
            stream.write(sample())
    except OSError as error:
        sys.stderr.write(f"Error: cannot write {options['output']}: {error.strerror}\n")
        return 1
    return 0
