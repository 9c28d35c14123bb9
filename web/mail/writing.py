"""A mail as text: what stands in it for who reads no HTML. The HTML of the same mail is `templates/mail.html`."""

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from server.refusals import N_
from web.locale import Speech
from web.mail.wording import Told

ABOVE = N_("— Pour répondre, écrivez au-dessus de cette ligne —")
HELLO = N_("Bonjour %(name)s,")
SAYS = N_("%(sentence)s :")
CONVERSATION = N_("Lire la conversation : %(address)s")
SEE = N_("Voir : %(address)s")
REPLY = N_("Répondre par courriel : %(address)s")
MORE = N_("D’autres notifications vous attendent : %(address)s")
ALONE = N_("Votre réponse à ce courriel est publiée sous votre nom, là où est le message.")
SEVERAL = N_("Ce que vous écrivez à une adresse de réponse est publié sous votre nom, là où est le message.")
WHY = {
    "at_once": N_("Vous recevez ce courriel parce que cela vous attendait depuis quelques minutes."),
    "daily": N_("Vous recevez ce résumé une fois par jour."),
}
CHOOSE = N_("Choisir quand : %(address)s")
STOP = N_("Ne plus recevoir de courriel : %(address)s")


@dataclass(frozen=True, slots=True)
class Item:
    """One notice with its addresses; `reply`: under which it is answered by mail, '' where it is not."""

    told: Told
    address: str
    reply: str = ""


@dataclass(frozen=True, slots=True)
class Letter:
    """All that a mail says, whatever its form. `alone`: the one address that answers it, '' where there are more."""

    name: str
    instance: str
    items: Sequence[Item]
    more: bool
    alone: str
    mails: str  # at_once, daily
    base: str
    stop: str

    @property
    def replies(self) -> bool:
        return any(item.reply for item in self.items)


def text_of(letter: Letter, speaks: Speech) -> str:
    """The whole text, its lines as long as they are: mail programs wrap them."""
    parts = [_said(speaks, ABOVE)] if letter.alone else []
    parts.append(_said(speaks, HELLO, name=letter.name))
    parts += [_item(item, letter, speaks) for item in letter.items]
    if letter.more:
        parts.append(_said(speaks, MORE, address=f"{letter.base}/notifications"))
    if letter.replies:
        parts.append(_said(speaks, ALONE if letter.alone else SEVERAL))
    foot = [
        "-- ",
        letter.instance,
        _said(speaks, WHY[letter.mails]),
        _said(speaks, CHOOSE, address=f"{letter.base}/settings#mails"),
        _said(speaks, STOP, address=letter.stop),
    ]
    return "\n\n".join([*parts, "\n".join(foot)]) + "\n"


def _item(item: Item, letter: Letter, speaks: Speech) -> str:
    told = item.told
    lines = [_said(speaks, SAYS, sentence=told.sentence) if told.text else f"{told.sentence.removesuffix('.')}."]
    if told.text:
        lines += ["", textwrap.indent(told.text, "    "), ""]
    lines.append(_said(speaks, CONVERSATION if told.has_conversation else SEE, address=item.address))
    if item.reply and not letter.alone:
        lines.append(_said(speaks, REPLY, address=item.reply))
    return "\n".join(lines)


def _said(speaks: Speech, words: str, /, **values: str) -> str:
    said = speaks.gettext(words)
    return _filled(said, values)


def _filled(said: str, values: Mapping[str, str]) -> str:
    return said % values if values else said
