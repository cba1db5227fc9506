#!/usr/bin/python3
"""The packages: built in a chroot of their own suite, checked, and put into a repository that needs no network.

    vm-tests/packages.py [SUITE ...]      dist/SUITE/: the packages and their source

Promises: what is in git or could be is built, and nothing else of the checkout; two builds of the same tree give the
same bytes, wherever it lies and whoever has checked it out; where lintian has an error or a warning there is no
package. Must not: install anything on this machine.
"""

import email.utils
import hashlib
import re
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

import building
import cache
from building import ROOT, run

SUITES = ("bookworm", "trixie")
BUILD_TOOLS = (
    "build-essential", "debhelper", "dh-python", "lintian", "meson", "pybuild-plugin-pyproject", "python3-dev",
    "python3-mesonpy",
)  # fmt: skip


def built(suite: str, version: str = "", change: str = "true", lint: bool = True) -> Path:
    """The folder with the packages of this checkout; made again when anything in it has changed. See `build`."""
    name = f"debs-{suite}-{version}" if version else f"debs-{suite}"
    recipe = (building.fingerprint(), change, lint)
    return cache.made(name, recipe, lambda out: build(out, suite, version, change, lint))


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
    with building.unpacked(building.chroot(f"chroot-{suite}", suite, BUILD_TOOLS)) as root:
        put_source(root / place / "sdsuper")
        building.inside(root, f"cd /{place}/sdsuper; dpkg-buildpackage -us -uc -F")
        if lint:
            _lint(root, place)
        for found in sorted((root / place).iterdir()):
            if found.is_file() and "dbgsym" not in found.name:
                shutil.copy2(found, out)


def _put_source(source: Path, version: str, change: str) -> None:
    """The source tree as dpkg wants it; every file has the time of the changelog's first entry."""
    building.copy_tree(source)
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
    building.set_times(source, date)


def _lint(root: Path, place: str) -> None:
    said = run("chroot", root, *building.ENVIRONMENT, "sh", "-c",
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
        lines = [*cache.sources(suite), f"deb [trusted=yes] file:{ours} ./"]
        building.download(temp, lines, status, ["sdsuper", "sdsuper-supervisor"], pool)


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
