"""A machine of Debian that dnf takes for one of rpm packages: what it has is told to rpm, and what it lacks is packed.

Promises: nothing is claimed that is not there: the machine itself is asked for what it has, and Debian's packages of
libraries become rpm packages with their own files and dependencies. systemd's macros, update helper and file triggers
are upstream's, from Debian's source package of systemd. Must not: know what is tested.
"""

import contextlib
import importlib.metadata
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import building
import cache
import lab
from building import ROOT, run

SUITE = "trixie"
TOOLS = (
    "binutils", "createrepo-c", "file", "gcc", "libc6-dev", "meson", "python3-dev", "python3-mesonpy",
    "python3-packaging", "python3-pip", "rpm", "rpmlint", "xz-utils", "zstd",
)  # fmt: skip
#: The package that says what the machine has.
MACHINE = "debian-machine"
_LIB = "/usr/lib/systemd"
#: What the templates in systemd's src/rpm leave open, as on any system with a merged /usr (meson.build of systemd).
PLACES = {
    "BINDIR": "/usr/bin", "BINFMT_DIR": "/usr/lib/binfmt.d", "ENVIRONMENT_DIR": "/usr/lib/environment.d",
    "KERNEL_INSTALL_DIR": "/usr/lib/kernel/install.d", "LIBEXECDIR": _LIB, "MODPROBE_DIR": "/usr/lib/modprobe.d",
    "MODULESLOAD_DIR": "/usr/lib/modules-load.d", "SYSCTL_DIR": "/usr/lib/sysctl.d",
    "SYSTEMD_CATALOG_DIR": f"{_LIB}/catalog", "SYSTEMD_UPDATE_HELPER_PATH": f"{_LIB}/systemd-update-helper",
    "SYSTEM_DATA_UNIT_DIR": f"{_LIB}/system", "SYSTEM_ENV_GENERATOR_DIR": f"{_LIB}/system-environment-generators",
    "SYSTEM_GENERATOR_DIR": f"{_LIB}/system-generators", "SYSTEM_PRESET_DIR": f"{_LIB}/system-preset",
    "SYSUSERS_DIR": "/usr/lib/sysusers.d", "TMPFILES_DIR": "/usr/lib/tmpfiles.d",
    "UDEV_HWDB_DIR": "/usr/lib/udev/hwdb.d", "UDEV_RULES_DIR": "/usr/lib/udev/rules.d",
    "UPDATE_HELPER_USER_TIMEOUT_SEC": "15",
    "USER_DATA_UNIT_DIR": f"{_LIB}/user", "USER_ENV_GENERATOR_DIR": f"{_LIB}/user-environment-generators",
    "USER_GENERATOR_DIR": f"{_LIB}/user-generators", "USER_PRESET_DIR": f"{_LIB}/user-preset",
    "USER_TMPFILES_DIR": "/usr/share/user-tmpfiles.d",
}  # fmt: skip
#: Asked in the machine: what dpkg has, the distributions that Python sees, the C library's symbols, commands.
QUESTION = r"""import glob, importlib.metadata, json, os, subprocess, sys
def said(*words):
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.splitlines()
print(json.dumps({
    "python": "%d.%d" % sys.version_info[:2],
    "packages": [line.split() for line in said("dpkg-query", "-W", "-f", "${Package} ${Version}\n")],
    "distributions": [(d.metadata["Name"], d.version) for d in importlib.metadata.distributions()],
    "libraries": said("/usr/lib/rpm/elfdeps", "--provides", *glob.glob("/lib/*-gnu/libc.so.6")),
    "files": [path for path in ("/bin/sh", "/usr/bin/python3", "/usr/bin/sh") if os.path.exists(path)],
    "loader": bool(glob.glob("/lib64/ld-linux*")),
}))"""
SPEC = """\
%global __os_install_post %{{nil}}
%global debug_package %{{nil}}
Name: {machine}
Version: 1
Release: 1
Summary: What this machine of Debian has
License: MIT
AutoReqProv: no
{provides}
%description
For the solver of rpm: what Debian has installed here.
{packages}
%install
mkdir -p %{{buildroot}}/usr/lib/rpm/macros.d %{{buildroot}}{lib}/system-preset
mkdir -p %{{buildroot}}/usr/lib/python3/dist-packages
install -m 755 systemd-update-helper %{{buildroot}}{lib}
install -m 644 macros.systemd %{{buildroot}}/usr/lib/rpm/macros.d
echo 'disable *' >%{{buildroot}}{lib}/system-preset/99-default-disable.preset
echo /usr/lib64/python{python}/site-packages >%{{buildroot}}/usr/lib/python3/dist-packages/site-packages.pth
for name in {names}; do
    cp -a debs/$name/. %{{buildroot}}
    (cd debs/$name && find . ! -type d | sed 's,^.\\(.*\\)$,"\\1",') >$name.files
done
%files
/usr/lib/python3/dist-packages/site-packages.pth
/usr/lib/rpm/macros.d/macros.systemd
{lib}/system-preset/99-default-disable.preset
{lib}/systemd-update-helper
{triggers}
"""
PACKAGE = """\
%package -n {name}
Version: {version}
Summary: Debian's {name}
AutoReqProv: no
{relations}
%description -n {name}
Debian's {name}.
%files -n {name} -f {name}.files
"""


class Deb(NamedTuple):
    """One of Debian's packages: version and dependencies as it says itself, distributions of Python in it."""

    name: str
    version: str
    depends: list[str]
    distributions: list[tuple[str, str]]


@contextlib.contextmanager
def chroot() -> Iterator[Path]:
    """A place for rpmbuild, with systemd's macros as Fedora has them; gone afterwards."""
    with building.unpacked(building.chroot("chroot-rpm", SUITE, TOOLS)) as root:
        shutil.copy(systemd(SUITE) / "macros.systemd", root / "usr/lib/rpm/macros.d")
        yield root


def systemd(suite: str) -> Path:
    """The folder with systemd's macros.systemd, systemd-update-helper and triggers for rpm. Raises RuntimeError for a
    place that its templates name and PLACES does not.
    """
    def make(folder: Path) -> None:
        with cache.scratch() as temp:
            lines = [line.replace("deb ", "deb-src ", 1) for line in cache.sources(suite)]
            words = building.apt(temp, lines)
            run(*words, "source", "--download-only", "systemd", cwd=temp)
            archive = next(temp.glob("systemd_*.orig.tar.*"))
            run("tar", "-C", temp, "--strip-components=1", "--wildcards", "-xf", archive, "*/src/rpm/*.in")
            for template, name in (("macros.systemd", "macros.systemd"), ("triggers.systemd.sh", "triggers"),
                                   ("systemd-update-helper", "systemd-update-helper")):
                (folder / name).write_text(_filled((temp / f"src/rpm/{template}.in").read_text()))
    return cache.made(f"systemd-rpm-{suite}", PLACES, make)


def _filled(text: str) -> str:
    if unknown := set(re.findall(r"\{\{(\w+)\}\}", text)) - set(PLACES):
        raise RuntimeError(f"systemd's templates for rpm want to know: {', '.join(sorted(unknown))}")
    text = re.sub(r"\{\{(\w+)\}\}", lambda found: PLACES[found[1]], text)
    # its triggers are for two packages, systemd and udev; here it is one
    return re.sub(r"^(%transfiletrigger\w+ -P *\d+) udev --", r"\1 --", text, flags=re.MULTILINE)


def libraries(name: str) -> Path:
    """The folder with MACHINE and, as rpm packages, Debian's that ours need on that machine and the one whose place
    they take.
    """
    status = lab.base(name) / "status"
    control = (ROOT / "packaging/debian/control").read_text()
    needed = set(re.findall(r"^ (python3-\w+),$", control[control.index("\nPackage:"):], re.MULTILINE))
    names = sorted({*needed, "supervisor"})
    recipe = (lab.base(name).name, names, SPEC, PACKAGE, QUESTION, systemd(SUITE).name)

    def make(out: Path) -> None:
        with lab.machine(name) as machine:
            said = machine.run(f"python3 - <<'END'\n{QUESTION}\nEND")
        if said.code:
            raise RuntimeError(f"{name} does not say what it has:\n{said.err}")
        with chroot() as root, cache.scratch() as temp:
            top = root / "build"
            (top / "pool").mkdir(parents=True)
            building.download(temp, cache.sources(lab.KINDS[name].suite), status, names, top / "pool")
            for path in systemd(SUITE).iterdir():
                shutil.copy(path, top)
            _write(top, json.loads(said.out))
            building.inside(root, "cd /build; for deb in debs/*; do python3 -m compileall -q -s $deb -p / $deb; done; "
                                  "rpmbuild --quiet -D '_topdir /build' -D '_rpmdir /build/out' --build-in-place "
                                  "-bb machine.spec")
            for path in (top / "out").rglob("*.rpm"):
                shutil.copy2(path, out / re.sub(r"-[^-]*-[^-]*$", ".rpm", path.name))
    return cache.made(f"libraries-{name}", recipe, make)


def _write(top: Path, has: dict[str, Any]) -> None:
    """Unpack the pool in `top`, and write the spec for it and for what the machine has."""
    debs = []
    for path in sorted((top / "pool").glob("*.deb")):
        said = run("dpkg-deb", "-W", "--showformat=${Package}\n${Version}\n${Depends}\n", path)
        package, version, depends = said.split("\n")[:3]
        place = top / "debs" / package
        place.mkdir(parents=True)
        run("dpkg-deb", "-x", path, place)
        found = importlib.metadata.distributions(path=[str(place / "usr/lib/python3/dist-packages")])
        debs.append(Deb(package, version, re.findall(r"(?:^|, )([a-z0-9.+-]+)", depends),
                        [(one.metadata["Name"], one.version) for one in found]))
    names = {deb.name for deb in debs}
    packages = ""
    for deb in debs:
        relations = [f"Requires: {other}" for other in deb.depends if other in names]
        relations += _provided(deb.distributions, has["python"])
        packages += PACKAGE.format(name=deb.name, version=_plain(deb.version), relations="\n".join(relations))
    provides = [f"Provides: {package} = {_plain(version)}" for package, version in has["packages"]]
    provides += [f"Provides: {word}" for word in (*has["libraries"], *has["files"], f"python(abi) = {has['python']}")]
    provides += _provided(has["distributions"], has["python"])
    provides += ["Provides: rtld(GNU_HASH)"] if has["loader"] else []
    (top / "machine.spec").write_text(SPEC.format(
        machine=MACHINE, provides="\n".join(provides), packages=packages, lib=_LIB, python=has["python"],
        names=" ".join(sorted(names)), triggers=(top / "triggers").read_text()))


def _provided(distributions: list[tuple[str, str]], python: str) -> list[str]:
    """As pythondistdeps of rpm says it."""
    lines = []
    for name, version in distributions:
        name, version = re.sub(r"[-_.]+", "-", name).lower(), _plain(version)
        lines += [f"Provides: python3dist({name}) = {version}", f"Provides: python{python}dist({name}) = {version}"]
    return lines


def _plain(version: str) -> str:
    """The numbers that a version begins with, without an epoch."""
    found = re.match(r"(?:\d+:)?(\d+(?:\.\d+)*)", version)
    return found[1] if found else "0"
