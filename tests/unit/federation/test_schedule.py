"""When a peer is tried again: every answer has its consequence, and time only ever moves forward."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from federation.schedule import (
    ARCHIVED_AFTER,
    DAY,
    FIRST_WAIT,
    HOUR,
    LONGEST_LINKED_WAIT,
    LONGEST_WAIT,
    MINUTE,
    SECOND,
    SUSPENDED_AFTER,
    WAKE_AT_MOST_EVERY,
    Decision,
    Fate,
    Outcome,
    State,
    answered,
    next_try,
    read_retry_after,
    wake,
)

NOW = 1_790_000_000_000
SILENCE = Outcome(failure="did not take the connection in time")
EVERYTHING = [SILENCE, *(Outcome(status) for status in range(100, 600))]


def of(status: int, failures: int = 0, batch: int = 1, inbox_losses: int = 0) -> Decision:
    return next_try(failures, NOW, Outcome(status, batch=batch, inbox_losses=inbox_losses), 0.5)


def test_nothing_is_lost_when_a_misconfigured_peer_refuses_us_and_somebody_is_told() -> None:
    for status in (401, 403):
        decision = of(status)
        assert (decision.state, decision.fate, decision.alert) == (State.PAUSED, Fate.RETRY, True)
        assert decision.due_at is not None


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirected_delivery_is_tried_again_at_the_same_address(status: int) -> None:
    decision = of(status)
    assert (decision.state, decision.fate) == (State.BACKOFF, Fate.RETRY)
    assert "redirected" in decision.reason


@pytest.mark.parametrize("status", [400, 422])
def test_a_poisonous_delivery_is_put_aside_alone_and_the_next_goes_on(status: int) -> None:
    assert of(status, failures=3) == Decision(State.OK, NOW, of(status).reason, Fate.DEAD_LETTER, 0, None, alert=False)


def test_a_lost_inbox_is_looked_up_again_and_the_follower_let_go_the_third_time_in_a_week() -> None:
    for status in (404, 410):
        fates = [of(status, inbox_losses=before).fate for before in range(4)]
        assert fates == [Fate.REFETCH, Fate.REFETCH, Fate.FORGET, Fate.FORGET]
        assert of(status).state is State.BACKOFF


def test_a_batch_that_is_too_big_is_halved_until_one_is_too_big_alone() -> None:
    assert [of(413, batch=batch).fate for batch in (50, 2, 1)] == [Fate.SPLIT, Fate.SPLIT, Fate.DEAD_LETTER]


def test_a_peer_that_misses_earlier_events_gets_them_and_never_in_a_tight_circle() -> None:
    assert of(409).fate is Fate.REWIND
    assert (of(409, failures=9).due_at or 0) > NOW + MINUTE


@pytest.mark.parametrize("status", [200, 201, 202, 204])
def test_an_accepted_delivery_clears_what_was_before(status: int) -> None:
    before = next_try(8, NOW, SILENCE, 0.5, failing_since=NOW - DAY)
    after = next_try(before.failures, NOW, Outcome(status), 0.5, failing_since=before.failing_since)
    assert after == Decision(State.OK, NOW, "accepted", Fate.ACKED, 0, None)


@pytest.mark.parametrize("status", [402, 405, 408, 415, 418, 425, 451, 500, 502, 504, 599, 100])
def test_an_answer_without_a_rule_of_its_own_is_tried_again_and_loses_nothing(status: int) -> None:
    decision = of(status)
    assert (decision.state, decision.fate, decision.reason) == (State.BACKOFF, Fate.RETRY, f"answered {status}")


def test_the_wait_doubles_from_two_seconds_to_an_hour() -> None:
    ceilings = [(next_try(n, NOW, SILENCE, 1.0).due_at or 0) - NOW for n in range(14)]
    assert ceilings[:4] == [2 * SECOND, 4 * SECOND, 8 * SECOND, 16 * SECOND]
    assert ceilings[0] == FIRST_WAIT and ceilings[-1] == LONGEST_WAIT == HOUR
    assert (next_try(10**9, NOW, SILENCE, 1.0).due_at or 0) - NOW == HOUR


def test_the_wait_is_spread_over_all_of_it_so_that_peers_do_not_come_back_together() -> None:
    waits = [(next_try(5, NOW, SILENCE, share).due_at or 0) - NOW for share in (0.0, 0.25, 0.5, 1.0)]
    assert waits == [0, 16 * SECOND, 32 * SECOND, 64 * SECOND]


@pytest.mark.parametrize("status", [429, 503])
def test_what_a_peer_asks_us_to_wait_is_waited_up_to_a_day(status: int) -> None:
    def due(text: str, jitter: float = 0.0) -> int:
        outcome = answered(status, {"retry-after": text}, NOW)
        return (next_try(0, NOW, outcome, jitter).due_at or 0) - NOW

    assert due("120") == 120 * SECOND
    assert due("999999999999") == DAY
    assert due("120", jitter=1.0) == 132 * SECOND
    assert due("0") == 0
    assert due("soon", jitter=1.0) == FIRST_WAIT


def test_only_429_and_503_may_make_us_wait() -> None:
    assert answered(500, {"retry-after": "86400"}, NOW).retry_after == 0


@pytest.mark.parametrize(
    ("text", "wait"),
    [
        ("Mon, 21 Sep 2026 14:13:30 GMT", 10 * SECOND),
        ("Mon, 21 Sep 2026 14:13:30 -0000", 10 * SECOND),
        ("Mon, 21 Sep 2020 14:13:30 GMT", 0),
        ("Mon, 21 Sep 2126 14:13:30 GMT", DAY),
        ("Mon, 99 Sep 2026 14:13:30 GMT", 0),
        ("-5", 0),
        ("١٢", 0),
        ("", 0),
    ],
)
def test_retry_after_is_read_as_seconds_or_as_a_date(text: str, wait: int) -> None:
    assert read_retry_after(text, NOW) == wait


@given(st.text(max_size=60))
def test_retry_after_is_never_more_than_a_day_nor_less_than_nothing(text: str) -> None:
    assert 0 <= read_retry_after(text, NOW) <= DAY


def test_a_plain_peer_rests_after_a_week_and_sleeps_after_a_month() -> None:
    def after(gone: int) -> Decision:
        return next_try(50, NOW, SILENCE, 0.5, failing_since=NOW - gone)

    assert after(SUSPENDED_AFTER - 1).state is State.BACKOFF
    assert after(SUSPENDED_AFTER).state is State.SUSPENDED
    assert (after(SUSPENDED_AFTER).due_at or 0) >= NOW + DAY
    assert after(ARCHIVED_AFTER - 1).state is State.SUSPENDED
    assert (after(ARCHIVED_AFTER).state, after(ARCHIVED_AFTER).due_at) == (State.ARCHIVED, None)


def test_D10_a_dead_host_is_asked_once_a_day_at_most_and_after_a_month_not_at_all() -> None:
    """Whatever the chance: so ten thousand of them are ten thousand probes a day, and later none."""
    draw = random.Random(10)
    for _ in range(200):
        now, failures, tries = NOW + SUSPENDED_AFTER, 50, []
        while True:
            decision = next_try(failures, now, SILENCE, draw.random(), failing_since=NOW)
            tries.append(now)
            failures = decision.failures
            if decision.due_at is None:
                break
            now = decision.due_at
        assert min(later - earlier for earlier, later in itertools.pairwise(tries)) >= DAY
        assert tries[-1] <= NOW + ARCHIVED_AFTER + 2 * DAY and decision.state is State.ARCHIVED


def test_a_peer_that_refuses_us_for_a_month_sleeps_like_any_other() -> None:
    def after(gone: int) -> State:
        return next_try(50, NOW, Outcome(403), 0.5, failing_since=NOW - gone).state

    assert [after(0), after(SUSPENDED_AFTER), after(ARCHIVED_AFTER)] == [
        State.PAUSED,
        State.SUSPENDED,
        State.ARCHIVED,
    ]


@given(st.integers(0, 10**6), st.integers(0, 10 * 365 * DAY), st.floats(0, 1), st.sampled_from(EVERYTHING))
def test_an_active_link_never_expires(failures: int, gone: int, jitter: float, outcome: Outcome) -> None:
    decision = next_try(failures, NOW, outcome, jitter, failing_since=NOW - gone, linked=True)
    assert decision.state in (State.OK, State.BACKOFF, State.PAUSED)
    assert decision.due_at is not None and NOW <= decision.due_at <= NOW + LONGEST_LINKED_WAIT


@given(st.lists(st.tuples(st.sampled_from(EVERYTHING), st.floats(0, 1)), max_size=60), st.booleans())
def test_a_history_moves_forward_and_keeps_its_books(history: list[tuple[Outcome, float]], linked: bool) -> None:
    now, failures, since = NOW, 0, None
    for outcome, jitter in history:
        decision = next_try(failures, now, outcome, jitter, failing_since=since, linked=linked)
        assert (decision.state is State.OK) == (decision.failures == 0) == (decision.failing_since is None)
        assert decision.failures in (0, failures + 1)
        assert decision.reason
        if decision.due_at is None:
            assert decision.state is State.ARCHIVED and not linked
            return
        assert decision.due_at >= now
        now, failures, since = decision.due_at, decision.failures, decision.failing_since


def test_a_word_from_a_resting_peer_brings_one_probe_forward() -> None:
    """mastodon#31118: it proves that they reach us, not that we reach them, so nothing is reset."""
    for state in (State.BACKOFF, State.PAUSED, State.SUSPENDED):
        assert wake(state, NOW + DAY, NOW, last_try_at=NOW - HOUR) == NOW
    assert wake(State.ARCHIVED, None, NOW, last_try_at=NOW - 90 * DAY) == NOW
    assert wake(State.OK, NOW + 5, NOW, last_try_at=NOW - HOUR) == NOW + 5


def test_a_peer_that_speaks_all_day_while_it_cannot_be_reached_is_not_probed_at_each_word() -> None:
    failures, since, due, last, probes = 12, NOW - DAY, NOW + HOUR, NOW - HOUR, 0
    for now in range(NOW, NOW + HOUR, SECOND):
        due = wake(State.BACKOFF, due, now, last) or 0
        if due <= now:
            decision = next_try(failures, now, SILENCE, 0.9, failing_since=since)
            failures, due, last, probes = decision.failures, decision.due_at or 0, now, probes + 1
    assert probes <= HOUR // WAKE_AT_MOST_EVERY
    assert failures == 12 + probes


def test_a_word_does_not_cut_short_the_rest_that_a_peer_asked_for() -> None:
    asked = next_try(3, NOW, Outcome(503, HOUR), 0.5)
    assert (asked.rest_until, next_try(3, NOW, SILENCE, 0.5).rest_until) == (NOW + HOUR, 0)
    due = asked.due_at
    for now in (NOW + SECOND, NOW + 40 * MINUTE):
        assert wake(State.BACKOFF, due, now, last_try_at=NOW - DAY, rest_until=asked.rest_until) == due
    later = NOW + HOUR + SECOND
    assert wake(State.BACKOFF, later + DAY, later, last_try_at=NOW, rest_until=asked.rest_until) == later


def test_a_word_never_puts_a_probe_off() -> None:
    assert wake(State.BACKOFF, NOW + SECOND, NOW, last_try_at=NOW - SECOND) == NOW + SECOND
