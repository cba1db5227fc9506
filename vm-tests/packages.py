"""The packages: built in a chroot of their own suite, checked, and put into a repository that needs no network.

    vm-tests/packages.py build SUITE [VERSION]      dist/SUITE/*.deb; VERSION instead of the one of the changelog

Promises: what is in git and not ignored is built, and nothing else of the checkout; two builds of the same tree give the
same bytes. Must not: install anything on this machine.
"""

import hashlib
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import cache

ROOT = Path(__file__).resolve().parent.parent
BUILD_TOOLS = (
    "build-essential", "debhelper", "dh-python", "lintian", "meson", "pybuild-plugin-pyproject", "python3-dev",
    "python3-mesonpy",
)  # fmt: skip


def run(*argv: object, **more: object) -> str:
    """Run a command; its output. Raises with what it said."""
    done = subprocess.run([str(word) for word in argv], capture_output=True, text=True, **more)  # type: ignore[call-overload]
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, argv))}: exit status {done.returncode}\n{done.stdout[-4000:]}{done.stderr[-4000:]}")
    return str(done.stdout)


def tree() -> list[str]:
    """The files of the checkout that belong to it."""
    found = run("git", "-C", ROOT, "-c", "safe.directory=*", "ls-files", "-co", "--exclude-standard", "-z")
    return sorted(name for name in found.split("\0") if name and (ROOT / name).is_file())


def chroot(suite: str) -> Path:
    """A tar file with a root file system that has what a build needs."""
    def make(folder: Path) -> None:
        run("mmdebstrap", "--quiet", "--variant=minbase", f"--include={','.join(BUILD_TOOLS)}",
            '--aptopt=APT::Install-Recommends "false"', "--aptopt=Acquire::Check-Valid-Until \"false\"", suite,
            folder / "root.tar", *cache.sources(suite))
    return cache.made(f"build-{suite}", (suite, BUILD_TOOLS), make) / "root.tar"


def built(suite: str, version: str = "", change: str = "true", lint: bool = True) -> Path:
    """The folder with the packages of this checkout; made again when anything in it has changed. See `build`."""
    found = hashlib.sha256()
    for name in tree():
        path = ROOT / name
        found.update(f"{name} {path.stat().st_mode}".encode() + path.read_bytes())
    return cache.made(f"debs-{suite}{'-' * bool(version)}{version}", (found.hexdigest(), BUILD_TOOLS, version, change, lint),
                      lambda out: build(out, suite, version, change, lint))


def build(out: Path, suite: str, version: str, change: str, lint: bool) -> None:
    """Build the packages of this checkout into `out`: with another version than the changelog's, after a shell command
    `change` in the source tree.

    Raises RuntimeError with the build's last words, and where lintian has an error or a warning.
    """
    tar = chroot(suite)
    with tempfile.TemporaryDirectory(prefix="build-", dir=cache.CACHE) as temp:
        root, source = Path(temp) / "root", Path(temp) / "root/build/sdsuper"
        root.mkdir()
        run("tar", "-C", root, "-xf", tar, "--exclude=./dev/*")
        for name in tree():
            target = source / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target)
        shutil.copytree(source / "packaging/debian", source / "debian")
        if version:
            changelog = source / "debian/changelog"
            text = changelog.read_text()
            first = text.index("(") + 1
            changelog.write_text(text[:first] + version + text[text.index(")"):])
        run("sh", "-c", change, cwd=source)
        inside = ["env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LC_ALL=C.UTF-8"]
        script = ("mount -t proc proc /proc; mount -t tmpfs dev /dev; mknod -m 666 /dev/null c 1 3; mknod -m 666 /dev/urandom c 1 9;"
                  "ln -s /proc/self/fd /dev/fd; cd /build/sdsuper && umask 022 && dpkg-buildpackage -us -uc -F")
        run("unshare", "-m", "-p", "-f", "chroot", root, *inside, "sh", "-ec", script)
        if lint:
            said = run("chroot", root, *inside, "sh", "-c", "cd /build && lintian --allow-root --no-tag-display-limit *.changes; true")
            wrong = [line for line in said.splitlines() if line.startswith(("E:", "W:"))]
            if wrong:
                raise RuntimeError("lintian:\n" + "\n".join(wrong))
        for found in sorted((root / "build").iterdir()):
            if found.is_file() and "dbgsym" not in found.name:
                shutil.copy2(found, out)


def repository(suite: str, debs: list[Path], status: Path, out: Path) -> None:
    """Fill `out`: an apt repository of our packages and of all that they need on a machine with that dpkg status."""
    out.mkdir(parents=True)
    for folder in debs:
        for deb in folder.glob("*.deb"):
            shutil.copy2(deb, out)
    depends = sorted({run("dpkg-deb", "-f", deb, "Depends") for deb in out.glob("*.deb")})

    def download(pool: Path) -> None:
        ours = pool.parent / f"{pool.name}.ours"
        shutil.rmtree(ours, ignore_errors=True)
        shutil.copytree(out, ours)
        index(ours)
        state = pool / "state"
        (state / "lists/partial").mkdir(parents=True)
        (pool / "partial").mkdir()
        lines = [*cache.sources(suite), f"deb [trusted=yes] file:{ours} ./"]
        (state / "sources.list").write_text("\n".join(lines) + "\n")
        apt = ["apt-get", "-q", "-o", f"Dir::Etc::sourcelist={state}/sources.list", "-o", "Dir::Etc::sourceparts=-",
               "-o", f"Dir::State::lists={state}/lists", "-o", f"Dir::State::status={status}",
               "-o", f"Dir::Cache::archives={pool}", "-o", f"Dir::Cache::pkgcache={state}/pkgcache.bin",
               "-o", f"Dir::Cache::srcpkgcache={state}/srcpkgcache.bin", "-o", "APT::Install-Recommends=false",
               "-o", "APT::Sandbox::User=root", "-o", "Debug::NoLocking=1"]
        run(*apt, "update")
        run(*apt, "install", "-y", "--download-only", "sdsuper", "sdsuper-supervisor")
        shutil.rmtree(state)
        shutil.rmtree(ours)
    pool = cache.made(f"pool-{suite}", (depends, hashlib.sha256(status.read_bytes()).hexdigest()), download)
    for deb in pool.glob("*.deb"):
        shutil.copy2(deb, out)
    index(out)


def index(folder: Path) -> None:
    """Make the folder an apt repository."""
    (folder / "Packages").write_text(run("dpkg-scanpackages", "--multiversion", ".", cwd=folder))


if __name__ == "__main__":
    try:
        target = ROOT / "dist" / "-".join(sys.argv[2:])
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(built(*sys.argv[2:]), target)
        print(target)
    except RuntimeError as error:
        sys.exit(str(error))
