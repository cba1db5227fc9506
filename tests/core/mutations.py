"""Breaks the core in a dozen places, one at a time, and demands that its tests notice each.

    .venv/bin/python -m tests.core.mutations

Each mutation is a text and what it becomes; a text that is no longer there is an error, so the list cannot rot.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
#: Modules of the core that nothing else in it uses: their own tests are enough, and take no part in the others.
ALONE = ("schedule.py", "timetable.py")

MUTATIONS = [
    ("machine.py", "    if run != process.run:\n", "    if False:\n", "old news is taken for new"),
    ("starting.py", "tries = 0 if rules.good(", "tries = process.tries if rules.good(",
     "tries are not forgotten in RUNNING"),
    ("policy.py", "or tries <= policy.startretries", "or tries < policy.startretries", "one retry too few"),
    ("policy.py", "if policy.startretries == UNLIMITED or", "if", "unlimited retries end at once"),
    ("ending.py", "process._replace(rung=1, deadline=now + policy.stopwaitsecs)", "process._replace(rung=1)",
     "a stop that waits for ever"),
    ("starting.py", "state=state, goal=Goal.DOWN, deadline=None, tries=0)", "state=state, goal=Goal.DOWN, tries=0)",
     "FATAL with a deadline"),
    ("policy.py", "seconds = float(tries)", "seconds = 0.0", "no back-off"),
    ("policy.py", "* how.factor ** (tries - 1)", "* how.factor ** tries", "the first pause is multiplied, too"),
    ("policy.py", "seconds = min(seconds, how.longest)", "pass", "back-off without a longest pause"),
    ("policy.py", "(1 + how.jitter", "(1 - how.jitter", "jitter makes pauses shorter"),
    ("policy.py", "return 0 <= policy.restart.reset <= seconds", "return True", "every run is a good one"),
    ("policy.py", "len(restarts) < how.limit", "len(restarts) <= how.limit", "one restart too many"),
    ("policy.py", "free = restarts[-how.limit] + how.window", "free = restarts[-1] + how.window",
     "the time of a limit counts from the last restart"),
    ("policy.py", "return (*process.restarts, now)[-limit:]", "return (now,)", "earlier restarts are forgotten"),
    ("policy.py", "    if not process.lacks:\n", "    if True:\n", "what the machine lacks is counted as a restart"),
    ("policy.py", "(*process.restarts[:-1], now) if", "process.restarts if", "a restart has the time of its first try"),
    ("policy.py", "Verdict.RETRY if policy.restart.limit else", "Verdict.RETRY if True else",
     "what the machine lacks is tried while the daemon ends"),
    ("starting.py", "if process.lacking and rules.after_lack", "if False and rules.after_lack",
     "what the machine lacks is the program's fault"),
    ("starting.py", "return _wait(process, allowed)", "return _wait(process, now)", "the pause is not kept"),
    ("starting.py", "lacks=0, restarts=()), policy, now)", "lacks=0), policy, now)",
     "a start by somebody does not begin to count anew"),
    ("starting.py", "process._replace(tries=process.tries + 1, lacks=0)", "process._replace(tries=process.tries + 1)",
     "what the machine lacked is never forgotten"),
    ("policy.py", "is AutoRestart.UNEXPECTED and not expected", "is AutoRestart.UNEXPECTED and expected",
     "autorestart=unexpected upside down"),
    ("ending.py", "if not process.spawnerr and rules.good(", "if rules.good(",
     "a launch that fails is tried in a loop"),
    ("ending.py", "Kill(process.run, policy.killasgroup)]", "Kill(process.run, False)]", "killasgroup forgotten"),
    ("ending.py", "if input.populated and policy.killasgroup:", "if False:", "the rest of the tree forgotten"),
    ("starting.py", "deadline=now + timeout if timeout else None), [publish]", "deadline=None), [publish]",
     "depends_timeout is not kept"),
    ("starting.py", "    if process.phase is not Phase.CHILD or not process.pid:\n", "    if False:\n",
     "ready without a child"),
    ("starting.py", "lacks=process.lacks, restarts=process.restarts,", "lacks=process.lacks, restarts=(),",
     "restarts are forgotten with each start"),
    ("ending.py", "and not process.spawnerr and not awaited:", "and not process.spawnerr:",
     "who ends before it is ready was up"),
    ("ending.py", "[] if idle else after_run(", "after_run(",
     "a hook after what has only waited"),
    ("dependencies.py", "if not input.again or slot.key not in self._held:", "if True:",
     "a stop for good is undone by one for a while"),
    ("roster.py", "            self._following += self.dependencies.releases()\n", "",
     "a stop that waits is forgotten"),
    ("ending.py", "elif process.settled and rules.good(", "elif rules.good(",
     "a start that was no good is repeated at once"),
    ("ending.py", "goal=Goal.UP if input.again else Goal.DOWN", "goal=Goal.DOWN", "who is to come back stays down"),
    ("ending.py", "return (process if input.again else", "return (process if False else", "a loss ends a restart"),
    ("dependencies.py", "return need.condition is not Condition.COMPLETED and not need.optional", "return True",
     "a wish can be lost"),
    ("dependencies.py", "if key in self._held and need.condition is not", "if False and need.condition is not",
     "who comes back does so before what it needs has stopped"),
    ("dependencies.py", "            waits = waits or self._in_the_way(dependent)\n", "",
     "a stop does not wait for dependents"),
    ("dependencies.py", "return dependent.process.state is State.STOPPING or dependent.key in self._held",
     "return dependent.process.state is State.STOPPING", "a stop does not wait for one that waits itself"),
    ("roster.py", "self._following += first or self.dependencies.look(slot)", "self._following += first",
     "who can start at once waits for ever"),
    ("dependencies.py", "Standing.COMING if self._held[key].again else Standing.DOWN", "Standing.DOWN",
     "what comes back after its stop cannot be had"),
    ("roster.py", "elif type(input) in _ANSWERS and", "elif False and", "what is no longer so is believed"),
    ("roster.py", "if deadline is not None and (taken", "if False and (taken", "deadlines never told"),
    ("roster.py", "(taken or deadline != before.deadline)", "deadline != before.deadline",
     "a deadline for the moment of the last one is never told"),
    ("machine.py", "    if type(input) is Elapsed and", "    if False and", "a late deadline climbs the ladder"),
    ("roster.py", "for priority in sorted(classes)]", "for priority in sorted(classes, reverse=True)]",
     "shutdown in the wrong order"),
    ("health.py", "max(began + check.period, now + check.initial_delay) + wait", "due",
     "after an action the initial delay does not hold"),
    ("health.py", "wait, 0, 0, False), True", "wait, 0, bad, False), True",
     "after an action each failure is another one"),
    ("health.py", "(progress.good + 1, 0) if well", "(progress.good + 1, progress.bad) if well",
     "failures need not be in a row"),
    ("health.py", "(acts or progress.verdict is not False)", "True", "the same bad verdict is told again"),
    ("health.py", "due = max(began + check.period, now) + wait", "due = began + check.period - wait",
     "chance makes checks sooner"),
    ("health.py", "progress._replace(due=now + min(", "progress._replace(bad=progress.bad + 1, due=now + min(",
     "what could not be found out counts as bad"),
    ("starting.py", "running = running._replace(ready=False, trouble=UNASKED)", "pass",
     "who was never asked is ready"),
    ("ending.py", "    if not timeout or now < process.started + timeout:", "    if False:",
     "a reload gives a start no time"),
    ("dependencies.py", "return process.ready is not False and (", "return True and (",
     "nobody waits for who is not ready"),
    ("schedule.py", "_begin(schedule, after + 1, offset)", "_begin(schedule, after, offset)",
     "a time follows itself"),
    ("schedule.py", "any(found) if schedule.either else all(found)", "all(found)",
     "a day of the month and of the week are both needed"),
    ("schedule.py", "if ahead > before and shown < turn + ahead and not hourly(schedule):", "if False:",
     "a time that the clocks leave out is left out"),
    ("schedule.py", "    if before > ahead and not hourly(schedule):\n", "    if False:\n",
     "a time that the clocks show twice comes twice"),
    ("schedule.py", "at = turn + before - ahead  ", "at = turn  ",
     "a time that is shown twice is found once more from far away"),
    ("schedule.py", "    return len(schedule.hours) == HOURS\n", "    return False\n",
     "what is for every hour pauses when clocks are put back"),
    ("schedule.py", "YEARS = 9 ", "YEARS = 4 ", "no 29 February after 2096"),
    ("schedule.py", "day, second = _next_month(day), 0", "day = _next_month(day)",
     "a month begins in the middle of its first day"),
    ("timetable.py", "steps = (clock - self.planned) // every + 1 if", "steps = 1 if",
     "all times of @every that were slept through"),
    ("timetable.py", "else max(int(clock), self.told), self.offset)", "else int(clock), self.offset)",
     "a clock that is set back brings a time again"),
    ("timetable.py", "_BACK_HOURLY if hourly(self.schedule) else _BACK)", "_BACK)",
     "what is for every hour waits for a clock that is set back"),
    ("timetable.py", "again = ahead > (", "again = False and ahead > (",
     "a clock that was days ahead is believed for ever"),
    ("timetable.py", "int(late) if late > LATE else 0", "0", "no time was ever missed"),
    ("timetable.py", "max(0.0, min(LONGEST_SLEEP, *waits))", "max(0.0, min(waits))",
     "a clock that is set is not noticed"),
    ("timetable.py", "entry is None or entry.cron != cron:", "True:", "@every begins anew with each reload"),
    ("timetable.py", "        self._see(now, steady)\n        before", "        before",
     "a reload hides that the clock was set back"),
    ("timetable.py", "(entry.due > now and entry.moved())", "False", "another time zone is not noticed"),
    ("timetable.py", "(entry.due > now and entry.moved())", "entry.moved()",
     "another time zone swallows the time that has come"),
]


def survives(name: str, text: str, mutant: str) -> bool:
    """Whether the tests of the core pass although the core is broken."""
    with tempfile.TemporaryDirectory() as folder:
        ignore = shutil.ignore_patterns("__pycache__")
        for part in ("sdsuper", "tests/core", "tests/config"):      # the tests of the core read schedules
            shutil.copytree(ROOT / part, Path(folder, part), ignore=ignore)
        Path(folder, "tests/__init__.py").touch()
        source = Path(folder, "sdsuper/core", name)
        before = source.read_text()
        if before.count(text) != 1:
            raise SystemExit(f"{name} has {before.count(text)} times: {text}")
        source.write_text(before.replace(text, mutant))
        own = [f"tests/core/test_{each}" for each in ALONE]
        tests = ([f"tests/core/test_{name}"] if name in ALONE else
                 ["tests/core", *(f"--ignore={test}" for test in ("tests/core/test_mutations.py", *own))])
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-qx", "-p", "no:cacheprovider", *tests], cwd=folder,
            capture_output=True, text=True, timeout=900,        # a test that never ends notices nothing either
            # what a broken core covers is of no interest, and would take four times as long
            env={key: value for key, value in os.environ.items() if not key.startswith("COVERAGE_")})
        # a test that cannot be read notices nothing, and pytest's status is the same
        if done.returncode not in (0, 1) or "ERROR collecting" in done.stdout:
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
