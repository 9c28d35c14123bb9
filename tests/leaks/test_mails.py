"""What is mailed: to each observer with an account, about all that is written in every space, as if each were a reason
to write to them. A canary stands in a mail exactly when the design's table says so (`tests.leaks.oracle.MAILED`).
"""

import email
from dataclasses import replace
from email.message import EmailMessage
from email.policy import default
from typing import Any

import pytest

from server import database as db
from server.actions.mails import Claim
from server.clock import now_ms
from server.ids import new_id
from server.queries.accounts import resident
from server.settings import Settings
from server.viewer import Operator
from tests.leaks.oracle import SPACES, canary, mailed, sees
from tests.leaks.scene import Scene, Space
from tests.leaks.test_leaks import posts_in, words_of
from web.mail.composing import compose

pytestmark = pytest.mark.anyio
NAMES = {
    "member": "alice",
    "colleague": "bruno",
    "former member": "fanny",
    "auditor": "aude",
    "admin": "odile",
    "admin with a granted reading": "oscar",
    "guest in it": "gwen",
    "guest elsewhere": "hugo",
    "gone": "gaspard",
    "guest whose time is over": "ines",
}
OUT = ("gone", "guest whose time is over")


async def written_to(settings: Settings, name: str, notices: list[dict[str, Any]]) -> str:
    """The mail that carries these notices, all of it, decoded; '' when there is none."""
    who, number = await resident(Operator(), name), new_id()
    rows = [
        {"id": new_id(), "actor_id": who.actor_id, "by_id": None, "key": f"{number}:{place}", "created_at": now_ms()}
        | {"mail": number, "mail_due_at": 1}
        | notice
        for place, notice in enumerate(notices)
    ]
    await db.insert_many("notice", rows)
    sealed = await compose(settings, Claim(who.account_id, number, 0))
    if sealed is None:
        return ""
    message = email.message_from_bytes(sealed.message, policy=default)
    assert isinstance(message, EmailMessage)
    parts = [part.get_content() for part in message.walk() if part.get_content_maintype() == "text"]
    return "\n".join([sealed.recipient, *(f"{head}: {value}" for head, value in message.items()), *parts])


def about_posts(space: Space) -> list[dict[str, Any]]:
    posts = {*space.posts, *space.ids["post"]}
    return [{"kind": "mention", "post_id": int(post), "space_id": space.id} for post in sorted(posts)]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
async def test_a_mail_holds_a_canary_exactly_when_the_design_says_so(scene: Scene) -> None:
    settings = replace(scene.app.state.settings, smtp_url="smtp://127.0.0.1", mail_replies="reponse@aubrac.test")
    await db.execute("UPDATE account SET email = name || '@courriel.test'")
    leaks, silent = [], []
    for observer, name in NAMES.items():
        for space in scene.spaces:
            told = await written_to(settings, name, about_posts(space))
            assert not told or observer not in OUT, observer
            wanted = mailed(observer, space.name)
            leaks += [f"{observer} is mailed {word}" for word in sorted(words_of(told) - wanted)]
            silent += [f"{observer} is not mailed {word}" for word in sorted(wanted - words_of(told))]
            named = {word.removesuffix("#") for word in posts_in(told, scene)}
            seen = {canary(space.name, field) for field in space.posts.values() if sees(observer, space.name, field)}
            leaks += [f"{observer} is led to {word}" for word in sorted(named - (seen if wanted else set()))]
            card = words_of(await written_to(settings, name, [{"kind": "openness", "space_id": space.id}]))
            known = (
                {canary(space.name, "name")} if observer not in OUT and sees(observer, space.name, "name") else set()
            )
            leaks += [f"{observer} is mailed {word} of a space" for word in sorted(card - known)]
            silent += [f"{observer} is not mailed {word} of a space" for word in sorted(known - card)]
    assert not leaks, "\n".join(leaks)
    assert not silent, "\n".join(silent)
    assert len(scene.spaces) == len(SPACES)
