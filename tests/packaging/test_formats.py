"""packaging/: what the two formats of packages have is the same, and so are version, dependencies and descriptions."""

import re
import tomllib
from email import message_from_string
from email.message import Message
from email.utils import parsedate_to_datetime
from pathlib import Path

import pytest

from sdsuper import VERSION

ROOT = Path(__file__).parent.parent.parent
DEBIAN = ROOT / "packaging/debian"
RULES = re.sub(r" \\\n\s*", " ", (DEBIAN / "rules").read_text())        # lines that go on are joined
SPEC = (ROOT / "packaging/rpm/sdsuper.spec").read_text()
MACROS = {
    "_bindir": "/usr/bin", "_datadir": "/usr/share", "_localstatedir": "/var", "_mandir": "/usr/share/man",
    "_sysconfdir": "/etc", "_sysusersdir": "/usr/lib/sysusers.d", "_tmpfilesdir": "/usr/lib/tmpfiles.d",
    "_unitdir": "/usr/lib/systemd/system", "_userunitdir": "/usr/lib/systemd/user",
    "python3_sitearch": "PYTHON", "version": VERSION,
}  # fmt: skip
#: Where a library's name is not that of Debian's package.
DEBIAN_NAMES = {"systemd-python": "systemd"}


def lines(name: str) -> list[list[str]]:
    return [line.split() for line in (DEBIAN / name).read_text().splitlines()]


def paragraphs() -> dict[str, Message]:
    """The binary packages of debian/control by name."""
    found = [message_from_string(part) for part in (DEBIAN / "control").read_text().split("\n\n")]
    return {part["Package"]: part for part in found if part["Package"]}


def of_debian(package: str) -> set[str]:
    """What debhelper installs for a package, with compression of man pages left out."""
    if package == "sdsuper-supervisor":
        found = re.search(r"for name in (.*?); do", RULES)
        assert found is not None
        pages = {f"/{link.removesuffix('.gz')}" for _, link in lines("sdsuper-supervisor.links")}
        return pages | {f"/usr/bin/{name}" for name in found[1].split()}
    files = {f"/{folder}/{path.name}" for name, folder in lines("sdsuper.install") for path in ROOT.glob(name)}
    files |= {f"/{name}" for name, in lines("sdsuper.dirs")}
    files |= {line.split()[1] for line in (ROOT / "units/sdsuper.tmpfiles").read_text().splitlines() if line[0] != "#"}
    files |= {f"/{path}" for path in re.findall(r"install -D -m \d+ \S+ debian/sdsuper/(\S+)", RULES)}
    copied = re.search(r"cp (units/.*) debian/\n", RULES)
    assert copied is not None
    for name, kind in re.findall(r"units/(\S+)\.(\w+)", copied[1]):
        folder = {"sysusers": "sysusers.d", "tmpfiles": "tmpfiles.d"}.get(kind)
        files.add(f"/usr/lib/{folder}/{name}.conf" if folder else f"/usr/lib/systemd/system/{name}.{kind}")
    for page in (ROOT / "docs/man").iterdir():
        files.add(f"/usr/share/man/man{page.suffix[1:]}/{page.name}")
    files |= {f"/usr/bin/{path.name}" for path in (ROOT / "bin").iterdir()}
    return files | {"PYTHON/sdsuper/", f"PYTHON/sdsuper-{VERSION}.dist-info/"}


def listed(package: str) -> list[str]:
    """The lines of a package's %files."""
    name = "" if package == "sdsuper" else f" {package.removeprefix('sdsuper-')}"
    return SPEC.split(f"\n%files{name}\n")[1].split("\n\n")[0].splitlines()


def of_rpm(package: str) -> set[str]:
    """What the spec lists for a package: not the license and documentation, nor directories of what is listed, nor how
    man pages are compressed.
    """
    paths = [line.split()[-1] for line in listed(package) if not line.startswith(("%license", "%doc"))]
    found = {re.sub(r"%\{(\w+)\}", lambda found: MACROS[found[1]], path).removesuffix("*") for path in paths}
    return {path for path in found if not any(other.startswith(f"{path}/") for other in found)}


@pytest.mark.parametrize("package", ["sdsuper", "sdsuper-supervisor"])
def test_both_formats_have_the_same_files(package: str) -> None:
    assert of_rpm(package) == of_debian(package)


def test_both_formats_have_the_same_documentation() -> None:
    named = [line.split()[1:] for line in listed("sdsuper") if line.startswith("%doc ")]
    assert sorted(named[0]) == sorted(name for name, in lines("sdsuper.docs"))
    assert len(named) == 1


def test_what_is_in_etc_survives_an_upgrade() -> None:
    files = [line for line in listed("sdsuper") if "_sysconfdir" in line and not line.startswith("%dir")]
    assert files == ["%config(noreplace) %{_sysconfdir}/supervisord.conf"]


def test_both_formats_have_the_version_and_date_of_their_changelog() -> None:
    version = re.search(r"^Version: +(.*)\nRelease: +(\d+)%\{\?dist\}$", SPEC, re.MULTILINE)
    entry = re.search(r"^%changelog\n\* (\w+ \w+ \d+ \d+) (.*) - (.*)$", SPEC, re.MULTILINE)
    debian = re.search(r"^sdsuper \((.*?)\)", (DEBIAN / "changelog").read_text())
    signed = re.search(r"^ -- (.*)  (.*)$", (DEBIAN / "changelog").read_text(), re.MULTILINE)
    assert version is not None and entry is not None and debian is not None and signed is not None
    assert version[1] == debian[1] == VERSION
    assert entry[3] == f"{version[1]}-{version[2]}"
    assert (entry[1], entry[2]) == (parsedate_to_datetime(signed[2]).strftime("%a %b %d %Y"), signed[1])


def test_both_formats_need_the_same_libraries() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = set(project["dependencies"]) | set(re.findall(r"^Recommends: +python3dist\((.*)\)$", SPEC, re.MULTILINE))
    depends = {name.strip() for name in paragraphs()["sdsuper"]["Depends"].split(",")}
    assert {f"python3-{DEBIAN_NAMES.get(name, name)}" for name in wanted} == {
        name for name in depends if name.startswith("python3-")}


@pytest.mark.parametrize("package", ["sdsuper", "sdsuper-supervisor"])
def test_both_formats_describe_themselves_in_the_same_words(package: str) -> None:
    name = "" if package == "sdsuper" else f" {package.removeprefix('sdsuper-')}"
    said = SPEC.split(f"\n%description{name}\n")[1].split("\n%")[0]
    _, _, debian = paragraphs()[package]["Description"].partition("\n")
    assert said.split() == [word for word in debian.split() if word != "."]


def test_the_name_of_the_supervisor_package_is_taken_by_one_of_ours() -> None:
    assert paragraphs()["sdsuper-supervisor"]["Provides"] == "supervisor"
    part = SPEC.split("\n%package supervisor\n")[1].split("\n\n")[0]
    assert re.search(r"^Provides: +supervisor = \d", part, re.MULTILINE)
    assert re.search(r"^Conflicts: +supervisor$", part, re.MULTILINE)


def test_both_formats_look_after_the_same_units() -> None:
    units = re.findall(r"^\tdh_installsystemd -psdsuper (.*)$", RULES, re.MULTILINE)
    for macro in ("post", "preun", "postun_with_restart"):
        assert re.findall(rf"^%systemd_{macro} (.*)$", SPEC, re.MULTILINE) == units
