"""Why not, in words: each reason of the policy has a sentence, and what would be enough to allow it."""

from server.errors import DomainError, Forbidden, NotFound, Unauthenticated
from server.policy import Decision


def N_(sentence: str) -> str:
    """Marks a sentence for the catalogues; it is translated where it is shown."""
    return sentence


SENTENCES: dict[str, str] = {
    "unlisted": N_("Cet espace n’est pas dans l’annuaire : on y vient par invitation."),
    "members_hidden": N_("Vous ne pouvez pas voir les membres de cet espace : seuls ses membres les voient."),
    "members_only": N_("Vous ne pouvez pas lire cet espace, parce que seuls ses membres le lisent."),
    "by_invitation": N_("Vous ne pouvez pas rejoindre cet espace, parce qu’on y vient sur invitation."),
    "ask_first": N_("Vous ne pouvez pas rejoindre cet espace directement, parce qu’on y entre en le demandant."),
    "readers_only": N_("Vous ne pouvez pas réagir ici : cet espace est ouvert à la lecture seulement."),
    "members_only_write": N_("Vous ne pouvez pas écrire ici, parce que seuls les membres publient."),
    "stewards_invite": N_("Vous ne pouvez pas inviter ici : adressez-vous à un·e animateur·rice de l’espace."),
    "stewards_only": N_("Seuls les animateurs et responsables de l’espace peuvent faire cela."),
    "owners_only": N_("Seuls les responsables de l’espace peuvent changer son ouverture."),
    "authors_only": N_("Seule la personne qui a écrit ce message peut le modifier."),
    "stays_here": N_("Ce message ne peut pas sortir de cet espace."),
    "space_closed": N_("Cet espace est fermé : on n’y écrit plus."),
    "operators_do_not_read": N_("La ligne de commande ne lit pas les messages."),
    "sign_in_first": N_("Identifiez-vous pour continuer."),
    "scope_missing": N_("Ce jeton n’a pas le droit de faire cela."),
    "unknown_act": N_("Cette action n’existe pas."),
}


def refusal(decision: Decision) -> DomainError:
    """The error of a decision that is not allowed: hidden things are not found, by anybody, in the same words."""
    if decision.hide:
        return NotFound(detail=decision.reason)
    if decision.reason == "sign_in_first":
        return Unauthenticated(SENTENCES[decision.reason])
    return Forbidden(SENTENCES.get(decision.reason), detail=decision.reason)


def demand(decision: Decision) -> None:
    """Goes on when allowed; else raises NotFound, Unauthenticated or Forbidden with its sentence."""
    if not decision.allowed:
        raise refusal(decision)
