#!/usr/bin/python3
"""The packages: built in a chroot of their own suite, checked, and put into a repository that needs no network.

    vm-tests/packages.py [SUITE ...]      dist/SUITE/: the packages and their source

Promises: what is in git or could be is built, and nothing else of the checkout; two builds of the same tree give the
same bytes, wherever it lies and whoever has checked it out; where lintian has an error or a warning there is no
package. Must not: install anything on this machine.
"""

import email.utils
import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import cache

ROOT = Path(__file__).resolve().parent.parent
SUITES = ("bookworm", "trixie")
BUILD_TOOLS = (
    "build-essential", "debhelper", "dh-python", "lintian", "meson", "pybuild-plugin-pyproject", "python3-dev",
    "python3-mesonpy",
)  # fmt: skip
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


def chroot(suite: str) -> Path:
    """A tar file with a root file system that has what a build needs."""
    def make(folder: Path) -> None:
        run("mmdebstrap", "--quiet", "--variant=minbase", f"--include={','.join(BUILD_TOOLS)}",
            '--aptopt=APT::Install-Recommends "false"', '--aptopt=Acquire::Check-Valid-Until "false"', suite,
            folder / "root.tar", *cache.sources(suite))
    return cache.made(f"chroot-{suite}", (suite, BUILD_TOOLS), make) / "root.tar"


def built(suite: str, version: str = "", change: str = "true", lint: bool = True) -> Path:
    """The folder with the packages of this checkout; made again when anything in it has changed. See `build`."""
    found = hashlib.sha256(Path(__file__).read_bytes())
    for name in tree():
        path = ROOT / name
        found.update(f"{name} {mode(path):o} {path.stat().st_size} ".encode() + path.read_bytes())
    name = f"debs-{suite}-{version}" if version else f"debs-{suite}"
    return cache.made(name, (found.hexdigest(), change, lint), lambda out: build(out, suite, version, change, lint))


def build(out: Path, suite: str, version: str, change: str, lint: bool) -> None:
    """Build the packages of this checkout into `out`: with another version than the changelog's, after a shell command
    `change` in the source tree.

    Raises RuntimeError with the build's last words, and where lintian has an error or a warning.
    """
    _build(out, suite, "build", lambda source: _put_source(source, version, change), lint)


def build_again(out: Path, suite: str, built_before: Path) -> None:
    """Build the source package of `built_before` in another place. Raises RuntimeError."""
    archive = next(built_before.glob("*.tar.xz"))

    def unpack(source: Path) -> None:
        source.mkdir(parents=True)
        run("tar", "-C", source, "--strip-components=1", "-xf", archive)
    _build(out, suite, "another/place", unpack, lint=False)


def _build(out: Path, suite: str, place: str, put_source: Callable[[Path], None], lint: bool) -> None:
    tar = chroot(suite)
    with cache.scratch() as temp:
        root = temp / "root"
        root.mkdir()
        run("tar", "-C", root, "-xf", tar, "--exclude=./dev/*")
        put_source(root / place / "sdsuper")
        run("unshare", "-m", "-p", "-f", "chroot", root, *ENVIRONMENT, "sh", "-ec",
            f"{DEVICES}; cd /{place}/sdsuper; umask 022; dpkg-buildpackage -us -uc -F")
        if lint:
            _lint(root, place)
        for found in sorted((root / place).iterdir()):
            if found.is_file() and "dbgsym" not in found.name:
                shutil.copy2(found, out)


def _put_source(source: Path, version: str, change: str) -> None:
    """The source tree as dpkg wants it; every file has the time of the changelog's first entry."""
    for name in tree():
        target = source / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, target)
        target.chmod(mode(ROOT / name))
    shutil.copytree(source / "packaging/debian", source / "debian")
    changelog = source / "debian/changelog"
    text = changelog.read_text()
    if version:
        text = re.sub(r"\(.*?\)", lambda _: f"({version})", text, count=1)
        changelog.write_text(text)
    run("sh", "-ec", change, cwd=source)
    signed = re.search(r"^ -- .*>  (.*)$", text, re.MULTILINE)
    if signed is None:
        raise RuntimeError("packaging/debian/changelog: the first entry has no date")
    date = email.utils.parsedate_to_datetime(signed[1]).timestamp()
    for folder, _, names in os.walk(source):
        for path in (folder, *(os.path.join(folder, name) for name in names)):
            os.utime(path, (date, date))


def _lint(root: Path, place: str) -> None:
    said = run("chroot", root, *ENVIRONMENT, "sh", "-c",
               f"cd /{place} && lintian --allow-root --no-tag-display-limit *.changes || :")
    wrong = [line for line in said.splitlines() if line.startswith(("E:", "W:"))]
    if wrong:
        raise RuntimeError("lintian:\n" + "\n".join(wrong))


def repository(suite: str, debs: list[Path], status: Path, out: Path) -> None:
    """Fill `out`: an apt repository of our packages and of all that they need on a machine with that dpkg status."""
    out.mkdir(parents=True)
    for folder in debs:
        for deb in folder.glob("*.deb"):
            shutil.copy2(deb, out)
    depends = sorted({run("dpkg-deb", "-f", deb, "Depends") for deb in out.glob("*.deb")})
    recipe = (depends, hashlib.sha256(status.read_bytes()).hexdigest())
    pool = cache.made(f"pool-{suite}", recipe, lambda folder: _download(suite, out, status, folder))
    for deb in pool.glob("*.deb"):
        shutil.copy2(deb, out)
    _index(out)


def _download(suite: str, packages: Path, status: Path, pool: Path) -> None:
    """Fill `pool` with what apt would get for our packages on a machine with that dpkg status."""
    with cache.scratch() as temp:
        ours = temp / "ours"
        shutil.copytree(packages, ours)
        _index(ours)
        (temp / "lists/partial").mkdir(parents=True)
        (pool / "partial").mkdir()
        lines = [*cache.sources(suite), f"deb [trusted=yes] file:{ours} ./"]
        (temp / "sources.list").write_text("\n".join(lines) + "\n")
        settings = {
            "Dir::Etc::sourcelist": temp / "sources.list", "Dir::Etc::sourceparts": "-",
            "Dir::State::lists": temp / "lists", "Dir::State::status": status, "Dir::Cache::archives": pool,
            "Dir::Cache::pkgcache": temp / "pkgcache.bin", "Dir::Cache::srcpkgcache": temp / "srcpkgcache.bin",
            "APT::Install-Recommends": "false", "APT::Sandbox::User": "root", "Debug::NoLocking": "1",
        }  # fmt: skip
        apt = ["apt-get", "-q", *(f"-o{key}={value}" for key, value in settings.items())]
        run(*apt, "update")
        run(*apt, "install", "-y", "--download-only", "sdsuper", "sdsuper-supervisor")
        (pool / "partial").rmdir()
        (pool / "lock").unlink(missing_ok=True)


def _index(folder: Path) -> None:
    """Make the folder an apt repository."""
    (folder / "Packages").write_text(run("dpkg-scanpackages", "--multiversion", ".", cwd=folder))


def main(*suites: str) -> None:
    """Fill dist/SUITE for each suite."""
    for suite in suites or SUITES:
        begun, target = time.monotonic(), ROOT / "dist" / suite
        found = built(suite)
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(found, target)
        print(f"{target.relative_to(ROOT)}: {time.monotonic() - begun:.0f} s", flush=True)
        for deb in sorted(target.glob("*.deb")):
            print(f"    {deb.name}")


if __name__ == "__main__":
    if wrong := [suite for suite in sys.argv[1:] if suite not in SUITES]:
        sys.exit(f"no such suite: {', '.join(wrong)} (expected: {', '.join(SUITES)})")
    try:
        main(*sys.argv[1:])
    except RuntimeError as error:
        sys.exit(str(error))
