"""Ways for other accounts into what a test has made."""

import os
from pathlib import Path


def open_ways(path: Path) -> Path:
    """Let everybody read a test's directory, and enter those above it that pytest has made; the directory.

    Bits are only added: with --basetemp one of those above may be /tmp.
    """
    for folder in (path, *path.parents[:2]):
        if folder.stat().st_uid == os.getuid():
            folder.chmod(folder.stat().st_mode | 0o055)
    return path
