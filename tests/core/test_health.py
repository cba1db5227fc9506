"""When checks are made and what follows: no action sooner than the options allow, none twice, chance within bounds."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdsuper.config.health import Check
from sdsuper.core.health import JITTER, PAUSE, Finding, Progress, first, judged, skipped, summary, untold

CHECK = Check("x", initial_delay=60, period=10, timeout=5, successes=2, failures=3)

checks = st.builds(Check, st.just("x"), st.integers(0, 100), st.floats(0.1, 50), st.floats(0.1, 20), st.integers(1, 4),
                   st.integers(0, 4))
chances = st.floats(0, 1)
#: for each check whether it is good (None: it could not be made), and what part of its time it took
results = st.lists(st.tuples(st.sampled_from([True, False, False, None]), chances, chances), max_size=60)


def run(check: Check, results: list, acts: bool) -> list[tuple[float, bool, bool]]:
    """What comes of results: (when the check began, whether it was good, whether something followed)."""
    progress, told = first(check, 0.0, 0.5), []
    for well, took, chance in results:
        began = progress.due
        now = began + took * check.timeout
        if well is None:
            progress, reached = untold(check, progress, now), False
        else:
            progress, reached = judged(check, progress, well, began, now, chance, acts)
        assert progress.due >= now, "a check before the last one is over"
        told.append((began, well, reached))
    return told


@pytest.mark.parametrize(("results", "reached"), [
    ("g", [False]), ("gg", [False, True]), ("ggg", [False, True, False]), ("gbgg", [False, False, False, True]),
    ("bb", [False, False]), ("bbb", [False, False, True]), ("bbgbb", [False] * 5),
    ("bbbbbb", [False, False, True, False, False, True]), ("bbbgg", [False, False, True, False, True]),
])
def test_thresholds_count_results_in_a_row(results: str, reached: list[bool]) -> None:
    told = run(CHECK, [(letter == "g", 0.1, 0) for letter in results], True)
    assert [followed for _began, _well, followed in told] == reached


def test_where_nothing_is_done_about_it_a_bad_verdict_is_told_once() -> None:
    told = run(CHECK, [(False, 0, 0)] * 9 + [(True, 0, 0)] * 2 + [(False, 0, 0)] * 3, False)
    assert [n for n, (_began, _well, reached) in enumerate(told) if reached] == [2, 10, 13]


def test_after_an_action_the_initial_delay_holds_again() -> None:
    began = [began for began, _well, _reached in run(CHECK, [(False, 0, 0)] * 5, True)]
    assert [round(later - before, 6) for before, later in pairwise(began)] == [10, 10, 60, 10]


def test_a_check_that_is_late_is_followed_by_the_next_at_once() -> None:
    progress, _reached = judged(CHECK, Progress(0), False, 0.0, 25.0, 0, True)
    assert progress.due == 25.0


def test_what_could_not_be_found_out_counts_for_nothing() -> None:
    before = Progress(0, 0, 2, None)
    assert untold(CHECK, before, 7.0) == before._replace(due=7.0 + PAUSE)
    assert untold(CHECK._replace(period=0.5), before, 7.0).due == 7.5
    assert skipped(CHECK, before, 7.0, 0) == before._replace(due=17.0)


def test_no_number_of_failures_means_anything_without_a_threshold() -> None:
    assert not any(reached for *_rest, reached in run(CHECK._replace(failures=0), [(False, 0, 0)] * 50, True))


@given(checks, results, st.booleans())
def test_no_action_sooner_than_allowed_and_none_twice(check: Check, results: list, acts: bool) -> None:
    told = run(check, results, acts)
    bad = [n for n, (_began, well, reached) in enumerate(told) if reached and well is False]
    assert not bad or check.failures
    for before, at in zip([-1, *bad], bad, strict=False):
        counted = [(began, well) for began, well, _reached in told[before + 1:at + 1] if well is not None]
        assert [well for _began, well in counted[-check.failures:]] == [False] * check.failures
        least = check.initial_delay * (acts or before < 0) + (check.failures - 1) * check.period
        assert told[at][0] + 1e-6 >= (told[before][0] if before >= 0 else 0.0) + least
        if not acts and before >= 0:
            assert any(reached and well for _began, well, reached in told[before + 1:at]), "one episode, two verdicts"
    for n, (_began, well, reached) in enumerate(told):
        if reached and well:
            counted = [well for _began, well, _reached in told[:n + 1] if well is not None]
            assert counted[-check.successes:] == [True] * check.successes


@given(checks, results, chances)
def test_chance_makes_it_a_tenth_later_at_the_most(check: Check, results: list, chance: float) -> None:
    assert check.initial_delay <= first(check, 0.0, chance).due <= check.initial_delay + JITTER * check.period
    told = run(check, results, False)
    for (before, well, _), (after, *_rest) in pairwise(told):
        if well is not None:
            assert check.period - 1e-6 <= after - before
            assert after - before <= max(check.period, check.timeout) + JITTER * check.period + 1e-6


@pytest.mark.parametrize(("healthy", "ready", "together"), [
    ([], [], (None, None, "")),
    ([True], [], (True, None, "")), ([True, False], [True], (False, True, "ill")), ([], [False], (None, False, "ill")),
    ([True, True], [False], (True, False, "ill")),
])
def test_all_who_look_must_be_content(healthy: list[bool], ready: list[bool], together: tuple) -> None:
    assert summary([Finding(well, "" if well else "ill") for well in healthy],
                   [Finding(well, "" if well else "ill") for well in ready]) == together
