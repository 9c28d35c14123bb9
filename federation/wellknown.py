"""How we are found: WebFinger (RFC 7033), host-meta (RFC 6415), NodeInfo 2.1 (FEP-f1d5), robots.txt.

They count nobody and name no space but those that the asker may know of. A name that is nobody's, one that is
hidden from the asker and one of another host get the same bytes.
"""

from collections.abc import Mapping
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from federation.answering import FOR_ALL, FOR_THE_ASKER, answered, not_found, nothing, viewer_of
from federation.documents.actors import OwnActor
from federation.instance import Instance
from federation.own_actors import own_person, own_space
from federation.vocabulary import ACTIVITY_JSON, ACTIVITY_STREAMS
from server.errors import NotFound
from server.viewer import Viewer

VERSION = "0.1.0"
JRD = "application/jrd+json"
XRD = "application/xrd+xml"
NODEINFO_SCHEMA = "http://nodeinfo.diaspora.software/ns/schema/2.1"
PROFILE_PAGE = "http://webfinger.net/rel/profile-page"
OPEN_TO_SCRIPTS = {"access-control-allow-origin": "*"}
ROBOTS = "User-agent: *\nDisallow: /\n"
"""Nobody indexes an instance unless a later version lets a public space ask for it."""


def routes(instance: Instance) -> list[Route]:
    """All of them; an instance that does not federate only tells robots to go."""
    found = Discovery(instance)
    told = {
        "/.well-known/webfinger": found.webfinger,
        "/.well-known/host-meta": found.host_meta,
        "/.well-known/host-meta.json": found.host_meta,
        "/.well-known/nodeinfo": found.nodeinfo_links,
        "/nodeinfo/2.1": found.nodeinfo,
    }
    doors = {path: answered(endpoint) if instance.federates else nothing for path, endpoint in told.items()}
    return [*(Route(path, endpoint) for path, endpoint in doors.items()), Route("/robots.txt", robots)]


class Discovery:
    """The answers of one instance."""

    def __init__(self, instance: Instance) -> None:
        self.instance = instance
        self.here = instance.here

    async def webfinger(self, request: Request) -> Response:
        """RFC 7033 §4. 400 without exactly one resource; 404 for everybody who is not there for this asker."""
        asked = request.query_params.getlist("resource")
        if len(asked) != 1 or not asked[0]:
            sentence = {"error": "Name exactly one resource."}
            return _json(sentence, "application/json", {**FOR_THE_ASKER, **OPEN_TO_SCRIPTS}, 400)
        viewer = await viewer_of(self.instance, request)
        try:
            described = await self._described(viewer, asked[0])
        except NotFound:
            refusal = not_found()
            refusal.headers.update(OPEN_TO_SCRIPTS)
            return refusal
        wanted = request.query_params.getlist("rel")
        if wanted:
            described["links"] = [link for link in described["links"] if link["rel"] in wanted]
        return _json(described, JRD, {**FOR_THE_ASKER, **OPEN_TO_SCRIPTS})

    async def _described(self, viewer: Viewer, resource: str) -> dict[str, Any]:
        kind, name = self._named(resource)
        if kind == "instance":
            return self._instance()
        if kind in ("person", "any"):
            try:
                return self._actor((await own_person(self.instance, viewer, name)).actor)
            except NotFound:
                if kind == "person":
                    raise
        return self._actor((await own_space(self.instance, viewer, name)).actor)

    def _named(self, resource: str) -> tuple[str, str]:
        """What a resource names: an address of ours, or name@host. Raises NotFound for anything else."""
        here = self.here
        if "://" in resource:
            if resource in (here.base, f"{here.base}/", here.instance):
                return "instance", ""
            for kind, start in (("person", here.person("")), ("space", here.space(""))):
                if resource.startswith(start):
                    return kind, resource.removeprefix(start)
            raise NotFound(detail="not an address of ours")
        name, _, host = resource.removeprefix("acct:").removeprefix("@").lower().rpartition("@")
        if host != here.host:
            raise NotFound(detail="not a host of ours")
        return ("instance", "") if name == here.host else ("any", name)

    def _actor(self, actor: OwnActor) -> dict[str, Any]:
        return {
            "subject": f"acct:{actor.name}@{self.here.host}",
            "aliases": [actor.uri],
            "links": [
                {"rel": "self", "type": ACTIVITY_JSON, "href": actor.uri},
                {"rel": PROFILE_PAGE, "type": "text/html", "href": actor.uri},
            ],
        }

    def _instance(self) -> dict[str, Any]:
        """FEP-d556; `self` as well, for software that looks for nothing else."""
        actor = {"type": ACTIVITY_JSON, "href": self.here.instance}
        return {
            "subject": f"acct:{self.here.host}@{self.here.host}",
            "aliases": [self.here.instance, f"{self.here.base}/"],
            "links": [{"rel": f"{ACTIVITY_STREAMS}#Service", **actor}, {"rel": "self", **actor}],
        }

    async def host_meta(self, request: Request) -> Response:
        """RFC 6415: where WebFinger is; in JSON at its own address or when only that is asked for."""
        template = f"{self.here.base}/.well-known/webfinger?resource={{uri}}"
        accept = request.headers.get("accept", "")
        if request.url.path.endswith(".json") or ("json" in accept and "xml" not in accept):
            return _json({"links": [{"rel": "lrdd", "type": JRD, "template": template}]}, JRD, FOR_ALL)
        text = (
            '<?xml version="1.0" encoding="UTF-8"?>\n<XRD xmlns="http://docs.oasis-open.org/ns/xri/xrd-1.0">'
            f'<Link rel="lrdd" type="{JRD}" template="{template}"/></XRD>\n'
        )
        return Response(text, 200, {**FOR_ALL, "vary": "Accept"}, XRD)

    async def nodeinfo_links(self, request: Request) -> Response:
        """FEP-f1d5, with the instance's own actor (FEP-2677)."""
        links = [
            {"rel": NODEINFO_SCHEMA, "href": f"{self.here.base}/nodeinfo/2.1"},
            {"rel": f"{ACTIVITY_STREAMS}#Application", "href": self.here.instance},
        ]
        return _json({"links": links}, JRD, FOR_ALL)

    async def nodeinfo(self, request: Request) -> Response:
        """NodeInfo 2.1 without its optional counts: how many work here is for nobody to know."""
        told = {
            "version": "2.1",
            "software": {"name": "parvis", "version": VERSION},
            "protocols": ["activitypub"],
            "services": {"inbound": [], "outbound": []},
            "openRegistrations": False,
            "usage": {"users": {}},
            "metadata": {"nodeName": self.instance.settings.name},
        }
        return _json(told, f'application/json; profile="{NODEINFO_SCHEMA}#"', FOR_ALL)


async def robots(request: Request) -> Response:
    return PlainTextResponse(ROBOTS, headers=FOR_ALL)


def _json(value: Mapping[str, Any], media_type: str, headers: Mapping[str, str], status: int = 200) -> Response:
    return Response(msgspec.json.encode(value), status, headers, media_type)
