#!/usr/bin/python3
"""The rpm packages: built in a chroot of Debian that has rpm, checked, and put into a repository for dnf.

    vm-tests/rpms.py [RELEASE [CHANGE]]     dist/rpm/: the packages and their source; with another release than the
                                            spec's, after a shell command that changes the source tree

Promises: as packages.py for Debian; where rpmlint has an error or a warning there is no package. The source package is
for any distribution with the macros of Fedora, the binary ones are for the machine of `asrpm.py` alone. Must not:
install anything on this machine.
"""

import calendar
import re
import shutil
import sys
import time
from pathlib import Path

import asrpm
import building
import cache
from building import ROOT, run

#: Two builds of the same source give the same bytes: one time, one name of a machine, no debugging information (it
#: would have the directory with a name by chance in which meson-python builds). The rpm database of the chroot knows
#: nothing of Debian's packages, hence --nodeps.
DEFINED = {
    "_topdir": "{top}", "_sourcedir": "{top}", "_rpmdir": "{top}/out", "_srcrpmdir": "{top}/out",
    "_build_name_fmt": "%%{{NAME}}-%%{{VERSION}}-%%{{RELEASE}}.%%{{ARCH}}.rpm", "_buildhost": "localhost",
    "optflags": "-O2 -Wall", "debug_package": "%{{nil}}", "source_date_epoch_from_changelog": "1",
    "use_source_date_epoch_as_buildtime": "1", "build_mtime_policy": "clamp_to_source_date_epoch",
}  # fmt: skip
RPMBUILD = " ".join(["rpmbuild --quiet --nodeps", *(f"-D '{key} {value}'" for key, value in DEFINED.items())])


def built(release: str = "", change: str = "true", lint: bool = True) -> Path:
    """The folder with the packages of this checkout; made again when anything in it has changed. See `build`."""
    name = f"rpms-{release}" if release else "rpms"
    return cache.made(name, (building.fingerprint(), change, lint), lambda out: build(out, release, change, lint))


def build(out: Path, release: str, change: str, lint: bool) -> None:
    """Build the packages of this checkout into `out`: with another release than the spec's, after a shell command
    `change` in the source tree.

    Raises RuntimeError with the build's last words, and where rpmlint has an error or a warning.
    """
    with asrpm.chroot() as root:
        top = root / "build"
        spec = _put_source(top, release, change)
        building.inside(root, f"cd /build; {RPMBUILD.format(top='/build')} -bs {spec}")
        shutil.copy2(_source(top / "out"), out)
        _rebuild(root, "build", out)
        if lint:
            shutil.copy(ROOT / "packaging/rpm/rpmlint.toml", top)
            _lint(root, spec)


def build_again(out: Path, built_before: Path) -> None:
    """Build the source package of `built_before` in another place. Raises RuntimeError."""
    place = "another/place"
    with asrpm.chroot() as root:
        (root / place / "out").mkdir(parents=True)
        shutil.copy2(_source(built_before), root / place / "out")
        _rebuild(root, place, out)


def _source(folder: Path) -> Path:
    return next(folder.glob("*.src.rpm"))


def _rebuild(root: Path, place: str, out: Path) -> None:
    """Build the packages from the source package that is there, as everybody else does."""
    words = f"{RPMBUILD.format(top=f'/{place}')} --rebuild out/{_source(root / place / 'out').name}"
    building.inside(root, f"cd /{place}; {words}")
    for found in (root / place / "out").glob("*.rpm"):
        if not found.name.endswith(".src.rpm"):
            shutil.copy2(found, out)


def _put_source(top: Path, release: str, change: str) -> str:
    """The archive and the spec beside it, as rpmbuild wants them; the name of the spec."""
    with cache.scratch() as temp:
        tree = temp / "tree"
        building.copy_tree(tree)
        run("sh", "-ec", change, cwd=tree)
        text = (tree / "packaging/rpm/sdsuper.spec").read_text()
        if release:
            text = re.sub(r"^(Release: +|\* .+ - [\d.]+-)\d+", rf"\g<1>{release}", text, flags=re.MULTILINE)
        found = re.search(r"^Version: +(.*)$", text, re.MULTILINE)
        dated = re.search(r"^%changelog\n\* \w+ (.*?\d{4}) ", text, re.MULTILINE)
        if found is None or dated is None:
            raise RuntimeError("packaging/rpm/sdsuper.spec: no version, or no date in the first entry of %changelog")
        name = f"sdsuper-{found[1]}"
        date = calendar.timegm(time.strptime(dated[1], "%b %d %Y"))
        building.set_times(tree, date)
        tree.rename(temp / name)
        top.mkdir()
        run("tar", "-C", temp, "--sort=name", "--owner=0", "--group=0", "--numeric-owner", "-cJf",
            top / f"{name}.tar.xz", name)
        spec = top / "sdsuper.spec"
        spec.write_text(text)
        building.set_times(top, date)
    return spec.name


def _lint(root: Path, spec: str) -> None:
    said = building.inside(root, f"cd /build; rpmlint -c rpmlint.toml {spec} out/*.rpm || :")
    if " 0 errors, 0 warnings" not in said:
        raise RuntimeError(f"rpmlint:\n{said}")


def repository(name: str, folders: list[Path], out: Path) -> None:
    """Fill `out`: a repository for dnf of our packages and of all that they need on that machine, where `machine.rpm`
    says what is there.
    """
    out.mkdir(parents=True)
    for folder in (*folders, asrpm.libraries(name)):
        for package in folder.glob("*.rpm"):
            if not package.name.endswith(".src.rpm"):
                shutil.copy2(package, out)
    (out / f"{asrpm.MACHINE}.rpm").rename(out / "machine.rpm")
    with asrpm.chroot() as root:
        shutil.copytree(out, root / "repo")
        building.inside(root, "createrepo_c -q /repo")
        shutil.copytree(root / "repo/repodata", out / "repodata")


def main(release: str = "", change: str = "true") -> None:
    """Fill dist/rpm."""
    begun, target = time.monotonic(), ROOT / "dist/rpm"
    found = built(release, change)
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(found, target)
    print(f"{target.relative_to(ROOT)}: {time.monotonic() - begun:.0f} s")
    for package in sorted(target.glob("*.rpm")):
        print(f"    {package.name}")


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except RuntimeError as error:
        sys.exit(str(error))
