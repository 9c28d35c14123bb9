"""What this instance is and how much it takes, for clients that are being set up."""

from starlette.responses import Response

from server import limits
from server.settings import Settings
from web.api.calls import Call, json

VERSION = "0.1.0"
SPEAKS_LIKE = f"4.2.0 (compatible; Parvis {VERSION})"
"""Clients of the field read the version to know which calls they may make."""
CHARACTERS = limits.SOURCE_BYTES // 4
"""Of any kind; a character has at most four bytes in UTF-8."""


async def second(call: Call) -> Response:
    """`/api/v2/instance`."""
    settings: Settings = call.request.app.state.settings
    return json(
        {
            "domain": call.here.host,
            "title": settings.name,
            "version": SPEAKS_LIKE,
            "source_url": "",
            "description": "",
            "usage": {"users": {"active_month": 0}},
            "thumbnail": {"url": f"{call.here.base}/static/person.svg"},
            "icon": [],
            "languages": [settings.default_language],
            "configuration": configuration(),
            "registrations": {"enabled": False, "approval_required": False, "message": None},
            "api_versions": {"mastodon": 1},
            "contact": {"email": "", "account": None},
            "rules": [],
        }
    )


async def first(call: Call) -> Response:
    """`/api/v1/instance`."""
    settings: Settings = call.request.app.state.settings
    return json(
        {
            "uri": call.here.host,
            "title": settings.name,
            "short_description": "",
            "description": "",
            "email": "",
            "version": SPEAKS_LIKE,
            "urls": {},
            "stats": {"user_count": 0, "status_count": 0, "domain_count": 0},
            "thumbnail": None,
            "languages": [settings.default_language],
            "registrations": False,
            "approval_required": False,
            "invites_enabled": False,
            "configuration": configuration(),
            "contact_account": None,
            "rules": [],
        }
    )


async def emojis(call: Call) -> Response:
    """None of our own."""
    return json([])


def configuration() -> dict[str, object]:
    """How much we take; counts of people and posts are nobody's business outside."""
    return {
        "urls": {},
        "vapid": {"public_key": ""},
        "accounts": {"max_featured_tags": 0, "max_pinned_statuses": 0},
        "statuses": {
            "max_characters": CHARACTERS,
            "max_media_attachments": limits.ATTACHMENTS,
            "characters_reserved_per_url": 0,
        },
        "media_attachments": {
            "supported_mime_types": [],
            "image_size_limit": limits.UPLOAD_BYTES,
            "video_size_limit": limits.UPLOAD_BYTES,
            "image_matrix_limit": 0,
            "video_frame_rate_limit": 0,
            "video_matrix_limit": 0,
        },
        "polls": {
            "max_options": limits.POLL_OPTIONS,
            "max_characters_per_option": limits.POLL_OPTION_CHARACTERS,
            "min_expiration": limits.POLL_SHORTEST_S,
            "max_expiration": limits.POLL_LONGEST_S,
        },
        "translation": {"enabled": False},
    }
