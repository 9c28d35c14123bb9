"""Pages of a list by keyset: which part is asked for, and the addresses of its neighbours."""

from collections.abc import Sequence
from urllib.parse import urlencode

from server.queries.timelines import Window
from web.api.calls import Call
from web.api.fields import LARGEST

PAGE = 20
MOST = 40
KEPT = ("limit", "types", "exclude_types", "exclude_replies", "only_media", "local", "remote", "q", "type")


def window(call: Call, most: int = MOST) -> Window:
    """What the caller asks for: older than `max_id`, newer than `since_id`, or just after `min_id`.

    A `limit` above `most` is brought down to it, as clients of the field expect.
    """
    fields = call.fields
    upward = fields.identifier("min_id")
    return Window(
        before=fields.identifier("max_id"),
        after=fields.identifier("since_id") if upward is None else upward,
        limit=min(fields.whole("limit", 1, LARGEST) or min(PAGE, most), most),
        upward=upward is not None,
    )


def links(call: Call, ids: Sequence[int]) -> dict[str, str]:
    """The Link header (RFC 8288) of a page that holds these ids; none for an empty page."""
    if not ids:
        return {}
    address = call.here.base + call.request.url.path
    kept = [(_list_name(name, values), value) for name, values in _kept(call).items() for value in values]
    older, newer = (urlencode([*kept, (key, i)]) for key, i in (("max_id", min(ids)), ("min_id", max(ids))))
    return {"link": f'<{address}?{older}>; rel="next", <{address}?{newer}>; rel="prev"'}


def _kept(call: Call) -> dict[str, list[str]]:
    return {name: [str(value) for value in call.fields.values[name]] for name in KEPT if name in call.fields}


def _list_name(name: str, values: Sequence[str]) -> str:
    return f"{name}[]" if name in ("types", "exclude_types") else name
