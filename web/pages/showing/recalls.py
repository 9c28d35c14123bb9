"""Recalls in words and as pictures: what each instance gave back, and what nobody can take back."""

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

import msgspec
from starlette.responses import Response

from server.errors import DomainError
from server.queries.recalls import RecallCard, TargetCard
from server.recall_terms import RecallScope, TargetState
from server.refusals import N_
from web.locale import Speech
from web.pages.showing.frame import refused_words, show, speech_for
from web.pages.visits import Visit

RECALL_WORDS = {
    TargetState.WAITING: N_("en attente"),
    TargetState.SENT: N_("envoyé, sans reçu encore"),
    TargetState.UNREACHABLE: N_("injoignable"),
    TargetState.LATE: N_("en retard"),
    TargetState.CONFIRMED: N_("confirmé"),
    TargetState.PARTIAL: N_("partiel"),
    TargetState.UNCONFIRMED: N_("envoyé, invérifiable"),
    TargetState.REFUSED: N_("refusé"),
}
LOOKS = {
    TargetState.CONFIRMED: ("internal", "tick"),
    TargetState.PARTIAL: ("network", "tick"),
    TargetState.UNCONFIRMED: ("network", "eye"),
    TargetState.REFUSED: ("public", "warn"),
    TargetState.LATE: ("public", "clock"),
    TargetState.UNREACHABLE: ("network", "warn"),
}
SCOPE_WORDS = {
    RecallScope.SPACE: N_("tout l’espace"),
    RecallScope.THREAD: N_("un fil"),
    RecallScope.ITEM: N_("des messages"),
    RecallScope.MEMBER: N_("tout l’espace, là où plus personne n’en est membre"),
    RecallScope.PARTNER: N_("tout l’espace, chez un partenaire qui n’en est plus"),
}
REASON_WORDS = {
    "set_openness": N_("espace resserré"),
    "unname_partner": N_("partenaire retiré"),
    "remove_member": N_("dernier membre retiré"),
    "left": N_("dernier membre parti"),
    "withdraw_post": N_("message retiré par un animateur"),
    "link_end": N_("liaison terminée"),
}
KEPT = {
    "own-authored": N_("%(n)s écrits par ses propres personnes, qu’elle peut garder"),
    "legal-hold": N_("%(n)s qu’elle dit devoir garder par la loi"),
    "backup-until": N_("ses sauvegardes, jusqu’à leur rotation"),
}
"""What an instance signs to have kept, and why."""
SHARES = N_("%(host)s : %(gone)s effacés, %(kept)s gardés, sur %(all)s envoyés")


@dataclass(frozen=True, slots=True)
class Seen:
    """How one instance stands, in words; `gone` and `kept` are hundredths of what it was sent. `keeps`: what it signed
    to have kept, and why.
    """

    target: TargetCard
    words: str
    tone: str
    icon: str
    said: str
    gone: int
    kept: int
    receipt: str
    keeps: Sequence[str] = ()


async def recalls(visit: Visit, found: Sequence[RecallCard], *, open_only: bool, more: bool) -> Response:
    """All recalls, newest first."""
    asked = {"open": "1"} if open_only else {}
    return await show(
        visit,
        "admin_recalls.html",
        "admin",
        found=found,
        open_only=open_only,
        scope_words=SCOPE_WORDS,
        reason_words=REASON_WORDS,
        older=f"/admin/recalls?{urlencode({**asked, 'before': found[-1].id})}" if more and found else "",
    )


async def recall(visit: Visit, card: RecallCard, refused: DomainError | None = None) -> Response:
    """One recall, with a bar for each instance."""
    speaks, _ = await speech_for(visit.request, visit.viewer)
    rows = [_seen(speaks, target) for target in card.targets]
    return await show(
        visit,
        "admin_recall.html",
        "admin",
        card=card,
        rows=rows,
        scope_words=SCOPE_WORDS,
        reason_words=REASON_WORDS,
        refused=await refused_words(visit, refused),
        status=200 if refused is None else 409,
    )


def _seen(speaks: Speech, target: TargetCard) -> Seen:
    tone, icon = LOOKS.get(target.state, ("closed", "clock"))
    figures = {"host": target.host, "gone": target.purged, "kept": target.retained, "all": target.items}
    whole = max(target.items, target.purged + target.retained, 1)
    return Seen(
        target=target,
        words=speaks.gettext(RECALL_WORDS[target.state]),
        tone=tone,
        icon=icon,
        said=speaks.gettext(SHARES) % figures,
        gone=round(100 * target.purged / whole),
        kept=round(100 * target.retained / whole),
        receipt=msgspec.json.format(target.receipt, indent=2) if target.receipt else "",
        keeps=_keeps(speaks, target.receipt),
    )


def _keeps(speaks: Speech, receipt: str) -> list[str]:
    """The reasons of a receipt in words: it was read when it came, and is theirs all the same."""
    said = msgspec.json.decode(receipt).get("parvis:retained") if receipt else None
    found = [one for one in said if isinstance(one, dict)] if isinstance(said, list) else []
    return [
        speaks.gettext(KEPT[str(one.get("reason"))]) % {"n": speaks.number(one.get("items", 0))}
        for one in found
        if one.get("reason") in KEPT and type(one.get("items", 0)) is int
    ]
