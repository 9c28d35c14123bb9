"""Every address of the client API, on one page."""

from collections.abc import Sequence

from starlette.routing import Route

from web.api import (
    accounts,
    explain,
    instance,
    media,
    notifications,
    oauth,
    parvis,
    policies,
    polls,
    recalls,
    search,
    statuses,
    timelines,
)
from web.api.calls import Endpoint
from web.api.operations import describing

FIELD: Sequence[Endpoint] = (
    Endpoint("GET", "/api/v1/instance", instance.first),
    Endpoint("GET", "/api/v2/instance", instance.second),
    Endpoint("GET", "/api/v1/custom_emojis", instance.emojis),
    Endpoint("GET", "/api/v1/accounts/verify_credentials", accounts.verify_credentials, "read:accounts"),
    Endpoint("GET", "/api/v1/accounts/lookup", accounts.lookup, "read:accounts"),
    Endpoint("GET", "/api/v1/accounts/search", search.of_accounts, "read:accounts"),
    Endpoint("GET", "/api/v1/accounts/relationships", accounts.relationships, "read:follows"),
    Endpoint("GET", "/api/v1/accounts/{id}", accounts.show, "read:accounts"),
    Endpoint("GET", "/api/v1/accounts/{id}/statuses", accounts.statuses, "read:statuses"),
    Endpoint("POST", "/api/v1/accounts/{id}/follow", accounts.follow, "write:follows"),
    Endpoint("POST", "/api/v1/accounts/{id}/unfollow", accounts.unfollow, "write:follows"),
    Endpoint("POST", "/api/v1/statuses", statuses.create, "write:statuses"),
    Endpoint("GET", "/api/v1/statuses/{id}", statuses.show, "read:statuses"),
    Endpoint("PUT", "/api/v1/statuses/{id}", statuses.edit, "write:statuses"),
    Endpoint("DELETE", "/api/v1/statuses/{id}", statuses.withdraw, "write:statuses"),
    Endpoint("GET", "/api/v1/statuses/{id}/source", statuses.source, "read:statuses"),
    Endpoint("GET", "/api/v1/statuses/{id}/context", statuses.context, "read:statuses"),
    Endpoint("POST", "/api/v1/statuses/{id}/favourite", statuses.favourite, "write:favourites"),
    Endpoint("POST", "/api/v1/statuses/{id}/unfavourite", statuses.unfavourite, "write:favourites"),
    Endpoint("GET", "/api/v1/polls/{id}", polls.show, "read:statuses"),
    Endpoint("POST", "/api/v1/polls/{id}/votes", polls.vote, "write:statuses"),
    Endpoint("GET", "/api/v1/timelines/home", timelines.home, "read:statuses"),
    Endpoint("GET", "/api/v1/timelines/public", timelines.public, "read:statuses"),
    Endpoint("GET", "/api/v1/timelines/list/{id}", timelines.of_list, "read:lists"),
    Endpoint("GET", "/api/v1/lists", timelines.lists, "read:lists"),
    Endpoint("GET", "/api/v1/lists/{id}", timelines.show_list, "read:lists"),
    Endpoint("GET", "/api/v1/notifications", notifications.listed, "read:notifications"),
    Endpoint("GET", "/api/v1/notifications/unread_count", notifications.unread, "read:notifications"),
    Endpoint("POST", "/api/v1/notifications/clear", notifications.clear, "write:notifications"),
    Endpoint("GET", "/api/v1/notifications/{id}", notifications.show, "read:notifications"),
    Endpoint("POST", "/api/v1/media", media.bring, "write:media", reads_body=False),
    Endpoint("POST", "/api/v2/media", media.bring, "write:media", reads_body=False),
    Endpoint("GET", "/api/v1/media/{id}", media.show, "read:statuses"),
    Endpoint("PUT", "/api/v1/media/{id}", media.describe, "write:media", reads_body=False),
    Endpoint("POST", "/oauth/revoke", oauth.revoke),
    Endpoint("GET", "/api/v2/search", search.everything, "read:search"),
)

OPERATIONS = (*parvis.OPERATIONS, *policies.OPERATIONS, *recalls.OPERATIONS, *explain.OPERATIONS)
OURS: Sequence[Endpoint] = (*(o.endpoint() for o in OPERATIONS), describing(OPERATIONS))

ENDPOINTS: Sequence[Endpoint] = (*FIELD, *OURS)


def routes() -> list[Route]:
    """Starlette's routes, in the order of the page: fixed addresses stand before those with places in them."""
    return [endpoint.route() for endpoint in ENDPOINTS]
