"""Recalls over our own API, for administrators and auditors: figures and signed receipts, never content."""

from dataclasses import replace

import msgspec
from starlette.responses import Response

from server.queries import recalls
from server.queries.recalls import RecallCard, TargetCard
from server.viewer import Employee
from web.api.calls import Call, json
from web.api.operations import Operation
from web.api.present import Shape, moment

PAGE = 50


async def list_recalls(call: Call) -> Response:
    """Newest first; `open=true`: only those that still wait for something."""
    limit = min(call.fields.whole("limit", 1, 10_000) or PAGE, PAGE)
    found = await recalls.listed(
        _whole(call),
        open_only=call.fields.text("open", 10) in ("true", "1"),
        before=call.fields.whole("before", 1, (1 << 63) - 1),
        limit=limit,
    )
    return json({"recalls": [_recall(card) for card in found], "before": found[-1].id if len(found) == limit else None})


async def show_recall(call: Call) -> Response:
    """One recall with its instances and what each of them signed."""
    card = await recalls.find(_whole(call), call.id("id"))
    return json(_recall(card) | {"instances": [_instance(target) for target in card.targets]})


def _whole(call: Call) -> Employee:
    """The scope `admin:read` counts here as the caller's whole session."""
    return replace(call.colleague, scopes=None)


def _recall(card: RecallCard) -> Shape:
    return {
        "id": str(card.id),
        "space": card.space,
        "scope": card.scope.value,
        "reason": card.reason,
        "keep": card.keep,
        "by": card.by,
        "created_at": moment(card.created_at),
        "deadline": moment(card.deadline_at),
        "open": card.open,
        "items": card.items,
        "answered": card.answered,
        "of": len(card.targets),
    }


def _instance(target: TargetCard) -> Shape:
    return {
        "host": target.host,
        "linked": target.linked,
        "state": target.state.value,
        "items": target.items,
        "root": target.root,
        "purged": target.purged,
        "retained": target.retained,
        "tries": target.tries,
        "next_at": moment(target.next_at) if target.open and target.next_at else None,
        "reason": target.reason,
        "late": target.late,
        "sent_at": moment(target.sent_at) if target.sent_at else None,
        "answered_at": moment(target.answered_at) if target.answered_at else None,
        "receipt": msgspec.json.decode(target.receipt) if target.receipt else None,
    }


OPERATIONS = (
    Operation(
        "GET",
        "/recalls",
        list_recalls,
        "listRecalls",
        "What was taken back from other instances, for administrators",
        "admin:read",
        query={"open": "string", "before": "integer", "limit": "integer"},
    ),
    Operation(
        "GET",
        "/recalls/{id}",
        show_recall,
        "showRecall",
        "One recall, with what each instance signed",
        "admin:read",
    ),
)
