"""Breaks the core in a dozen places, one at a time, and demands that its tests notice each.

    .venv/bin/python -m tests.core.mutations

Each mutation is a text and what it becomes; a text that is no longer there is an error, so the list cannot rot.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent

MUTATIONS = [
    ("machine.py", "    if run != process.run:\n", "    if False:\n", "old news is taken for new"),
    ("machine.py", "state=State.RUNNING, deadline=None, tries=0)", "state=State.RUNNING, deadline=None)",
     "tries are not forgotten in RUNNING"),
    ("policy.py", "if tries <= policy.startretries", "if tries < policy.startretries", "one retry too few"),
    ("machine.py", "goal=Goal.DOWN, rung=1, deadline=now + policy.stopwaitsecs)", "goal=Goal.DOWN, rung=1)",
     "a stop that waits for ever"),
    ("machine.py", "goal=Goal.DOWN, deadline=None, tries=0), [_enter(process, State.FATAL)]",
     "goal=Goal.DOWN, tries=0), [_enter(process, State.FATAL)]", "FATAL with a deadline"),
    ("policy.py", "return float(tries)", "return 0.0", "no back-off"),
    ("policy.py", "is AutoRestart.UNEXPECTED and not expected", "is AutoRestart.UNEXPECTED and expected",
     "autorestart=unexpected upside down"),
    ("machine.py", "if process.spawnerr else _begin(ended, input, policy, now)",
     "if False else _begin(ended, input, policy, now)", "a launch that fails is tried in a loop"),
    ("machine.py", "Kill(process.run, policy.killasgroup)]", "Kill(process.run, False)]", "killasgroup forgotten"),
    ("machine.py", "if input.populated and policy.killasgroup:", "if False:", "the rest of the tree forgotten"),
    ("roster.py", "if deadline is not None and deadline != before.deadline:", "if False:", "deadlines never told"),
    ("roster.py", "for priority in sorted(classes)]", "for priority in sorted(classes, reverse=True)]",
     "shutdown in the wrong order"),
]


def survives(name: str, text: str, mutant: str) -> bool:
    """Whether the tests of the core pass although the core is broken."""
    with tempfile.TemporaryDirectory() as folder:
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / "sdsuper", Path(folder, "sdsuper"), ignore=ignore)
        shutil.copytree(ROOT / "tests/core", Path(folder, "tests/core"), ignore=ignore)
        Path(folder, "tests/__init__.py").touch()
        source = Path(folder, "sdsuper/core", name)
        before = source.read_text()
        if before.count(text) != 1:
            raise SystemExit(f"{name} has {before.count(text)} times: {text}")
        source.write_text(before.replace(text, mutant))
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-qx", "-p", "no:cacheprovider", "tests/core",
             "--ignore=tests/core/test_mutations.py"], cwd=folder, capture_output=True, text=True)
        if done.returncode not in (0, 1):
            raise SystemExit(done.stdout + done.stderr)
        return done.returncode == 0


def main() -> int:
    """Print a line a mutation; the exit status is the number of those that were not noticed."""
    unnoticed = 0
    for name, text, mutant, meaning in MUTATIONS:
        alive = survives(name, text, mutant)
        unnoticed += alive
        print(f"{'NOT NOTICED' if alive else 'noticed'}: {meaning}", flush=True)
    return unnoticed


if __name__ == "__main__":
    sys.exit(main())
