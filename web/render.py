"""Pages from templates: one environment for each language, made once; what a template gets is plain values."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from server import policy_words
from server.limits import LATEST_YEAR
from server.openness import Level, Reach, Role
from server.policy_words import LEVEL_SENTENCES, LEVELS
from server.refusals import N_
from server.settings import LANGUAGES
from web.locale import Speech, speech
from web.static_files import versioned

TEMPLATES = Path(__file__).with_name("templates")

ROLE_WORDS = {Role.MEMBER: N_("membre"), Role.STEWARD: N_("animateur·rice"), Role.OWNER: N_("responsable")}
VISIBILITY_WORDS = {
    "public": N_("Public"),
    "colleagues": N_("Tous les collègues"),
    "followers": N_("Personnes qui vous suivent"),
    "direct": N_("Personnes mentionnées"),
}
VISIBILITY_LEVELS = {"public": "public", "colleagues": "internal", "followers": "network", "direct": "closed"}
PICTURE_WIDTH, PICTURE_HEIGHT = 640, 320
"""The most that a small picture takes up on a page, in CSS pixels."""
THANKS = "❤️"
POLL_ENDS = {
    "3600": N_("une heure"),
    "86400": N_("un jour"),
    "259200": N_("trois jours"),
    "604800": N_("une semaine"),
    "2592000": N_("trente jours"),
    "": N_("sans fin"),
}
"""How long a poll may run, in seconds as a form says it."""
GESTURES = ("👍", "🎉", "💡", "👀")


def page(request: Request, speaks: Speech, name: str, status: int = 200, **facts: Any) -> Response:
    """A page, or with a name that begins with `_` a piece of one."""
    nonce = str(request.scope.get("state", {}).get("nonce", ""))
    text = _ENVIRONMENTS[speaks.language].get_template(name).render(nonce=nonce, **facts)
    return HTMLResponse(text, status, headers={"content-language": speaks.language, "vary": "Accept, Accept-Language"})


def atom(speaks: Speech, name: str, **facts: Any) -> Response:
    """A feed for whoever asks now; no cache may keep it, and nothing marks its state."""
    text = _ENVIRONMENTS[speaks.language].get_template(name).render(**facts)
    headers = {"content-language": speaks.language, "vary": "Accept-Language, Cookie"}
    return Response(text, headers={**headers, "cache-control": "private, no-store"}, media_type="application/atom+xml")


def mail(speaks: Speech, **facts: Any) -> str:
    """The HTML of a mail."""
    return _ENVIRONMENTS[speaks.language].get_template("mail.html").render(**facts)


def initials(name: str) -> str:
    """At most two letters for a face without a picture."""
    words = [word for word in name.replace("-", " ").split() if word[0].isalnum()]
    return "".join(word[0] for word in (words[:1] + words[-1:] if len(words) > 1 else words)).upper() or "·"


def fitted(width: int, height: int) -> tuple[int, int]:
    """The size at which a picture is shown, so that its place is kept before it comes; never larger than it is."""
    ratio = min(1.0, PICTURE_WIDTH / width, PICTURE_HEIGHT / height)
    return max(1, round(width * ratio)), max(1, round(height * ratio))


def _environment(speaks: Speech) -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.i18n", "jinja2.ext.do"],
    )
    environment.install_gettext_callables(speaks.gettext, speaks.ngettext, newstyle=True)  # type: ignore[attr-defined]
    environment.filters |= {
        "ago": speaks.ago,
        "day": speaks.day,
        "moment": speaks.moment,
        "iso": speaks.iso,
        "size": speaks.size,
        "number": speaks.number,
        "percent": speaks.percent,
        "reason": speaks.reason,
        "initials": initials,
        "safe_html": Markup,  # only for what server.text has cleaned
    }
    environment.globals |= {
        "language": speaks.language,
        "static": versioned,
        "level_words": {level: speaks.gettext(words) for level, words in LEVELS.items()},
        "level_sentences": {level: speaks.gettext(words) for level, words in LEVEL_SENTENCES.items()},
        "role_words": {role: speaks.gettext(words) for role, words in ROLE_WORDS.items()},
        "visibility_words": {name: speaks.gettext(words) for name, words in VISIBILITY_WORDS.items()},
        "visibility_levels": VISIBILITY_LEVELS,
        "levels": list(Level),
        **_openness(speaks),
        "reaches": list(Reach),
        "roles": list(Role),
        "thanks": THANKS,
        "fitted": fitted,
        "gestures": GESTURES,
        "latest_day": f"{LATEST_YEAR}-12-31",
        "poll_ends": [(value, speaks.gettext(words)) for value, words in POLL_ENDS.items()],
    }
    return environment


def _openness(speaks: Speech) -> dict[str, Any]:
    """The words of dials and rights: in pairs (value, words) where one is chosen."""

    def choices(words: Mapping[Any, str]) -> list[tuple[str, str]]:
        return [(str(value), speaks.gettext(said)) for value, said in words.items()]

    return {
        "field_words": {name: speaks.gettext(words) for name, words in policy_words.FIELDS.items()},
        "right_words": {name: speaks.gettext(words) for name, words in policy_words.RIGHTS.items()},
        "value_words": {
            right: {int(value): speaks.gettext(words) for value, words in values.items()}
            for right, values in policy_words.VALUES.items()
        },
        "level_choices": choices(policy_words.LEVELS),
        "reach_choices": choices(policy_words.REACHES),
        "view_choices": choices(policy_words.VIEWS),
        "history_choices": choices(policy_words.HISTORY),
        "identity_choices": choices(policy_words.IDENTITIES),
        "after_choices": choices(policy_words.AFTER_CLOSE),
    }


_ENVIRONMENTS = {language: _environment(speech(language)) for language in LANGUAGES}
