"""What is made once and used often: chroots to build in, images to boot.

Promises: what a recipe made is used again until the recipe changes or is OLD_DAYS old (packages get security updates);
two that want the same thing wait for each other; nothing half-made is ever used; what a killed run has left goes away
with the next one. The place is CACHE, outside of the checkout. Must not: keep anything that cannot be made again.
"""

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

CACHE = Path(os.environ.get("SDSUPER_VM_CACHE", "/var/cache/sdsuper-vm"))
OLD_DAYS = 5
KEPT = 2


def made(name: str, recipe: object, make: Callable[[Path], object]) -> Path:
    """The directory that `make` fills, made when there is none for this recipe."""
    key = hashlib.sha256(repr(recipe).encode()).hexdigest()[:12]
    done = CACHE / f"{name}-{key}"
    CACHE.mkdir(parents=True, exist_ok=True)
    with open(f"{done}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if done.is_dir() and time.time() - done.stat().st_mtime > OLD_DAYS * 86400:
            shutil.rmtree(done)
        if not done.is_dir():
            _forget_old(name, done)
            work = Path(f"{done}.new")
            shutil.rmtree(work, ignore_errors=True)
            work.mkdir()
            make(work)
            work.rename(done)
    return done


def _forget_old(name: str, kept: Path) -> None:
    """What older recipes of that name have made, but for the newest few: another checkout may use them."""
    others = [path for path in CACHE.iterdir() if re.fullmatch(rf"{re.escape(name)}-[0-9a-f]{{12}}", path.name)]
    others.sort(key=lambda path: path.stat().st_mtime, reverse=True)
    for other in [path for path in others if path != kept][KEPT:]:
        shutil.rmtree(other, ignore_errors=True)
        Path(f"{other}.lock").unlink(missing_ok=True)


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """A directory for this process alone, gone afterwards; those of processes that were killed go, too."""
    folder = CACHE / "scratch"
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)            # nobody sees a directory before it is held
        for other in folder.iterdir():
            if other.is_dir() and (held := _hold(other)) is not None:
                shutil.rmtree(other, ignore_errors=True)
                os.close(held)
        mine = Path(tempfile.mkdtemp(dir=folder))
        hold = _hold(mine)
    try:
        yield mine
    finally:
        shutil.rmtree(mine, ignore_errors=True)
        if hold is not None:
            os.close(hold)


def _hold(folder: Path) -> int | None:
    """Take a directory for as long as the descriptor is open; None: somebody else has it."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        return None
    return fd


def sources(suite: str) -> list[str]:
    """sources.list lines of a suite, from where this machine's own apt gets its packages."""
    found = subprocess.run(["apt-get", "indextargets", "--format", "$(LABEL)|$(REPO_URI)"], check=True,
                           capture_output=True, text=True).stdout
    places: dict[str, str] = {}
    for line in found.splitlines():
        label, _, place = line.partition("|")
        places.setdefault(label, place)
    lines = [f"deb {places['Debian']} {part} main" for part in (suite, f"{suite}-updates")]
    return [*lines, f"deb {places['Debian-Security']} {suite}-security main"]
