"""What every check is made of: a machine with the packages, steps that are told, and what is shown when one fails.

    vm-tests/check-NAME [--sit] [--broken KIND] [MACHINE ...]

Promises: exit status 0 when all steps were as they should be, 1 when one was not (the guest's journal is printed), 77
with a reason when it cannot be done here. Must not: know any single check.
"""

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cache
import lab
import packages

NEEDED = ("qemu-system-x86_64", "qemu-img", "mmdebstrap", "cpio", "mke2fs", "dpkg-scanpackages")
SETTLE_SECONDS = 90


class Wrong(AssertionError):
    """A step was not as it should be."""


class Guest:
    """A machine with our repository in it, and words for what checks do."""

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

    def until(self, script: str, what: str) -> None:
        """Wait until the script ends with 0."""
        self.run(f"n=0; until {script}; do n=$((n+1)); [ $n -lt {SETTLE_SECONDS * 2} ] || exit 1; sleep .5; done"
                 f" || {{ echo 'in vain: {what}'; exit 1; }}")

    def write(self, path: str, text: str, mode: str = "644") -> None:
        """Write a file in the guest."""
        self.run(f"mkdir -p $(dirname {path}) && cat >{path} <<'END-OF-FILE'\n{text}\nEND-OF-FILE\nchmod {mode} {path}")

    def use_repository(self) -> None:
        """Let apt know of /job/repo and of nothing else."""
        self.run("rm -f /etc/apt/sources.list.d/*; echo 'deb [trusted=yes] file:/job/repo ./' >/etc/apt/sources.list; "
                 "apt-get -q update")

    def install(self, *names: str) -> str:
        """apt-get install."""
        return self.run(f"DEBIAN_FRONTEND=noninteractive apt-get -q -y install {' '.join(names)}")

    def journal(self) -> str:
        """What there is to see after a failure."""
        return self.run("journalctl -b --no-pager -o short-precise | grep -v ' qemu-ga\\[' | tail -n 200; systemctl --no-pager status sdsuper; "
                        "ls -la /run/sdsuper /var/log/sdsuper /etc/supervisord.d", code=None)


def main(check: Callable[[Guest], object], title: str, breaks: dict[str, str] | None = None,
         versions: tuple[str, ...] = ("",)) -> int:
    """Run one check on the machines that the command line names, or on all. `breaks` are shell commands that spoil the
    source tree, by name; `versions` are the packages' versions that the repository has (empty: the changelog's).
    """
    words = sys.argv[1:]
    sit = "--sit" in words
    broken = words[words.index("--broken") + 1] if "--broken" in words else ""
    machines = [word for word in words if not word.startswith("-") and word != broken] or list(lab.KINDS)
    missing = [tool for tool in NEEDED if shutil.which(tool) is None]
    if os.geteuid() != 0 or missing:
        print(f"{title}: skipped, {'needs ' + ', '.join(missing) if missing else 'only root can make images'}")
        return 77
    if broken and broken not in (breaks or {}):
        print(f"--broken takes one of: {', '.join(breaks or {}) or 'nothing here'}")
        return 2
    status = 0
    for name in machines:
        begun = time.time()
        print(f"{title} on {name}", flush=True)
        try:
            _one(check, name, (breaks or {}).get(broken, "true"), bool(broken), sit, versions)
        except (Wrong, TimeoutError, RuntimeError) as error:
            print(f"{title} on {name}: FAILED after {time.time() - begun:.0f} s\n{error}", flush=True)
            status = 1
        else:
            print(f"{title} on {name}: ok, {time.time() - begun:.0f} s", flush=True)
    return status


def step(text: str) -> None:
    """Say what is done now."""
    print(f"  {text}", flush=True)


def _one(check: Callable[[Guest], object], name: str, spoil: str, broken: bool, sit: bool, versions: tuple[str, ...],
         ) -> None:
    suite = lab.KINDS[name].suite
    with tempfile.TemporaryDirectory(prefix="job-", dir=cache.CACHE) as temp:
        debs = []
        for version in versions:
            step(f"the packages{f' {version}' if version else ''} of this tree for {suite}")
            debs.append(packages.built(suite, version, spoil, lint=not broken))
        packages.repository(suite, debs, lab.base(name) / "status", Path(temp) / "repo")
        with lab.machine(name) as machine:
            machine.give(Path(temp))
            guest = Guest(machine, name)
            try:
                check(guest)
            except (Wrong, TimeoutError):
                print(guest.journal(), flush=True)
                if sit:
                    lab.sit(machine)
                raise
            if sit:
                lab.sit(machine)
