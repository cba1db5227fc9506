"""What every build of packages is made with: the files of the checkout, chroots to build in, and apt for another suite.

Promises: what is in git or could be is built, and nothing else of the checkout; a build sees nothing of this machine
but its files in the chroot. Must not: install anything on this machine, nor know a format of packages.
"""

import contextlib
import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import cache

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENT = ("env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LC_ALL=C.UTF-8")
#: A build sees no more of the machine than this.
DEVICES = ("mount -t proc proc /proc; mount -t tmpfs dev /dev; mknod -m 666 /dev/null c 1 3; "
           "mknod -m 666 /dev/urandom c 1 9; ln -s /proc/self/fd /dev/fd")


def run(*argv: object, cwd: Path | None = None) -> str:
    """Run a command; its output. Raises RuntimeError with what it said."""
    done = subprocess.run([str(word) for word in argv], capture_output=True, text=True, cwd=cwd, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, argv))}: exit status {done.returncode}\n"
                           f"{done.stdout[-4000:]}{done.stderr[-4000:]}")
    return done.stdout


def tree() -> list[str]:
    """The files of the checkout that belong to it."""
    found = run("git", "-C", ROOT, "-c", "safe.directory=*", "ls-files", "-co", "--exclude-standard", "-z")
    return sorted(name for name in found.split("\0") if name and (ROOT / name).is_file())


def mode(path: Path) -> int:
    """The mode as git knows it, whatever the umask was."""
    return 0o755 if path.stat().st_mode & 0o100 else 0o644


def fingerprint() -> str:
    """Another one when anything in the checkout has changed, how packages are built included."""
    found = hashlib.sha256()
    for name in tree():
        path = ROOT / name
        found.update(f"{name} {mode(path):o} {path.stat().st_size} ".encode() + path.read_bytes())
    return found.hexdigest()


def copy_tree(target: Path) -> None:
    """The checkout's files in another place."""
    for name in tree():
        path = target / name
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, path)
        path.chmod(mode(ROOT / name))


def chroot(name: str, suite: str, tools: tuple[str, ...]) -> Path:
    """A tar file with a root file system of a suite that has these packages."""
    def make(folder: Path) -> None:
        run("mmdebstrap", "--quiet", "--variant=minbase", f"--include={','.join(tools)}",
            '--aptopt=APT::Install-Recommends "false"', '--aptopt=Acquire::Check-Valid-Until "false"', suite,
            folder / "root.tar", *cache.sources(suite))
    return cache.made(name, (suite, tools), make) / "root.tar"


@contextlib.contextmanager
def unpacked(tar: Path) -> Iterator[Path]:
    """The chroot of such a file, gone afterwards."""
    with cache.scratch() as temp:
        root = temp / "root"
        root.mkdir()
        run("tar", "-C", root, "-xf", tar, "--exclude=./dev/*")
        yield root


def inside(root: Path, script: str) -> str:
    """Run a shell script in a chroot; its output. Raises RuntimeError with what it said."""
    script = f"{DEVICES}; umask 022; {script}"
    return run("unshare", "-m", "-p", "-f", "chroot", root, *ENVIRONMENT, "sh", "-ec", script)


def apt(temp: Path, lines: list[str], status: Path = Path("/dev/null"), archives: Path | None = None) -> list[str]:
    """The words of an apt-get that knows of nothing but these lines of a sources.list and this dpkg status, with its
    lists up to date in `temp`; what it downloads comes to `archives`.
    """
    (temp / "lists/partial").mkdir(parents=True)
    (temp / "sources.list").write_text("\n".join(lines) + "\n")
    settings = {
        "Dir::Etc::sourcelist": temp / "sources.list", "Dir::Etc::sourceparts": "-",
        "Dir::State::lists": temp / "lists", "Dir::State::status": status, "Dir::Cache::archives": archives or temp,
        "Dir::Cache::pkgcache": temp / "pkgcache.bin", "Dir::Cache::srcpkgcache": temp / "srcpkgcache.bin",
        "APT::Install-Recommends": "false", "APT::Sandbox::User": "root", "Debug::NoLocking": "1",
    }  # fmt: skip
    words = ["apt-get", "-q", *(f"-o{key}={value}" for key, value in settings.items())]
    run(*words, "update")
    return words


def download(temp: Path, lines: list[str], status: Path, names: list[str], pool: Path) -> None:
    """Fill `pool` with the packages that apt would get, by these lines, for a machine with that dpkg status."""
    (pool / "partial").mkdir()
    run(*apt(temp, lines, status, pool), "install", "-y", "--download-only", *names)
    (pool / "partial").rmdir()
    (pool / "lock").unlink(missing_ok=True)


def set_times(folder: Path, date: float) -> None:
    """Give a directory and all in it that time."""
    for place, _, names in os.walk(folder):
        for path in (place, *(os.path.join(place, name) for name in names)):
            os.utime(path, (date, date))
