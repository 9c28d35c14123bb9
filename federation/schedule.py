"""When to try a peer again, when to rest, when to stop: pure, with the time and the chance passed in.

The back-off belongs to the peer and not to each delivery, so a thousand waiting deliveries make one attempt,
not a thousand. A link that both sides agreed on never runs out: weeks of outage end in catching up. Figures and
states are those of the delivery design; what a delivery learns from an answer is in `_FATES`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from enum import StrEnum

SECOND = 1_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR

FIRST_WAIT = 2 * SECOND
LONGEST_WAIT = HOUR
LONGEST_LINKED_WAIT = 2 * MINUTE
"""Towards a partner one event every few minutes is no burden; when both sides rest, neither's word wakes the other."""
LONGEST_RETRY_AFTER = DAY
SUSPENDED_AFTER = 7 * DAY
ARCHIVED_AFTER = 30 * DAY
WAKE_AT_MOST_EVERY = MINUTE
INBOXES_LOST = 3
"""Attempts answered 404 or 410 after which a delivery is put aside; deliveries put aside within a week for that, after
which a plain follower there is let go."""


class State(StrEnum):
    """How a peer stands. Only OK is sent to freely; the others see one delivery at `due_at`, as a probe."""

    OK = "ok"
    BACKOFF = "backoff"
    PAUSED = "paused"
    """It refuses us (401, 403): a person should look; everything is kept, and it is asked again meanwhile."""
    SUSPENDED = "suspended"
    """Silent for a week: probed once a day."""
    ARCHIVED = "archived"
    """Silent for a month: only its own word wakes it."""


class Fate(StrEnum):
    """What becomes of the delivery (or batch) that was answered so."""

    ACKED = "acked"
    RETRY = "retry"
    DEAD_LETTER = "dead_letter"
    """It is the delivery's own fault: put aside where an administrator sees it, the next one goes on."""
    REFETCH = "refetch"
    """The inbox is not there: the actor is read once more (see `lost_inboxes`), then it is tried again."""
    FORGET = "forget"
    """The inbox stays lost: the delivery is put aside, and in the end the follower behind it is let go."""
    REWIND = "rewind"
    """The peer misses earlier ones: begin again with the one it wants."""
    SPLIT = "split"
    """Too big at once: halve the batch."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one attempt. Without a status nothing was answered, and `failure` says how."""

    status: int | None = None
    retry_after: int = 0
    """Milliseconds that the peer asks us to wait; 0 when it does not say."""
    failure: str = ""
    batch: int = 1
    """How many events were in it."""
    inbox_losses: int = 0
    """404 or 410 from this inbox in the last seven days, before this one."""


@dataclass(frozen=True, slots=True)
class Decision:
    state: State
    due_at: int | None
    """When the next attempt may start, in ms since 1970; None: not until the peer speaks."""
    reason: str
    fate: Fate
    failures: int
    """In a row, this one included: what to pass in next time."""
    failing_since: int | None
    alert: bool = False
    """An administrator should be told."""
    rest_until: int = 0
    """Until when the peer asked to be left alone (Retry-After), in ms since 1970; 0: it did not."""


def answered(status: int, headers: Mapping[str, str], now_ms: int, *, batch: int = 1, inbox_losses: int = 0) -> Outcome:
    """The outcome of an attempt that was answered; `headers` have lower-case names."""
    wait = read_retry_after(headers.get("retry-after", ""), now_ms) if status in (429, 503) else 0
    return Outcome(status, wait, "", batch, inbox_losses)


def read_retry_after(text: str, now_ms: int) -> int:
    """Milliseconds to wait, never more than a day; 0 for what cannot be read (RFC 9110 §10.2.3)."""
    text = text.strip()
    if text.isascii() and text.isdecimal():
        return min(int(text[:9]) * SECOND, LONGEST_RETRY_AFTER)
    try:
        when = parsedate_to_datetime(text)
        at = int(when.replace(tzinfo=when.tzinfo or UTC).timestamp() * SECOND)
    except (TypeError, ValueError, OverflowError):
        return 0
    return min(max(at - now_ms, 0), LONGEST_RETRY_AFTER)


def next_try(
    failures: int,
    now_ms: int,
    outcome: Outcome,
    jitter: float,
    *,
    failing_since: int | None = None,
    linked: bool = False,
) -> Decision:
    """How the peer stands after an attempt, and when the next may start.

    `failures` in a row and `failing_since` are what the decision before gave; `jitter` is a random number from
    0 to 1; `linked` says that an active link exists, which never expires.
    """
    fate, reason = _read(outcome)
    if fate in (Fate.ACKED, Fate.DEAD_LETTER, Fate.SPLIT):
        return Decision(State.OK, now_ms, reason, fate, 0, None)
    since = now_ms if failing_since is None else failing_since
    state, due_at = _rest(failures, now_ms, since, jitter, linked)
    if due_at is not None:
        due_at = max(due_at, now_ms + _spread(outcome.retry_after, jitter))
    refused = outcome.status in (401, 403)
    if refused and state is State.BACKOFF:
        state = State.PAUSED
    rest_until = now_ms + outcome.retry_after if outcome.retry_after else 0
    return Decision(state, due_at, reason, fate, failures + 1, since, alert=refused, rest_until=rest_until)


def wake(state: State, due_at: int | None, now_ms: int, last_try_at: int, rest_until: int = 0) -> int | None:
    """When to try a peer that has just spoken to us; for a resting one, soon.

    Its word proves that it can reach us, not that we can reach it: so it brings one probe forward and resets
    nothing (mastodon#31118), and a peer that speaks all day is not probed more than once a minute for it. One that
    asked for a rest has it, whatever it says meanwhile.
    """
    if state is State.OK or now_ms < rest_until:
        return due_at
    soonest = max(now_ms, last_try_at + WAKE_AT_MOST_EVERY)
    return soonest if due_at is None else min(due_at, soonest)


def _read(outcome: Outcome) -> tuple[Fate, str]:
    """The delivery's fate, and the reason as a word for logs and pages."""
    status = outcome.status
    if status is None:
        return Fate.RETRY, outcome.failure or "no answer"
    if status in (404, 410):
        lost = outcome.inbox_losses + 1 >= INBOXES_LOST
        return (Fate.FORGET if lost else Fate.REFETCH), "inbox not found"
    if status == 413 and outcome.batch == 1:
        return Fate.DEAD_LETTER, "too big even alone"
    if 200 <= status < 300:
        return Fate.ACKED, "accepted"
    if 300 <= status < 400:
        return Fate.RETRY, "redirected, which a delivery does not follow"
    return _FATES.get(status, (Fate.RETRY, f"answered {status}"))


_FATES = {
    400: (Fate.DEAD_LETTER, "not understood"),
    401: (Fate.RETRY, "our signature is refused"),
    403: (Fate.RETRY, "we are refused"),
    409: (Fate.REWIND, "earlier events are missing there"),
    413: (Fate.SPLIT, "too big at once"),
    422: (Fate.DEAD_LETTER, "not accepted as it is"),
    429: (Fate.RETRY, "asked to slow down"),
    503: (Fate.RETRY, "busy or under maintenance"),
}


def _rest(failures: int, now_ms: int, since: int, jitter: float, linked: bool) -> tuple[State, int | None]:
    if not linked and now_ms - since >= ARCHIVED_AFTER:
        return State.ARCHIVED, None
    if not linked and now_ms - since >= SUSPENDED_AFTER:
        return State.SUSPENDED, now_ms + _spread(DAY, jitter)
    ceiling = min(LONGEST_LINKED_WAIT if linked else LONGEST_WAIT, FIRST_WAIT << min(failures, 20))
    return State.BACKOFF, now_ms + int(ceiling * jitter)


def _spread(wait: int, jitter: float) -> int:
    """Up to a tenth longer, so that many who were told the same do not come back together."""
    return wait + int(wait * jitter / 10)
