"""An explanation in words: who somebody is to a space, what that gives them, which rule decides, what would be enough.

Every sentence is a msgid with its values (`policy_words.Said`); whoever shows it gives the language.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from server.errors import DomainError
from server.explaining import Barred, Case, Change, Changes, Explanation, Step, enough
from server.openness import Audience, Level, Variant, Visibility
from server.policy import Act, Decision, Stop
from server.policy_words import LEVELS, RIGHTS, Day, Listed, Said, Word, less_words, spoken, value
from server.refusals import N_, SENTENCES, refusal
from server.viewer import Employee, Guest, Operator, PeerServer, RemotePerson

WHO = {
    Audience.STAFF_MEMBER: N_("collègue, membre de l’espace"),
    Audience.STAFF: N_("collègue, pas membre de l’espace"),
    Audience.KIN: N_("personne d’une instance sœur, pas membre de l’espace"),
    Audience.GUEST_MEMBER: N_("invité·e, membre de l’espace"),
    Audience.GUEST: N_("invité·e, pas membre de l’espace"),
    Audience.PARTNER_MEMBER: N_("membre de l’espace, chez un partenaire qu’il nomme"),
    Audience.PARTNER: N_("personne d’un partenaire que l’espace nomme, pas membre"),
    Audience.PARTNER_UNINVITED: N_("personne d’un partenaire d’où l’on ne vient que sur invitation, pas membre"),
    Audience.FED_MEMBER: N_("membre de l’espace, d’une instance qu’il ne nomme pas"),
    Audience.FED: N_("personne d’une instance que l’espace ne nomme pas, pas membre"),
    Audience.WEB: N_("visiteur·se sans compte"),
    Audience.GLASS: N_("administrateur·rice, par une lecture exceptionnelle"),
    Audience.HOST: N_("l’instance qui tient l’espace"),
}
ROWS = {
    Variant.CLOSED: N_("Fermé, dans la liste : les collègues voient sa carte et peuvent demander à entrer."),
    Variant.UNLISTED: N_("Fermé, hors liste : seuls ses membres savent qu’il existe."),
    Variant.INTERNAL: N_("Interne : tous les collègues lisent, personne d’extérieur."),
    Variant.INVITED: N_("Partenaires, sur invitation : seuls les membres lisent."),
    Variant.INVITED_UNLISTED: N_("Partenaires, sur invitation et hors liste : seuls les membres lisent."),
    Variant.INVITED_READABLE: N_("Partenaires, sur invitation : les membres lisent, et les autres collègues."),
    Variant.EVERYONE: N_("Partenaires : toute personne d’un partenaire nommé lit."),
    Variant.NETWORK: N_("Réseau : toute personne identifiée d’une instance non bloquée lit."),
    Variant.PUBLIC: N_("Public : tout le monde lit, sans compte."),
    Variant.ELSEWHERE: N_("Tenu par une autre instance : ici, seuls nos membres lisent ; elle décide du reste."),
}
ACTS = {
    Act.SEE: N_("voir que cet espace existe"),
    Act.LIST: N_("trouver cet espace dans la liste"),
    Act.COUNT_MEMBERS: N_("savoir combien de membres il y a"),
    Act.SEE_ORGANISATIONS: N_("voir les organisations présentes"),
    Act.NAME_MEMBERS: N_("voir les noms des membres"),
    Act.READ: N_("lire ceci"),
    Act.OPEN_FILE: N_("ouvrir les fichiers"),
    Act.ASK_TO_JOIN: N_("demander à entrer"),
    Act.JOIN: N_("entrer librement"),
    Act.ACCEPT_INVITATION: N_("accepter une invitation"),
    Act.REACT: N_("réagir"),
    Act.REPLY: N_("répondre"),
    Act.POST: N_("publier"),
    Act.INVITE: N_("inviter"),
    Act.RELAY: N_("relayer"),
    Act.EDIT_POST: N_("modifier ce message"),
    Act.WITHDRAW_POST: N_("retirer ce message"),
    Act.ADMIT_MEMBERS: N_("accueillir des membres"),
    Act.CHANGE_POLICY: N_("changer l’ouverture"),
    Act.DECIDE: N_("valider un changement d’ouverture"),
}
STOPS = {
    Stop.DELETED: N_("Il a été retiré : personne ne le lit plus."),
    Stop.HELD: N_("Il attend l’accord d’un·e animateur·rice ; jusque-là, seul son auteur le voit."),
    Stop.UNSTAMPED: N_("Rien ne dit pour qui il a été écrit : personne ne le lit."),
    Stop.NOT_OURS: N_("Il a été écrit ailleurs : son instance en répond."),
    Stop.SIDE: N_("Les partenaires de cet espace ne se voient pas entre eux, et ce message est d’un autre."),
    Stop.LEVEL: N_("L’ouverture de l’espace ne leur donne pas la lecture."),
    Stop.STAMP: N_("Il a été écrit quand l’espace était moins ouvert, et le passé n’a pas été ouvert."),
    Stop.JOINED: N_("Il a été écrit avant leur arrivée dans l’espace."),
    Stop.DAYS_BACK: N_("Il a plus de 90 jours : qui n’est pas membre ne remonte pas plus loin."),
    Stop.DAYS: N_("Il est plus ancien que ce que l’espace laisse lire en arrière."),
    Stop.OPENING: N_("Il a été écrit avant que l’espace leur soit ouvert."),
    Stop.CONSENT: N_("L’instance de son auteur n’accepte pas que son passé soit ouvert à d’autres."),
    Stop.ADDRESSED: N_("Il ne leur est pas adressé."),
    Stop.ELSEWHERE: N_("Il a été écrit ailleurs : son instance en répond."),
}
BARRED = {
    Barred.SUSPENDED: N_("Ce compte est suspendu : il n’entre nulle part."),
    Barred.ENDED: N_("Le dernier jour de cette personne invitée est passé : elle n’entre plus."),
    Barred.BLOCKED: N_("Son instance est bloquée ici : personne n’en vient."),
}
ADDRESSED = {
    Visibility.PUBLIC: N_("Message adressé à tout le monde, hors de tout espace."),
    Visibility.COLLEAGUES: N_("Message adressé à tous les collègues, hors de tout espace."),
    Visibility.FOLLOWERS: N_("Message adressé aux personnes qui suivent son auteur, hors de tout espace."),
    Visibility.DIRECT: N_("Message adressé aux seules personnes qu’il mentionne."),
}
ENOUGH = {
    Step.REINSTATE: N_("que ce compte soit rétabli"),
    Step.EXTEND_GUEST: N_("que le séjour de cette personne invitée soit prolongé"),
    Step.UNBLOCK: N_("que son instance ne soit plus bloquée"),
    Step.SIGN_THEMSELVES: N_("que la personne signe elle-même"),
    Step.SIGN_IN: N_("de s’identifier auprès d’une instance"),
    Step.ACCEPT: N_("d’accepter l’invitation"),
    Step.JOIN: N_("d’entrer dans l’espace, librement"),
    Step.ASK: N_("de demander à entrer, et qu’un·e animateur·rice accepte"),
    Step.INVITE: N_("d’une invitation dans l’espace"),
    Step.FOLLOW: N_("de suivre son auteur"),
    Step.MENTION: N_("que son auteur mentionne cette personne"),
    Step.APPROVE: N_("qu’un·e animateur·rice accepte le message"),
    Step.LINK: N_("qu’un lien actif unisse les deux instances"),
    Step.EXTEND_PARTNER: N_("que la date de fin de ce partenaire soit repoussée"),
    Step.NAME_PARTNER: N_("que l’espace nomme son instance parmi ses partenaires"),
    Step.PARTNER_EVERYONE: N_("que l’espace s’ouvre à toute personne de ce partenaire"),
    Step.LEAD: N_("de devenir animateur·rice de l’espace"),
    Step.OWN: N_("de devenir responsable de l’espace"),
    Step.REOPEN: N_("que l’espace soit rouvert à l’écriture"),
    Step.GIVE_BACK: N_("que le droit retiré par l’espace soit rendu"),
    Step.STAFF_READ: N_("que l’espace se laisse lire par les autres collègues"),
    Step.LIST: N_("que l’espace entre dans la liste"),
    Step.HISTORY: N_("que les membres de l’extérieur lisent tout le passé"),
    Step.SEE_EACH_OTHER: N_("que les partenaires se voient entre eux"),
    Step.REACH: N_("que l’espace s’ouvre à toute personne de ses partenaires"),
    Step.LEVEL: N_("que l’espace passe au niveau « %(level)s »"),
    Step.MEET: N_("que les deux personnes soient dans un même espace"),
    Step.PUBLISH: N_("que la personne qui l’a déposé le joigne à un message"),
    Step.PAST: N_("que ce qui a déjà été écrit soit ouvert aussi"),
}
REPUBLISHED = {
    Visibility.COLLEAGUES: N_("que son auteur le publie de nouveau, pour tous les collègues"),
    Visibility.PUBLIC: N_("que son auteur le publie de nouveau, pour tout le monde"),
}
PASSED_ON = N_("La ligne de commande règle et ne lit pas.")


@dataclass(frozen=True, slots=True)
class Reason:
    """One rule of the chain. `holds`: whether it lets them through; None for what only says how things are."""

    rule: str
    holds: bool | None
    said: Said


def verdict(told: Explanation) -> Said:
    """The answer in one sentence."""
    act: dict[str, Word] = {"act": Said(ACTS[told.case.act])}
    if told.decision:
        return Said(N_("Oui : peut %(act)s."), act)
    return Said(N_("Non : ne peut pas %(act)s."), act)


def chain(told: Explanation) -> list[Reason]:
    """The rules in the order in which they are asked, to the one that decides."""
    case = told.case
    if case.barred is not None:
        return [Reason("door", False, Said(BARRED[case.barred]))]
    if isinstance(case.viewer, Operator):
        return [Reason("operator", bool(told.decision), Said(PASSED_ON))]
    parts = _of_space(told) if case.space is not None else _of_personal(told)
    return [*parts, *_end(told)]


def _of_space(told: Explanation) -> Iterator[Reason]:
    case, space = told.case, told.case.space
    assert space is not None
    yield Reason("who", None, Said(N_("Pour cet espace : %(who)s."), {"who": Said(WHO[case.standing.audience])}))
    if case.standing.invited:
        yield Reason("invited", None, Said(N_("Une invitation attend sa réponse.")))
    if case.over:
        yield Reason("over", None, Said(N_("L’espace nommait son instance jusqu’à une date qui est passée.")))
    elif case.named:
        yield Reason("unlinked", None, Said(N_("L’espace nomme son instance, mais aucun lien actif ne l’unit à nous.")))
    yield Reason("level", None, Said(ROWS[space.variant]))
    yield from _taken(case)
    if case.post is not None:
        yield from _of_post(told)


def _taken(case: Case) -> Iterator[Reason]:
    space, standing = case.space, case.standing
    assert space is not None
    less = [one for who, rights in space.less if who is standing.audience for one in rights]
    words = less_words(tuple(less) + standing.less)
    if words:
        rights: dict[str, Word] = {"rights": Listed(tuple(words))}
        yield Reason("less", None, Said(N_("L’espace leur retire des droits ; au plus : %(rights)s."), rights))


def _of_post(told: Explanation) -> Iterator[Reason]:
    """The stamp and the day, which only a post has."""
    case, post = told.case, told.case.post
    assert post is not None
    assert case.space is not None
    if post.stamp is not None and post.stamp is not case.space.variant:
        words: dict[str, Word] = {"day": Day(post.published_at), "row": Said(LEVELS[_level_of(post.stamp)])}
        yield Reason("stamp", None, Said(N_("Écrit le %(day)s, quand l’espace était « %(row)s »."), words))
    else:
        yield Reason("written", None, Said(N_("Écrit le %(day)s."), {"day": Day(post.published_at)}))
    if told.cell is not None and case.standing.since_at and told.decision.stop is Stop.JOINED:
        yield Reason("since", None, Said(N_("Membre depuis le %(day)s."), {"day": Day(case.standing.since_at)}))


def _level_of(variant: Variant) -> Level:
    levels = {Variant.UNLISTED: Level.CLOSED, Variant.ELSEWHERE: Level.CLOSED, Variant.CLOSED: Level.CLOSED}
    levels |= {Variant.INTERNAL: Level.INTERNAL, Variant.NETWORK: Level.NETWORK, Variant.PUBLIC: Level.PUBLIC}
    return levels.get(variant, Level.PARTNERS)


def _of_personal(told: Explanation) -> Iterator[Reason]:
    case, post = told.case, told.case.post
    assert post is not None
    if post.visibility is not None:
        yield Reason("addressed", None, Said(ADDRESSED[post.visibility]))
    people = isinstance(case.viewer, (Employee, Guest, RemotePerson))
    if people and getattr(case.viewer, "actor_id", None) == post.author_id:
        yield Reason("author", None, Said(N_("C’est son propre message.")))
    elif case.standing.named:
        yield Reason("named", None, Said(N_("Le message mentionne cette personne.")))
    elif case.standing.follows:
        yield Reason("follows", None, Said(N_("Cette personne suit son auteur.")))


def _end(told: Explanation) -> Iterator[Reason]:
    """The rule that decides, and what was needed."""
    case, decision = told.case, told.decision
    if decision.stop is not None:
        yield Reason(decision.stop.value, False, Said(STOPS[decision.stop]))
        return
    if told.needed is not None and told.cell is not None:
        right, least = told.needed
        words: dict[str, Word] = {"right": Said(RIGHTS[right]), "has": value(right, getattr(told.cell, right))}
        words["least"] = value(right, least)
        said = Said(N_("« %(right)s » : %(has)s ; il faut au moins : %(least)s."), words)
        yield Reason("need", bool(decision) if decision.reason != "space_closed" else None, said)
    if not decision and decision.reason in SENTENCES and decision.reason not in _SAID_BY_NEED:
        yield Reason(decision.reason, False, Said(SENTENCES[decision.reason]))
    if isinstance(case.viewer, PeerServer) and decision and case.act is Act.READ:
        yield Reason("server", None, Said(N_("Une instance lit pour ses personnes ; elle n’écrit pas à leur place.")))


_SAID_BY_NEED = frozenset({"members_hidden", "unlisted", "members_only", "readers_only", "members_only_write"})


def reason_word(told: Explanation) -> str:
    """The stable word of what decides: for programs."""
    return told.decision.stop.value if told.decision.stop else told.decision.reason


def change(one: Change) -> Said:
    """One step, as the end of a sentence that begins « Il suffirait … »."""
    if one.step is Step.REPUBLISH:
        return Said(REPUBLISHED[Visibility(one.to)])
    if one.step is Step.LEVEL:
        return Said(ENOUGH[one.step], {"level": Said(LEVELS[Level(one.to)])})
    return Said(ENOUGH[one.step])


def changes(made: Changes) -> Said:
    """What has to be done together, in one sentence."""
    return Said(N_("Il suffirait %(changes)s."), {"changes": _joined([change(one) for one in made])})


def _joined(parts: list[Said]) -> Said:
    first, *others = parts
    for other in others:
        first = Said(N_("%(one)s et %(other)s"), {"one": first, "other": other})
    return first


def refused(case: Case, decision: Decision) -> DomainError:
    """The error of a refusal, with the smallest change after which it would be allowed."""
    error = refusal(decision)
    if not decision.hide and (found := enough(case)):
        error.enough = partial(spoken, changes(found[0]))
        error.steps = tuple((one.step.value, one.to) for one in found[0])
    return error


def opens_space(made: Changes) -> bool:
    """Whether the openness page of the space is where it is done."""
    there = {Step.NAME_PARTNER, Step.EXTEND_PARTNER, Step.PARTNER_EVERYONE, Step.REOPEN, Step.GIVE_BACK, Step.PAST}
    there |= {Step.STAFF_READ, Step.LIST, Step.HISTORY, Step.SEE_EACH_OTHER, Step.REACH, Step.LEVEL}
    return any(one.step in there for one in made)
