"""The life of a process, drawn from the table of sdsuper/core/machine.py.

Each cell of TABLE is run with every representative record, input and policy, and what it publishes is what it does:
so the drawing cannot say anything that the code does not. `generate.py` puts the results into the pages.
"""

import re
from functools import cache
from itertools import pairwise, product

from sdsuper.config.lifecycle import Condition, Depends, Hooks, Need, Readiness, ReadyKind
from sdsuper.config.model import AutoRestart, LimitAction, ProcessConfig, Restart
from sdsuper.core.machine import IGNORED, TABLE
from sdsuper.core.vocabulary import (
    Blocked,
    Checked,
    Cleared,
    Elapsed,
    Emptied,
    Exit,
    Exited,
    Faulty,
    Goal,
    Hook,
    HookDone,
    Input,
    LaunchFailed,
    Moved,
    Phase,
    Process,
    Publish,
    Ready,
    SignalFailed,
    Spawned,
    SpawnFailed,
    Start,
    State,
    Stop,
    Stuck,
)

NOW = 100.0
RUN = 3
INPUTS = (
    Start(), Stop(), Stop(shutdown=True), Stop(again=True), Spawned(RUN, 7), SpawnFailed(RUN, "why"),
    LaunchFailed(RUN, "why"), SpawnFailed(RUN, "why", lack=True), LaunchFailed(RUN, "why", lack=True),
    *(Exited(RUN, end, populated) for end in (Exit(0), Exit(1), Exit(-1, 9)) for populated in (False, True)),
    Emptied(RUN), Elapsed(RUN), SignalFailed(RUN, "why"), Cleared(RUN), Blocked(RUN, "why"), Stuck(RUN, "why"),
    Ready(RUN, "how"),
    *(HookDone(RUN, hook, why) for hook in Hook for why in ("", "why")), Faulty(RUN, "why"), Moved(RUN, 8),
    *(Checked(RUN, healthy, "why") for healthy in (True, False, None)),
)
RECORDS = tuple(
    Process(goal=goal, run=RUN, pid=7, deadline=deadline, tries=tries, rung=rung, reaped=reaped, spawnerr=spawnerr,
            lacking=lacking, restarts=(NOW - 2,))
    for goal, deadline, tries, rung, reaped, (spawnerr, lacking) in product(
        Goal, (None, NOW - 1), (0, 5), (1, 2), (False, True), (("", False), ("why", False), ("why", True)))
)
RECORDS += tuple(
    Process(goal=goal, run=RUN, pid=7, deadline=NOW - 1, rung=1, phase=phase, fault=fault, settled=settled)
    for goal, phase, fault, settled in product(Goal, Phase, ("", "why"), (False, True)))
NOTHING = ProcessConfig._make([ProcessConfig._field_defaults.get(field) for field in ProcessConfig._fields])
POLICIES = tuple(
    NOTHING._replace(name="web", autorestart=autorestart, startsecs=startsecs, startretries=3, exitcodes=(0,),
                     stopsignals=signals, stopwaitsecs=10, stopasgroup=group, killasgroup=group, leftovers=leftovers,
                     restart=restart)
    for autorestart, startsecs, signals, (group, leftovers), restart in product(
        AutoRestart, (0, 1), ((15,), (2, 15)), ((False, False), (False, True), (True, True)),
        (Restart(), *(Restart(reset=reset, limit=1, window=60, action=action)
                      for reset, action in ((0, LimitAction.STOP), (0, LimitAction.WAIT), (-1, LimitAction.FATAL)))))
)
POLICIES += tuple(
    POLICIES[0]._replace(depends=depends, readiness=readiness, hooks=hooks)
    for depends, readiness, hooks in product(
        (Depends(), Depends((Need("db", "db", Condition.READY, False),), timeout=9)),
        (Readiness(), Readiness(ReadyKind.NOTIFY, timeout=9)), (Hooks(), Hooks("a", "b", "c", "d"))))

#: The states that one input leads through, the first one the state it came in.
Path = tuple[State, ...]


@cache
def paths() -> dict[tuple[State, type], tuple[list[Path], list[str]]]:
    """For each cell of TABLE what it can lead through, and the names of the effects that it can ask for."""
    found: dict[tuple[State, type], tuple[list[Path], list[str]]] = {}
    for (state, kind), cell in TABLE.items():
        ways: dict[Path, None] = {}
        effects: dict[str, None] = {}
        inputs = [one for one in INPUTS if isinstance(one, kind)]
        for record, one, policy in product(RECORDS, inputs, POLICIES):
            after, wanted = cell(record._replace(state=state), one, policy, NOW)
            published = [effect for effect in wanted if isinstance(effect, Publish)]
            way = (state, *(publish.state for publish in published))
            assert way[-1] is after.state and [publish.from_state for publish in published] == list(way[:-1])
            ways[way] = None
            effects.update((type(effect).__name__, None) for effect in wanted if not isinstance(effect, Publish))
        found[state, kind] = sorted(ways, key=lambda way: (len(way), way)), sorted(effects)
    return found


def mermaid() -> str:
    """The diagram: an arrow for each change of state, with the inputs that lead to it."""
    arrows: dict[tuple[State, State], dict[str, None]] = {}
    for (_state, kind), (ways, _effects) in paths().items():
        for way in ways:
            for number, arrow in enumerate(pairwise(way)):
                arrows.setdefault(arrow, {})[kind.__name__ if number == 0 else "at once"] = None
    lines = ["stateDiagram-v2", "    [*] --> STOPPED"]
    for (before, after), why in sorted(arrows.items()):
        lines.append(f"    {before.name} --> {after.name}: {', '.join(sorted(why, key='at once'.__eq__))}")
    return "```mermaid\n" + "\n".join(lines) + "\n```\n"


def cells() -> str:
    """The table of cells, and what the inputs mean."""
    lines = ["| in state | comes | leads to | asks for |", "|---|---|---|---|"]
    for (state, kind), (ways, effects) in paths().items():
        leads = [" → ".join(step.name for step in way[1:]) or f"{state.name} still" for way in ways]
        lines.append(f"| {state.name} | {kind.__name__} | {'; '.join(leads)} | {', '.join(effects) or 'nothing'} |")
    return "\n".join(lines) + "\n"


def inputs() -> str:
    """Each input and its meaning, from the vocabulary, with the states that ignore it."""
    lines = ["| input | meaning | changes nothing in |", "|---|---|---|"]
    for kind in Input.__args__:
        quiet = ", ".join(state.name for state in State if (state, kind) in IGNORED)
        meaning = re.sub(r"\s+", " ", kind.__doc__ or "")
        lines.append(f"| {kind.__name__} | {meaning} | {quiet} |")
    return "\n".join(lines) + "\n"
