"""The journal in words: who did what to what, and with which values."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.responses import Response

from server import policy_words
from server.openness import Level, Office, Role
from server.plan_words import GUARDRAILS
from server.policy_words import spoken
from server.queries.audit import Deed
from server.refusals import N_
from web.locale import Speech
from web.pages.showing.frame import show, speech_for
from web.pages.showing.office import OFFICE_WORDS
from web.pages.showing.recalls import REASON_WORDS
from web.pages.visits import Visit
from web.render import ROLE_WORDS

DEED_WORDS = {
    "ask_glass": N_("a demandé à lire un espace"),
    "grant_glass": N_("a accordé une lecture exceptionnelle"),
    "end_glass": N_("a mis fin à une lecture exceptionnelle"),
    "ask_openness": N_("a demandé une ouverture"),
    "decline_openness": N_("a refusé une ouverture"),
    "lapse_openness": N_("une ouverture prévue n’a pas eu lieu"),
    "review_openness": N_("a confirmé l’ouverture"),
    "open_space": N_("a créé un espace"),
    "set_openness": N_("a changé l’ouverture"),
    "name_partner": N_("a nommé un partenaire"),
    "unname_partner": N_("a retiré un partenaire"),
    "add_member": N_("a fait entrer"),
    "remove_member": N_("a retiré un membre"),
    "set_role": N_("a changé un rôle"),
    "add_person": N_("a ajouté une personne"),
    "import_people": N_("a importé des personnes"),
    "new_sign_in_link": N_("a fait un lien pour entrer"),
    "set_password": N_("a donné un mot de passe"),
    "suspend_person": N_("a suspendu une personne"),
    "erase_person": N_("a effacé une personne"),
    "export_person": N_("a rendu ses données à une personne"),
    "reinstate_person": N_("a rétabli une personne"),
    "set_office": N_("a changé une fonction"),
    "recall": N_("a lancé un rappel"),
    "recall_refused": N_("a noté le refus d’un rappel"),
    "recall_restart": N_("a redemandé ce qu’un rappel n’a pas obtenu"),
    "retry_deliveries": N_("a fait repartir ce qui était mis de côté"),
    "link_offer": N_("a proposé une liaison"),
    "link_accept": N_("a accepté une liaison"),
    "link_confirm": N_("a confirmé les six mots"),
    "link_suspend": N_("a suspendu une liaison"),
    "link_resume": N_("a repris une liaison"),
    "link_end": N_("a mis fin à une liaison"),
    "space_frozen": N_("lecture gelée : la liste des membres n’est pas celle de l’hôte"),
    "link_kin": N_("a dit si une instance est de la maison"),
    "history_consent": N_("a dit si le passé de nos collègues chez nos partenaires peut être ouvert à d’autres"),
    "partner_consent": N_("une instance liée a dit si le passé de ses membres peut être ouvert à d’autres"),
    "link_rotate": N_("a renouvelé la clé de l’instance"),
    "link_rekeyed": N_("nouvelle clé d’une instance liée"),
    "link_moved": N_("une instance liée a changé d’adresse"),
    "move": N_("a installé notre instance à une autre adresse"),
    "link_key_disagrees": N_("liaison suspendue : la clé n’est plus celle qui avait été comparée"),
    "describe_space": N_("a changé le nom ou la description"),
    "manage_by_file": N_("a confié à un fichier"),
    "set_guardrail": N_("a changé une limite de l’instance"),
    "approve_post": N_("a laissé passer un message"),
    "refuse_post": N_("a refusé un message"),
    "extend_guest": N_("a prolongé un séjour"),
    "end_guest": N_("séjour terminé à sa date"),
    "end_membership": N_("a quitté l’espace à la fin du séjour"),
}
STATES = {"waiting": N_("attend une seconde personne"), "planned": N_("prévue à sa date")}
CAUSES = {
    "until": N_("à sa date"),
    "key": N_("la clé a changé"),
    "asker": N_("qui l’avait demandée n’en a plus le droit"),
    "moved": N_("ce qui l’entoure a changé"),
}
OF_POSTS = frozenset({"approve_post", "refuse_post"})
"""Deeds whose subject is a number that says nothing to people."""
SAID_ELSEWHERE = frozenset({"source", "door"})
"""Values beside which the same is said once more."""


@dataclass(frozen=True, slots=True)
class Row:
    """One deed in words. `subject`: '' when the space says it already."""

    deed: Deed
    by: str
    act: str
    subject: str
    details: Sequence[str]


async def admin_audit(visit: Visit, found: Sequence[Deed], *, more: bool) -> Response:
    """Who did what, newest first."""
    speaks, _ = await speech_for(visit.request, visit.viewer)
    older = f"/admin/audit?before={found[-1].id}" if more and found else ""
    return await show(visit, "admin_audit.html", "admin", found=[row_of(speaks, one) for one in found], older=older)


def row_of(speaks: Speech, deed: Deed) -> Row:
    """A deed as people read it."""
    subject = "" if deed.subject == deed.space or deed.act in OF_POSTS else deed.subject
    return Row(
        deed,
        by="" if deed.operator and deed.by == "operator" else deed.by,
        act=speaks.gettext(DEED_WORDS.get(deed.act, deed.act)),
        subject=speaks.gettext(GUARDRAILS.get(subject, subject)) if subject else "",
        details=tuple(_details(speaks, deed.data)),
    )


def _details(speaks: Speech, data: Mapping[str, Any]) -> Iterator[str]:
    told = {name: _value(speaks, name, value) for name, value in data.items() if name not in SAID_ELSEWHERE}
    if "before" in told and "after" in told:
        before, after = told.pop("before"), told.pop("after")
        if before != after:
            yield f"{before or '–'} → {after or '–'}"
    yield from (words for words in told.values() if words)
    if data.get("door"):
        yield spoken(policy_words.door(str(data["door"]), str(data.get("source", ""))), speaks)


def _value(speaks: Speech, name: str, value: Any) -> str:
    """A value of a deed: levels, roles, offices, states and moments have words of their own."""
    text = "" if value is None else str(value)
    if name in ("level", "before", "after") and text in set(Level):
        return spoken(policy_words.level(Level(text)), speaks)
    if name in ("role", "before", "after") and text in set(Role) and name != "office":
        return speaks.gettext(ROLE_WORDS[Role(text)])
    if name in ("office", "before", "after") and text in set(Office):
        return speaks.gettext(OFFICE_WORDS[Office(text)])
    if name in ("state", "cause", "why"):
        return speaks.gettext({**STATES, **CAUSES}.get(text, text)) if text else ""
    if name == "reason":  # of a recall an act, of what stopped by itself a sentence of logs, else what somebody typed
        return speaks.gettext(REASON_WORDS[text]) if text in REASON_WORDS else speaks.reason(text)
    if name == "kin":
        return speaks.gettext(N_("de la maison")) if value else speaks.gettext(N_("pas de la maison"))
    if name == "until" and isinstance(value, int):
        return speaks.moment(value)
    return "" if isinstance(value, (dict, list)) else text
