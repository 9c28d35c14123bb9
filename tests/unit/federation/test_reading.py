"""The shapes of the field, read: what Mastodon, GoToSocial, Lemmy, Misskey, Pleroma, PeerTube and others say.

Every document here is written for this test, with invented names, in the shape of its software.
"""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from federation import reading, vocabulary
from federation.errors import FederationError

AS = "https://www.w3.org/ns/activitystreams"
SECURITY = "https://w3id.org/security/v1"
PUBLIC = f"{AS}#Public"
Json = dict[str, Any]

TOOT = {
    "manuallyApprovesFollowers": "as:manuallyApprovesFollowers",
    "toot": "http://joinmastodon.org/ns#",
    "featured": {"@id": "toot:featured", "@type": "@id"},
    "alsoKnownAs": {"@id": "as:alsoKnownAs", "@type": "@id"},
    "movedTo": {"@id": "as:movedTo", "@type": "@id"},
    "schema": "http://schema.org#",
    "PropertyValue": "schema:PropertyValue",
    "value": "schema:value",
    "focalPoint": {"@container": "@list", "@id": "toot:focalPoint"},
    "Hashtag": "as:Hashtag",
    "sensitive": "as:sensitive",
}
PEM = "-----BEGIN PUBLIC KEY-----\nMII\n-----END PUBLIC KEY-----\n"


def person(base: str, name: str, context: Any, **more: Any) -> Json:
    uri = f"{base}/{name}"
    return {
        "@context": context,
        "id": uri,
        "type": "Person",
        "preferredUsername": name,
        "name": f"{name.title()} 🌿 d’Ailleurs",
        "summary": "<p>Des mots</p>",
        "inbox": f"{uri}/inbox",
        "outbox": f"{uri}/outbox",
        "followers": f"{uri}/followers",
        "endpoints": {"sharedInbox": f"{base}/inbox"},
        "publicKey": {"id": f"{uri}#main-key", "owner": uri, "publicKeyPem": PEM},
        "icon": {"type": "Image", "mediaType": "image/png", "url": f"{base}/i.png"},
        **more,
    }


ACTORS: dict[str, Json] = {
    "mastodon": person(
        "https://mast.example/users",
        "nadia",
        [AS, SECURITY, TOOT],
        tag=[],
        attachment=[{"type": "PropertyValue", "name": "Web", "value": "<a href='https://nadia.example'>nadia</a>"}],
        devices="https://mast.example/users/nadia/collections/devices",
    ),
    "gotosocial": person("https://gts.example/users", "ole", [SECURITY, TOOT, AS], discoverable=True, featured="x")
    | {
        "publicKey": {
            "id": "https://gts.example/users/ole/main-key",
            "owner": "https://gts.example/users/ole",
            "publicKeyPem": PEM,
        }
    },
    "pleroma": person(
        "https://plero.example/users",
        "pia",
        [AS, "https://plero.example/schemas/litepub-0.1.jsonld", {"@language": "und"}],
        capabilities={"acceptsChatMessages": True},
    ),
    "misskey": person(
        "https://miss.example/users",
        "9xkq3",
        [
            AS,
            SECURITY,
            {
                **TOOT,
                "misskey": "https://misskey-hub.net/ns#",
                "_misskey_summary": "misskey:_misskey_summary",
                "quoteUrl": "as:quoteUrl",
                "vcard": "http://www.w3.org/2006/vcard/ns#",
            },
        ],
        sharedInbox="https://miss.example/inbox",
        isCat=True,
        preferredUsername="rin",
    ),
    "lemmy community": person(
        "https://lem.example/c",
        "jardins",
        ["https://join-lemmy.org/context.json", AS],
        type="Group",
        attributedTo="https://lem.example/c/jardins/moderators",
        postingRestrictedToMods=False,
        language=[{"identifier": "fr", "name": "Français"}],
    ),
    "peertube channel": person(
        "https://tube.example/video-channels",
        "films",
        [
            AS,
            SECURITY,
            {"RsaSignature2017": "https://w3id.org/security#RsaSignature2017"},
            {
                "pt": "https://joinpeertube.org/ns#",
                "sc": "http://schema.org/",
                "playlists": {"@id": "pt:playlists", "@type": "@id"},
                "support": {"@type": "sc:Text", "@id": "pt:support"},
                "lemmy": "https://join-lemmy.org/ns#",
                "icons": "as:icon",
            },
        ],
        type="Group",
        attributedTo=[{"type": "Person", "id": "https://tube.example/accounts/zora"}],
    ),
    "wordpress": person(
        "https://blog.example",
        "?author=1",
        [AS, SECURITY, TOOT],
        type="Person",
        webfinger="a@blog.example",
        preferredUsername="blog.example",
    )
    | {"endpoints": None, "icon": [], "summary": None},
    "service with multikeys": person(
        "https://bot.example",
        "meteo",
        [AS, "https://w3id.org/security/multikey/v1"],
        type="Service",
        assertionMethod=[
            {"id": "did:key:z6Mk#z6Mk", "type": "Multikey", "controller": "did:key:z6Mk", "publicKeyMultibase": "z6Mk"}
        ],
    ),
}


def note(base: str, **more: Any) -> Json:
    return {
        "id": f"{base}/notes/1",
        "type": "Note",
        "attributedTo": f"{base}/users/nadia",
        "content": "<p>Bonjour <span class='h-card'><a href='https://a.example/@alice'>@alice</a></span></p>",
        "to": [PUBLIC],
        "cc": [f"{base}/users/nadia/followers"],
        "published": "2026-01-05T10:00:00Z",
        **more,
    }


NOTES: dict[str, Json] = {
    "mastodon": note(
        "https://mast.example",
        summary=None,
        inReplyTo=None,
        sensitive=False,
        atomUri="x",
        conversation="tag:mast.example,2026:objectId=1:objectType=Conversation",
        contentMap={"fr": "<p>Bonjour <span class='h-card'><a href='https://a.example/@alice'>@alice</a></span></p>"},
        attachment=[
            {
                "type": "Document",
                "mediaType": "image/jpeg",
                "url": "https://files.mast.example/1.jpg",
                "name": None,
                "blurhash": "UBL",
                "focalPoint": [0.0, 0.0],
                "width": 10,
                "height": 10,
            }
        ],
        tag=[
            {"type": "Mention", "href": "https://a.example/@alice", "name": "@alice@a.example"},
            {"type": "Hashtag", "href": "https://mast.example/tags/x", "name": "#x"},
        ],
        replies={
            "id": "https://mast.example/notes/1/replies",
            "type": "Collection",
            "first": {"type": "CollectionPage", "items": []},
        },
    ),
    "gotosocial, everything single": note(
        "https://gts.example",
        to=PUBLIC,
        cc="https://gts.example/users/nadia/followers",
        tag={"type": "Mention", "href": "https://a.example/@alice"},
        attachment=[],
        interactionPolicy={"canReply": {"always": [PUBLIC]}},
    ),
    "pleroma": note(
        "https://plero.example",
        to=["as:Public"],
        actor="https://plero.example/users/nadia",
        source={"content": "Bonjour", "mediaType": "text/plain"},
        context="https://plero.example/contexts/1",
    ),
    "misskey": note(
        "https://miss.example",
        _misskey_content="Bonjour",
        source={"content": "Bonjour"},
        quoteUrl=None,
        tag=[{"type": "Emoji", "id": "x", "name": ":chat:", "icon": {"type": "Image", "url": "u"}}],
    ),
    "lemmy page": note(
        "https://lem.example",
        type="Page",
        name="Une question",
        audience="https://lem.example/c/jardins",
        to=["https://lem.example/c/jardins", PUBLIC],
        mediaType="text/html",
        attachment=[{"type": "Link", "href": "https://x.example"}],
        stickied=False,
        language={"identifier": "fr", "name": "Français"},
    ),
    "peertube video": note(
        "https://tube.example",
        type="Video",
        name="Un film",
        duration="PT30S",
        uuid="u",
        attributedTo=[
            {"type": "Person", "id": "https://tube.example/accounts/zora"},
            {"type": "Group", "id": "https://tube.example/video-channels/films"},
        ],
        url=[{"type": "Link", "mediaType": "text/html", "href": "https://tube.example/w/1"}],
    ),
    "wordpress article": note(
        "https://blog.example",
        type="Article",
        name="Billet",
        summary="<p>Extrait</p>" * 50,
        contentMap={"fr-FR": "<p>Billet</p>"},
        preview={"type": "Note", "content": "p"},
    ),
}

ACTIVITIES: dict[str, Json] = {
    "mastodon like": {
        "@context": AS,
        "id": "https://mast.example/users/nadia#likes/1",
        "type": "Like",
        "actor": "https://mast.example/users/nadia",
        "object": "https://a.example/posts/1",
    },
    "pleroma reaction": {
        "@context": [AS, "https://plero.example/schemas/litepub-0.1.jsonld", {"@language": "und"}],
        "id": "https://plero.example/activities/1",
        "type": "EmojiReact",
        "content": "🌿",
        "actor": "https://plero.example/users/nadia",
        "object": "https://a.example/posts/1",
    },
    "lemmy announce": {
        "@context": ["https://join-lemmy.org/context.json", AS],
        "id": "https://lem.example/a/1",
        "type": "Announce",
        "actor": "https://lem.example/c/jardins",
        "to": [PUBLIC],
        "object": {
            "id": "https://lem.example/a/2",
            "type": "Create",
            "actor": "https://lem.example/u/zoe",
            "object": NOTES["lemmy page"],
        },
    },
    "mastodon signed delete": {
        "@context": [AS, SECURITY],
        "id": "https://mast.example/users/nadia#delete",
        "type": "Delete",
        "actor": "https://mast.example/users/nadia",
        "to": [PUBLIC],
        "object": "https://mast.example/users/nadia",
        "signature": {"type": "RsaSignature2017", "signatureValue": "x"},
    },
    "bovine create, object in a list": {
        "@context": AS,
        "id": "https://bov.example/1",
        "type": "Create",
        "actor": {"id": "https://bov.example/u", "type": "Person"},
        "object": [note("https://bov.example")],
    },
    "misskey undo": {
        "@context": [AS, SECURITY],
        "id": "https://miss.example/follows/1/undo",
        "type": "Undo",
        "actor": "https://miss.example/users/9xkq3",
        "object": {
            "id": "https://miss.example/follows/1",
            "type": "Follow",
            "actor": "https://miss.example/users/9xkq3",
            "object": "https://a.example/@alice",
        },
    },
}


@pytest.mark.parametrize("software", ACTORS)
def test_an_actor_of_the_field_is_read(software: str) -> None:
    read = reading.actor(ACTORS[software])
    assert read.id and read.name and read.inbox and read.keys and read.display_name


@pytest.mark.parametrize("software", NOTES)
def test_a_post_of_the_field_is_read(software: str) -> None:
    reading.check_context(NOTES[software])
    read = reading.note(NOTES[software])
    assert read.id and read.author.startswith("https://") and read.content and read.public


@pytest.mark.parametrize(("said", "read"), [("Le coffret, ouvert", "Le coffret, ouvert"), ("coffret.png", "")])
def test_a_file_that_nobody_described_is_not_described_by_its_name(said: str, read: str) -> None:
    file = {"type": "Document", "url": "https://x.example/1", "parvis:fileName": "coffret.png", "name": said}
    [found] = reading.note(note("https://x.example", attachment=[file])).files
    assert (found.name, found.description) == ("coffret.png", read)


@pytest.mark.parametrize("software", ACTIVITIES)
def test_an_activity_of_the_field_is_read(software: str) -> None:
    read = reading.activity(ACTIVITIES[software])
    assert read.id and read.type and read.actor and read.object_id


def _walk(value: Any) -> list[list[Any]]:
    if isinstance(value, dict):
        return [[name, *rest] for name, item in value.items() for rest in [[], *_walk(item)]]
    if isinstance(value, list):
        return [[number, *rest] for number, item in enumerate(value) for rest in [[], *_walk(item)]]
    return []


NOISE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.just(PUBLIC),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["id", "type", "href", "@id"]), inner),
    max_leaves=5,
)


@given(st.sampled_from([*ACTORS.values(), *NOTES.values(), *ACTIVITIES.values()]), st.data())
def test_whatever_stands_in_a_document_it_is_read_or_refused_in_one_sentence(
    document: Json, data: st.DataObject
) -> None:
    *way, last = data.draw(st.sampled_from(_walk(document)))
    changed = _copy(document)
    place = changed
    for step in way:
        place = place[step]
    place[last] = data.draw(NOISE)
    for read in (reading.actor, reading.activity, reading.note):
        try:
            read(changed)
        except FederationError as error:
            assert error.sentence.endswith(".")


def _copy(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _copy(item) for name, item in value.items()}
    return [_copy(item) for item in value] if isinstance(value, list) else value


def test_a_date_that_cannot_be_written_again_is_none() -> None:
    """Whatever shows the post would fail with it, and a comparison of days."""
    for value in ("0001-01-01T00:00:00+23:00", "1969-12-31T23:59:59.999Z", "9999-12-31T23:59:59-23:00", "", 5, None):
        assert reading.moment(value) is None
    for at in (0, 5, 1_764_490_252_123, reading.LAST_MS):
        assert reading.moment(vocabulary.moment(at)) == at
