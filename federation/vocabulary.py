"""ActivityStreams names, contexts and content types, as the W3C texts and the FEPs spell them."""

from datetime import UTC, datetime
from typing import Any

ACTIVITY_STREAMS = "https://www.w3.org/ns/activitystreams"
SECURITY = "https://w3id.org/security/v1"
MULTIKEY = "https://w3id.org/security/multikey/v1"
DATA_INTEGRITY = "https://w3id.org/security/data-integrity/v2"
PARVIS = "https://parvis.example/ns#"
LINK_V1 = f"{PARVIS}link-v1"

RECALL = "parvis:Recall"
CONSENT = "parvis:historyConsent"
CONSENTS = ("allow", "deny")
RECEIPT = "parvis:RecallReceipt"

PUBLIC = f"{ACTIVITY_STREAMS}#Public"
PUBLIC_NAMES = frozenset({PUBLIC, "as:Public", "Public"})

ACTIVITY_JSON = "application/activity+json"
CONTEXT: list[Any] = [
    ACTIVITY_STREAMS,
    SECURITY,
    MULTIKEY,
    DATA_INTEGRITY,
    {
        "parvis": PARVIS,
        "toot": "http://joinmastodon.org/ns#",
        "sensitive": "as:sensitive",
        "manuallyApprovesFollowers": "as:manuallyApprovesFollowers",
        "discoverable": "toot:discoverable",
        "indexable": "toot:indexable",
        "votersCount": "toot:votersCount",
        "Hashtag": "as:Hashtag",
        "EmojiReact": "http://litepub.social/ns#EmojiReact",
        "digestMultibase": "https://w3id.org/security#digestMultibase",
    },
]

ACTORS = frozenset({"Person", "Service", "Application", "Group", "Organization"})
NOTES = frozenset({"Note", "Article", "Page", "Question", "Event", "Video", "Audio", "Image", "Document"})


def moment(ms: int) -> str:
    """Milliseconds since 1970 as xsd:dateTime in UTC."""
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def newcomers(since: int | None) -> dict[str, str]:
    """What says since when (ms) the words of a space are for people of the receiver who come in later, too; None: none
    of those before.
    """
    return {} if since is None else {"parvis:newcomersFrom": moment(since)}
