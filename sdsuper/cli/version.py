"""`sdsuper version`: the version of this program, alone on the first line, as `supervisord -v` prints it."""

import sys

from sdsuper import VERSION


def main(argv: list[str]) -> int:
    """Print the version; words after it are refused with exit status 2."""
    if argv:
        sys.stderr.write(f"Error: version accepts no arguments: {' '.join(argv)}\n")
        return 2
    sys.stdout.write(VERSION + "\n")
    return 0
