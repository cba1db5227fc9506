"""Who waits for whom, who is pulled up, who is let go, and in which order: docs/lifecycle.md."""

from collections import deque

import pytest

from sdsuper.config.lifecycle import Condition, Depends, Lost, Need, Unmet
from sdsuper.config.model import AutoRestart, GroupConfig, GroupKind, ProcessConfig
from sdsuper.core.roster import Roster, StopOrder
from sdsuper.core.slot import Slot
from sdsuper.core.vocabulary import (
    Checked,
    Exit,
    Exited,
    Faulty,
    Input,
    Phase,
    Publish,
    Signal,
    Spawn,
    Spawned,
    Start,
    State,
    Stop,
)
from tests.core.story import policy

STOPPED, STARTING, RUNNING, BACKOFF = State.STOPPED, State.STARTING, State.RUNNING, State.BACKOFF
STOPPING, EXITED, FATAL = State.STOPPING, State.EXITED, State.FATAL


def needs(*texts: str, **options: object) -> Depends:
    """`db`, `db:completed`, `cache:ready?`"""
    found = []
    for text in texts:
        name, _, condition = text.rstrip("?").partition(":")
        found.append(Need(name, name, Condition(condition or "ready"), text.endswith("?")))
    return Depends(tuple(found), **options)  # type: ignore[arg-type]


class Site:
    """Programs with children that do as they are told. `log` has every change of state and `name!` for each signal."""

    def __init__(self, **programs: ProcessConfig) -> None:
        self.roster, self.now, self.log = Roster(), 0.0, list[str]()
        self.queue: deque[tuple[Slot, Input]] = deque()
        self.obedient = True
        for name, config in programs.items():
            self.roster.set_group(GroupConfig(name, GroupKind.PROGRAM, 999, (config._replace(name=name),)))

    def slot(self, name: str) -> Slot:
        slot = self.roster.get((name, name))
        assert slot is not None
        return slot

    def state(self, name: str) -> State:
        return self.slot(name).process.state

    def waits(self, name: str) -> bool:
        return self.slot(name).process.phase is Phase.WAITING

    def feed(self, name: str, *inputs: Input) -> None:
        self.queue += [(self.slot(name), input) for input in inputs]
        self.run()

    def run(self) -> None:
        steps = 0
        while self.queue:
            steps += 1
            assert steps < 10_000, "it goes round and round"
            slot, input = self.queue.popleft()
            for effect in self.roster.feed(slot, input, self.now):
                if isinstance(effect, Publish):
                    self.log.append(f"{slot.config.name} {effect.state.name}")
                elif isinstance(effect, Spawn):
                    self.queue.appendleft((slot, Spawned(effect.run, 7)))
                elif isinstance(effect, Signal):
                    self.log.append(f"{slot.config.name}!")
                    if self.obedient:
                        self.queue.append((slot, Exited(effect.run, Exit(0))))
            self.queue += self.roster.following()

    def wait(self, seconds: float) -> None:
        end, steps = self.now + seconds, 0
        while (deadline := self.roster.next_deadline()) is not None and deadline <= end:
            steps += 1
            assert steps < 10_000, "nothing follows from a deadline"
            self.now = max(self.now, deadline)
            self.queue += self.roster.due(self.now)
            self.run()
        self.now = end

    def exit(self, name: str, code: int = 0) -> None:
        self.feed(name, Exited(self.slot(name).process.run, Exit(code)))

    def told(self) -> list[str]:
        log, self.log = self.log, []
        return log


def site(lost: Lost = Lost.IGNORE, **options: object) -> Site:
    """db, and web that needs it; both up if asked for."""
    return Site(db=policy(**options), web=policy(depends=needs("db", lost=lost)))


def up(made: Site, *names: str) -> Site:
    for name in names:
        made.feed(name, Start())
    made.wait(10)
    made.told()
    return made


# ---- starting -----------------------------------------------------------------------------------------------------

def test_what_it_depends_on_is_started_and_waited_for() -> None:
    made = site()
    made.feed("web", Start())
    assert made.told() == ["web STARTING", "db STARTING"]
    made.wait(1)
    assert made.told() == ["db RUNNING", "web RUNNING"] or (made.state("web") is STARTING and not made.waits("web"))
    made.wait(1)
    assert made.state("web") is RUNNING


def test_a_chain_comes_up_link_by_link() -> None:
    made = Site(a=policy(), b=policy(depends=needs("a")), c=policy(depends=needs("b")), d=policy(depends=needs("c")))
    made.feed("d", Start())
    for up_by_now in range(1, 5):
        made.wait(1)
        assert [made.state(name) is RUNNING for name in "abcd"] == [True] * up_by_now + [False] * (4 - up_by_now)


@pytest.mark.parametrize(("condition", "go_on_at"), [("started", STARTING), ("ready", RUNNING), ("healthy", RUNNING)])
def test_conditions_of_one_that_is_up(condition: str, go_on_at: State) -> None:
    made = Site(db=policy(startsecs=5), web=policy(depends=needs(f"db:{condition}")))
    made.feed("web", Start())
    assert made.waits("web") is (go_on_at is RUNNING)
    made.wait(5)
    assert not made.waits("web")


def test_one_that_is_ill_is_not_healthy() -> None:
    made = up(Site(db=policy(), web=policy(depends=needs("db:healthy"))), "db")
    made.feed("db", Checked(1, False, "HTTP 503"))
    made.feed("web", Start())
    assert made.waits("web") and made.roster.dependencies.shown(Need("db", "db", Condition.HEALTHY, False)) == (
        "db is not healthy")
    made.feed("db", Checked(1, True, "HTTP 200"))
    assert not made.waits("web")


@pytest.mark.parametrize("condition", ["ready", "healthy"])
def test_who_is_not_ready_is_waited_for_where_that_is_wanted(condition: str) -> None:
    made = Site(db=policy(startsecs=0), web=policy(depends=needs(f"db:{condition}")),
                other=policy(depends=needs("db:started")))
    made.feed("db", Start())
    made.feed("db", Checked(1, None, "HTTP 503", False))
    made.feed("web", Start())
    made.feed("other", Start())
    assert made.waits("web") and not made.waits("other")
    made.feed("db", Checked(1, None, "", True))
    assert not made.waits("web")


def test_a_job_has_to_have_ended_well_and_is_not_run_twice() -> None:
    made = Site(job=policy(startsecs=0), web=policy(depends=needs("job:completed")))
    made.feed("web", Start())
    assert made.told() == ["web STARTING", "job STARTING", "job RUNNING"]
    made.exit("job", 0)
    assert not made.waits("web")
    made.wait(5)
    made.exit("web", 1)
    assert made.slot("job").process.run == 1


@pytest.mark.parametrize("unmet", Unmet)
def test_a_job_that_has_ended_badly(unmet: Unmet) -> None:
    made = Site(job=policy(startsecs=0, autorestart=AutoRestart.NEVER),
                web=policy(depends=needs("job:completed", unmet=unmet)))
    made.feed("web", Start())
    made.exit("job", 3)
    if unmet is Unmet.FAIL:
        assert made.state("web") is FATAL
        assert made.slot("web").process.spawnerr == "job has ended with exit status 3, which it depends on"
    else:
        assert made.waits("web")
        made.feed("job", Start())
        made.exit("job", 0)
        assert not made.waits("web")


def test_a_wish_is_waited_for_and_its_failure_is_none() -> None:
    made = Site(cache=policy(startretries=0), web=policy(depends=needs("cache?")))
    made.feed("web", Start())
    assert made.waits("web") and made.state("cache") is STARTING
    made.exit("cache", 1)
    assert made.state("cache") is FATAL and not made.waits("web")


@pytest.mark.parametrize("texts", [("cache?", "queue?"), ("cache", "queue")])
def test_the_second_that_is_pulled_up_is_waited_for_before_it_has_heard_of_it(texts: tuple[str, str]) -> None:
    """The first one is up, which lets its dependents look, before the second one is fed its start."""
    made = Site(cache=policy(startsecs=0), queue=policy(), web=policy(depends=needs(*texts, unmet=Unmet.FAIL)))
    made.feed("web", Start())
    assert made.state("cache") is RUNNING and made.state("queue") is STARTING and made.waits("web")
    made.wait(3)
    assert made.state("web") is RUNNING


def test_a_wish_that_is_nowhere_is_not_waited_for() -> None:
    made = Site(web=policy(depends=needs("cache?")))
    made.feed("web", Start())
    assert not made.waits("web")


def test_a_start_by_itself_pulls_nobody_up() -> None:
    made = up(site(), "web")
    made.feed("db", Stop())
    made.exit("web", 1)
    assert made.waits("web") and made.state("db") is STOPPED
    made.feed("db", Start())
    made.wait(3)
    assert made.state("web") is RUNNING


def test_a_need_that_a_new_configuration_takes_away() -> None:
    made = Site(db=policy(startretries=0), web=policy(depends=needs("db")))
    made.feed("web", Start())
    made.exit("db", 1)
    assert made.waits("web")
    made.roster.set_process("web", policy(name="web"))
    made.queue += made.roster.following()
    made.run()
    assert not made.waits("web")


def test_a_program_that_is_removed_cannot_be_had() -> None:
    made = Site(db=policy(), web=policy(depends=needs("db", unmet=Unmet.FAIL)))
    made.feed("db", Start())
    made.feed("web", Start())
    made.feed("db", Stop())
    made.roster.remove_group("db")
    made.queue += made.roster.following()
    made.run()
    assert made.state("web") is FATAL


# ---- when it goes down again --------------------------------------------------------------------------------------

def test_who_does_not_mind_goes_on() -> None:
    made = up(site(), "web")
    made.exit("db", 1)
    assert made.state("web") is RUNNING and made.told() == ["db EXITED", "db STARTING"]


def test_who_is_to_stop_stays_down() -> None:
    made = up(site(Lost.STOP), "web")
    made.exit("db", 1)
    made.wait(5)
    assert (made.state("db"), made.state("web")) == (RUNNING, STOPPED)


def test_who_is_to_restart_waits_until_it_is_back() -> None:
    made = up(site(Lost.RESTART), "web")
    made.exit("db", 1)
    assert made.waits("web")
    made.wait(5)
    assert made.state("web") is RUNNING and made.slot("web").process.run == 2


def test_a_loss_goes_through_the_whole_chain() -> None:
    made = up(Site(a=policy(), b=policy(depends=needs("a", lost=Lost.RESTART)),
                   c=policy(depends=needs("b", lost=Lost.RESTART))), "c")
    made.exit("a", 1)
    assert made.waits("b") and made.waits("c")
    made.wait(5)
    assert made.state("c") is RUNNING


def test_a_run_that_is_replaced_is_lost_as_well() -> None:
    made = up(site(Lost.RESTART), "web")
    made.feed("db", Faulty(1, "no answer"))
    made.wait(5)
    assert (made.slot("db").process.run, made.slot("web").process.run) == (2, 2)
    assert made.state("web") is RUNNING


def test_completed_cannot_be_lost() -> None:
    made = Site(job=policy(startsecs=0), web=policy(depends=needs("job:completed", lost=Lost.STOP)))
    made.feed("web", Start())
    made.exit("job")
    made.wait(5)
    made.feed("job", Start())
    assert made.state("web") is RUNNING


# ---- stopping -----------------------------------------------------------------------------------------------------

def test_those_that_go_along_go_first() -> None:
    made = up(site(Lost.STOP), "web")
    made.feed("db", Stop())
    assert made.told() == ["web STOPPING", "web!", "web STOPPED", "db STOPPING", "db!", "db STOPPED"]


def test_a_stop_waits_for_one_that_is_slow() -> None:
    made = up(site(Lost.STOP), "web")
    made.obedient = False
    made.feed("db", Stop())
    assert made.state("db") is RUNNING and made.roster.dependencies.held(("db", "db"))
    made.exit("web")
    assert made.told()[-2:] == ["db STOPPING", "db!"]


def test_a_start_meanwhile_comes_after_the_stop() -> None:
    made = up(site(Lost.STOP), "web")
    made.obedient = False
    made.feed("db", Stop())
    made.feed("db", Start())
    assert made.state("db") is RUNNING
    made.obedient = True
    made.exit("web")
    assert made.told()[-3:] == ["db!", "db STOPPED", "db STARTING"]
    assert made.state("web") is STOPPED


def test_one_that_pulls_up_what_is_about_to_stop_is_not_forgotten() -> None:
    made = up(Site(db=policy(startsecs=0), web=policy(depends=needs("db", lost=Lost.STOP)),
                   worker=policy(depends=needs("db"))), "web")
    made.obedient = False
    made.feed("db", Stop())
    made.feed("worker", Start())
    assert made.waits("worker")
    made.obedient = True
    made.exit("web")
    assert not made.waits("worker") and made.slot("db").process.run == 2


def test_one_that_comes_back_after_a_stop_that_waits_can_be_had() -> None:
    made = up(Site(db=policy(startsecs=0), web=policy(depends=needs("db", lost=Lost.STOP)),
                   worker=policy(depends=needs("db", "x", unmet=Unmet.FAIL)), x=policy(startsecs=0)), "web")
    made.obedient = False
    made.feed("db", Stop())
    made.feed("worker", Start())
    assert made.state("x") is RUNNING and made.waits("worker"), "a change elsewhere makes it look again"
    made.exit("web")
    made.exit("db")
    assert made.slot("db").process.run == 2 and made.state("worker") is STARTING and not made.waits("worker")


def test_what_was_said_holds_no_more_when_something_else_came_between() -> None:
    job = policy(startsecs=0, autorestart=AutoRestart.NEVER)
    made = Site(web=policy(depends=needs("job:completed")), job=job)
    made.feed("job", Start())
    made.exit("job")
    made.queue += [(made.slot("web"), Start()), (made.slot("job"), Start())]
    made.run()
    assert made.waits("web"), "the job runs once more"
    made.exit("job")
    assert not made.waits("web")
    made = up(site(Lost.RESTART), "db")
    made.queue += [(made.slot("web"), Start()), (made.slot("db"), Stop())]
    made.run()
    assert made.waits("web") and made.state("db") is STOPPED


def test_a_stop_for_good_is_not_undone_by_one_for_a_while() -> None:
    made = up(Site(x=policy(), db=policy(depends=needs("x", lost=Lost.RESTART)),
                   web=policy(depends=needs("db", lost=Lost.STOP))), "web")
    made.obedient = False
    made.feed("db", Stop())
    made.exit("x", 1)
    made.obedient = True
    made.exit("web")
    made.wait(10)
    assert made.state("db") is STOPPED


def test_a_stop_that_waits_for_who_needs_it_no_more_goes_on() -> None:
    made = up(site(Lost.STOP), "web")
    made.obedient = False
    made.feed("db", Stop())
    made.roster.set_process("web", policy(name="web"))
    made.queue += made.roster.following()
    made.run()
    assert made.state("db") is STOPPING


def test_one_that_comes_back_does_so_after_the_other_has_gone() -> None:
    made = up(site(Lost.RESTART), "web")
    made.feed("db", Stop())
    assert made.told() == ["web STOPPING", "web!", "web STOPPED", "web STARTING", "db STOPPING", "db!", "db STOPPED"]
    assert made.waits("web")


def test_one_that_ends_while_its_stop_waits_is_not_started_again() -> None:
    made = up(site(Lost.STOP), "web")
    made.obedient = False
    made.feed("db", Stop())
    made.exit("db", 1)
    made.exit("web")
    made.wait(5)
    made.obedient = True
    made.run()
    assert made.state("db") in (STOPPED, STOPPING, EXITED)


def test_all_of_them_stop_in_order_whatever_their_priority() -> None:
    made = up(Site(db=policy(), web=policy(depends=needs("db")), worker=policy(depends=needs("web"))), "worker")
    made.obedient = False
    made.queue += made.roster.stops(list(made.roster))
    made.run()
    assert made.told() == ["worker STOPPING", "worker!"]
    made.exit("worker")
    assert made.told() == ["worker STOPPED", "web STOPPING", "web!"]
    made.exit("web")
    assert made.told() == ["web STOPPED", "db STOPPING", "db!"]


def test_the_order_of_the_end_puts_needs_before_priorities() -> None:
    made = Roster()
    for name, priority, depends in (("db", 900, Depends()), ("web", 1, needs("db")), ("other", 5, Depends())):
        made.set_group(GroupConfig(name, GroupKind.PROGRAM, priority, (policy(name=name, depends=depends),)))
    for slot in made:
        slot.process = slot.process._replace(state=RUNNING)
    order = StopOrder(made, made)
    assert [slot.config.name for slot in order.next()] == ["other"]
    assert {slot.config.name for slot in order.later()} == {"web", "db"}
    assert [slot.config.name for slot in made.stop_order(made)][-1] == "db"


def test_two_configurations_in_part_make_no_circle() -> None:
    made = up(Site(a=policy(), b=policy(depends=needs("a", lost=Lost.RESTART)), c=policy(depends=needs("b"))), "c")
    made.roster.set_process("a", policy(name="a", depends=needs("b", lost=Lost.RESTART)))
    assert {slot.config.name for slot in made.roster.stop_order(made.roster)} == {"a", "b", "c"}
    for name in "ab":
        made.feed(name, Stop())
        assert made.state(name) is STOPPED
    for name in "ca":
        made.feed(name, Start())
    made.wait(5)
    assert {made.state(name) for name in "abc"} == {RUNNING}


def test_without_needs_nothing_is_looked_at() -> None:
    made = Site(a=policy(), b=policy())
    assert not made.roster.dependencies
    assert made.roster.following() == []
    assert [slot.config.name for slot, _stop in made.roster.stops(list(made.roster))] == ["b", "a"]
