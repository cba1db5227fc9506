"""What every check is made of: a machine with the packages, steps that are told, and what is shown when one fails.

    vm-tests/check-NAME [--sit] [--broken KIND] [MACHINE ...]

`--sit` leaves the machine up at the end and takes commands for it; `--broken` spoils the packages first, in a way that
the check has to notice, and then a failure is what is wanted: exit status 0.

Promises: exit status 0 when all steps were as they should be, 1 when one was not (the guest's journal is printed), 2
for a wrong command line, 77 with a reason when it cannot be done here. Must not: know any single check.
"""

import argparse
import functools
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import cache
import lab
import packages

NEEDED = ("qemu-system-x86_64", "qemu-img", "mmdebstrap", "cpio", "mke2fs", "dpkg-scanpackages")
SKIPPED = 77
SETTLE_SECONDS = 90
#: What is shown when a step has failed.
LOOK = (r"journalctl -b --no-pager -o short-precise | grep -vE ' (qemu-ga\[|kernel:)' | tail -n 100; "
        "systemctl --no-pager -n 0 status sdsuper; systemctl --no-pager --failed; "
        "ls -la /run/sdsuper /var/log/sdsuper /etc/supervisord.d")


class Wrong(AssertionError):
    """A step was not as it should be."""


class Guest:
    """A machine with our repository in /job/repo, and words for what checks do."""

    def __init__(self, machine: lab.Machine, name: str) -> None:
        self.machine, self.name = machine, name

    def run(self, script: str, code: int | None = 0, limit: float = 300) -> str:
        """Run a script; its output and error output. Raises Wrong for another exit status than `code` (None: any)."""
        found = self.machine.run(script, limit)
        text = found.out + found.err
        if code is not None and found.code != code:
            raise Wrong(f"exit status {found.code} instead of {code}: {script}\n{text}")
        return text

    def has(self, script: str, *words: str) -> str:
        """Run a script whose output has to have all these words."""
        text = self.run(script)
        for word in words:
            if word not in text:
                raise Wrong(f"{word!r} is not in the output of: {script}\n{text}")
        return text

    def lacks(self, script: str, *words: str) -> str:
        """Run a script whose output must have none of these words."""
        text = self.run(script, code=None)
        for word in words:
            if word in text:
                raise Wrong(f"{word!r} is in the output of: {script}\n{text}")
        return text

    def says(self, script: str, expected: str) -> None:
        """Run a script whose output has to be this, white space at the ends apart."""
        text = self.run(script)
        if text.strip() != expected.strip():
            raise Wrong(f"the output of: {script}\n{text}\nand not:\n{expected}")

    def until(self, script: str, what: str) -> None:
        """Wait until the script ends with 0."""
        self.run(f"n=0; until {script}; do n=$((n+1)); [ $n -lt {SETTLE_SECONDS * 2} ] || exit 1; sleep .5; done"
                 f" || {{ echo 'in vain: {what}'; exit 1; }}")

    def write(self, path: str, text: str, mode: str = "644") -> None:
        """Write a file in the guest."""
        self.run(f"mkdir -p $(dirname {path}) && cat >{path} <<'END-OF-FILE'\n{text}\nEND-OF-FILE\n"
                 f"chmod {mode} {path}")

    def reboot(self) -> None:
        """Reboot; nothing may have failed afterwards."""
        state = self.machine.reboot()
        if state != "running":
            raise Wrong(f"after the reboot the system is {state}\n{self.run('systemctl --no-pager --failed', None)}")

    def use_repository(self) -> None:
        """Let apt know of /job/repo and of nothing else."""
        self.run("rm -f /etc/apt/sources.list.d/*; echo 'deb [trusted=yes] file:/job/repo ./' >/etc/apt/sources.list; "
                 "apt-get -q update")

    def apt(self, *words: str) -> str:
        """apt-get, with nobody there to ask; a configuration file that was edited stays as it is."""
        return self.run(f"DEBIAN_FRONTEND=noninteractive apt-get -q -y -o Dpkg::Options::=--force-confold "
                        f"{' '.join(words)}")

    def no_complaints(self) -> None:
        """See that the daemon has not warned of anything since the boot, empty patterns of [include] apart."""
        self.says("journalctl -q -b -u sdsuper -t sdsuperd -p warning --no-pager -o cat | "
                  "grep -v 'no file matches' || :", "")

    def purged(self) -> None:
        """See that no file has our name any more."""
        self.lacks("find / -xdev -path /proc -prune -o -path /job -prune -o "
                   "\\( -iname '*sdsuper*' -o -iname '*supervisord*' \\) -print", "sdsuper", "supervisord")


#: For `breaks`: the packages do not ask for a library of the HTTP face.
WITHOUT_UVICORN = "sed -i '/python3-uvicorn/d' debian/control; sed -i 's/\"uvicorn\", //' pyproject.toml"


def mode(bits: int, *files: str) -> str:
    """For `breaks`: these files (below debian/) get another mode; `bits` are read as they are written, 644."""
    return (f"printf 'execute_after_dh_fixperms:\\n\\tchmod {bits} {' '.join(f'debian/{name}' for name in files)}\\n'"
            " >>debian/rules")


Check = Callable[[Guest], object]
#: Versions of the packages, and the shell command that changes the source tree for each.
Versions = dict[str, str]
#: Fills a folder with a repository for a machine: (machine, versions, lint?, folder).
Prepare = Callable[[str, Versions, bool, Path], object]


def debian(name: str, versions: Versions, lint: bool, out: Path) -> None:
    """An apt repository with these versions of the packages (empty: the changelog's)."""
    suite = lab.KINDS[name].suite
    debs = [packages.built(suite, version, change, lint) for version, change in versions.items()]
    packages.repository(suite, debs, lab.base(name) / "status", out)


def main(check: Check, breaks: dict[str, str], versions: Versions | None = None, *,
         machines: tuple[str, ...] = packages.SUITES, prepare: Prepare = debian) -> int:
    """Run one check on the machines that the command line names, or on all it is for; the exit status. `breaks` are
    shell commands that spoil the source tree, by name; `versions` are those that the repository has (by default the
    tree's own). Machines that have no apt need another `prepare`.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))     # so that the machine and its files go away
    title = Path(sys.argv[0]).name
    parser = argparse.ArgumentParser(description=f"One of sdsuper's checks on virtual machines: {check.__doc__ or ''}")
    parser.add_argument("--sit", action="store_true", help="leave the machine up and take commands for it")
    parser.add_argument("--broken", choices=breaks, help="with packages that are spoilt; the check has to fail")
    parser.add_argument("machine", nargs="*", default=machines, help=f"of {', '.join(machines)}")
    parser.add_argument("--machines", action="store_true", help="say which machines this check is for")
    options = parser.parse_args()
    if options.machines:
        print(*machines)
        return 0
    if unknown := [name for name in options.machine if name not in machines]:
        parser.error(f"no such machine: {', '.join(unknown)} (expected: {', '.join(machines)})")
    missing = [tool for tool in NEEDED if shutil.which(tool) is None]
    if os.geteuid() != 0 or missing:
        print(f"{title}: skipped, {'needs ' + ', '.join(missing) if missing else 'only root can make images'}")
        return SKIPPED
    spoil = breaks.get(options.broken or "", "true")
    wanted = {version: f"{change}\n{spoil}" for version, change in (versions or {"": "true"}).items()}
    well = True
    for name in options.machine:
        begun = time.monotonic()
        print(f"{title} on {name}{f', broken: {options.broken}' if options.broken else ''}", flush=True)
        wrong = _one(check, name, functools.partial(prepare, name, wanted, not options.broken), options.sit)
        print(f"{title} on {name}: {'FAILED' if wrong else 'ok'}, {time.monotonic() - begun:.0f} s\n{wrong}".rstrip(),
              flush=True)
        if bool(wrong) != bool(options.broken):
            well = False
    return 0 if well else 1


_last = [0.0]


def step(text: str) -> None:
    """Say what is done now, and how long what was before took."""
    now = time.monotonic()
    print(f"{f'{now - _last[0]:5.0f} s' if _last[0] else '       '}  {text}", flush=True)
    _last[0] = now


def _one(check: Check, name: str, prepare: Callable[[Path], object], sit: bool) -> str:
    """Run the check on one machine; what is wrong, or nothing."""
    _last[0] = 0.0
    try:
        with cache.scratch() as job:
            step("the packages of this tree, the machine")
            prepare(job / "repo")
            with lab.machine(name) as machine:
                machine.give(job)
                guest = Guest(machine, name)
                try:
                    check(guest)
                except (Wrong, TimeoutError):
                    print(guest.run(LOOK, code=None), flush=True)
                    raise
                finally:
                    if sit:
                        lab.sit(machine)
    except (Wrong, OSError, RuntimeError) as error:         # TimeoutError is an OSError
        return str(error) or repr(error)
    step("done")
    return ""
