"""A recall is neither lost nor answered too soon, whatever happens between its first word and its receipt."""

# ruff: noqa: F811 (fixtures that come from the neighbouring files)

import pytest

from federation.signatures.proofs import with_proof
from server.clock import now_ms
from server.recall_terms import root_of
from tests.federation.hostile.test_recalls import Theirs, theirs  # noqa: F401
from tests.federation.stranger import Json, OtherServer

pytestmark = pytest.mark.anyio


def once_more(theirs: Theirs, recall: Json) -> Json:
    """The same recall as it is told again: a new activity about it."""
    bare = {name: value for name, value in recall.items() if name != "proof"}
    return dict(with_proof(bare | {"id": theirs.group.server.new("activities")}, theirs.pin.ed, now_ms()))


# --- what our own instance answers -----------------------------------------------------------------


async def test_what_is_asked_again_is_answered_by_an_activity_of_its_own(theirs: Theirs) -> None:
    """Its host takes an activity once: an answer that it could make nothing of the first time was never heard."""
    recall = theirs.recall([await theirs.tells()])
    assert await theirs.here.take(recall, theirs.pin.ed) == ""
    first = await theirs.purged()
    assert await theirs.here.take(once_more(theirs, recall), theirs.pin.ed) == ""
    second = await theirs.purged()
    assert first is not None and second is not None and first["id"] != second["id"]
    assert {name: first[name] for name in ("inReplyTo", "parvis:root", "parvis:purged", "endTime")} == {
        name: second[name] for name in ("inReplyTo", "parvis:root", "parvis:purged", "endTime")
    }


async def test_a_recall_of_a_space_that_is_not_known_here_is_answered_all_the_same(
    theirs: Theirs, kestrel: OtherServer
) -> None:
    """Our database was put back to before we heard of it; its host shows us nothing of it any more."""
    group = kestrel.actor("oublié", "Group", "/spaces/oublie")
    del kestrel.there.scenes["/spaces/oublie"]
    forgotten = Theirs(theirs.here, theirs.pin, group, theirs.chloe, 0)
    uris = [kestrel.new("notes")]
    assert await theirs.here.take(forgotten.recall(uris), theirs.pin.ed) == ""
    receipt = await forgotten.purged()
    assert receipt is not None and receipt["parvis:root"] == root_of(uris)
    assert receipt["parvis:purged"]["items"] == 1 and receipt["parvis:retained"] == []
