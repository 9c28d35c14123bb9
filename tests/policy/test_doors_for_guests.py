"""Every address of the application, asked by a person from outside who is a guest of another space.

What only Alice may know is to them what never was; what is for colleagues is not there either, nor is what
administrators do. A new address is asked here by itself: where a guest is answered otherwise than a colleague who is
in no space, it stands below.
"""

import pytest
from starlette.applications import Starlette

from federation.keyring import instance_actor_id
from server.actions.accounts import issue_token
from server.actions.signing_in import new_sign_in_link, sign_in_with_link
from server.openness import Level
from server.viewer import Operator
from tests import cast as company
from tests.policy.test_doors import CALLERS, SECRETS, SESSIONS, TOKENS, ask, body_of, headers_of, make_things, told
from tests.policy.test_doors import app as app

pytestmark = pytest.mark.anyio

OTHERWISE = {
    "POST /api/parvis/v1/spaces": "404",
    "POST /spaces": "404",
    "GET /elsewhere": "404",
    "POST /elsewhere": "404",
    "GET /people": "404",
    "POST /@{name}/follow": "404",
    "POST /@{name}/unfollow": "404",
}
"""Guests open no space, come into none elsewhere, have no list of people and follow nobody."""


@pytest.mark.parametrize("door", ["tokens", "sessions"])
async def test_a_guest_of_another_space_is_told_nothing(app: Starlette, door: str) -> None:
    await instance_actor_id(app.state.instance)
    cast = await company.gather()
    gwen = await company.guest("gwen", "Gwen Le Roux", cast.alice, "Cabinet Ouest")
    await company.space("offre", Level.PARTNERS, cast.alice, gwen)
    raw = await issue_token(gwen.account_id, "read write follow")
    wrong = []
    for number, (key, row) in enumerate({"tokens": TOKENS, "sessions": SESSIONS}[door].items()):
        if key.startswith(("POST /logout", "POST /login")) or "revoke" in key:
            continue
        things = await make_things(cast, number)
        if door == "sessions":
            link = await new_sign_in_link(Operator(), gwen.account_id)
            raw = (await sign_in_with_link(link, f"192.0.2.{number}")).token
        headers = headers_of(door, raw)
        answer = await ask(app, key, things.known, "gwen", headers)
        colleague = row.split()[CALLERS.index("bruno")]
        wanted = {OTHERWISE[key]} if key in OTHERWISE else {"403", "404"} if "/admin" in key else {colleague}
        if str(answer.status_code) not in wanted:
            wrong.append(f"{key}: {answer.status_code}, not {wanted}: {answer.text[:200]}")
        wrong += [f"{key} tells {word}" for word in SECRETS if word in answer.text]
        if answer.status_code == 404:
            unknown = await ask(app, key, things.unknown, "gwen", headers)
            if (body_of(answer), told(answer)) != (body_of(unknown), told(unknown)):
                wrong.append(f"{key} tells hidden from unknown")
    assert not wrong, "\n".join(wrong)
