"""Every address that another instance may call, on one page, and what each answers to whom.

A document is for who signed the request and for the time being: the policy is asked each time. Addresses that are
pages too stand here only for those who ask for ActivityStreams (see `Shared`).
"""

from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from federation import facts, mirroring, own_words, resync, wellknown
from federation.answering import InTurn, Shared, answered, document, nothing, viewer_of, whole_number
from federation.documents import actors, collections
from federation.documents.posts import alone, note, read_told, tombstone
from federation.documents.recalls import page, recall_uri
from federation.errors import FederationError
from federation.inbox import Inbox, signed_request
from federation.instance import Instance
from federation.keyring import instance_actor_id
from federation.own_actors import OwnPerson, OwnSpace, is_gone, own_person, own_space
from federation.peering import PATH as PEERING
from federation.peering import Peering
from federation.recall_messages import page_of
from federation.verify import verify
from federation.vocabulary import CONTEXT, moment, newcomers
from server import database as db
from server.errors import NotFound
from server.queries import collected, posts
from server.queries.collected import Entries
from server.queries.newcomers import newcomers_from
from server.queries.posts import SeenPost
from server.queries.withdrawn import was_public
from server.viewer import PeerServer, Viewer, side_of

MOST_PAGES = 1_000_000
INBOXES = ("/inbox", "/actor/inbox", "/@{name}/inbox", "/spaces/{slug}/inbox")


def routes(instance: Instance, inbox: Inbox) -> list[Route]:
    """What is mounted before everything that is made for browsers."""
    own = Documents(instance)
    documents = {
        "/@{name}": own.person,
        "/@{name}/outbox": own.person_outbox,
        "/@{name}/followers": own.person_followers,
        "/@{name}/following": own.person_following,
        "/spaces/{slug}": own.space,
        "/spaces/{slug}/outbox": own.space_outbox,
        "/spaces/{slug}/members": own.space_members,
        "/spaces/{slug}/recalls/{id}/items": own.recall_items,
        "/posts/{id}": own.post,
        "/posts/{id}/replies": own.post_replies,
        "/posts/{id}/context": own.post_context,
        "/posts/{id}/mirror": own.post_mirror,
        "/posts/{id}/replica": own.post_replica,
        "/activities/{id}": own.activity,
        "/activities/{id}/announce": own.activity_announce,
        "/activities/{id}/mirror": own.activity_mirror,
    }
    if not instance.federates:
        closed = [Shared(path, nothing) for path in documents]
        shut = [Route(path, nothing, methods=["POST"]) for path in (*INBOXES, PEERING)]
        return [*wellknown.routes(instance), Route("/actor", nothing), *closed, *shut]
    return [
        *wellknown.routes(instance),
        Route("/actor", answered(own.instance_actor)),
        *(Shared(path, answered(endpoint)) for path, endpoint in documents.items()),
        *(Route(path, inbox.__call__, methods=["POST"]) for path in INBOXES),
        Route(f"{PEERING}/state", answered(own.peering_state)),
        Route(mirroring.PATH, answered(own.partner_mirror)),
        Route(PEERING, Peering(instance).__call__, methods=["POST"]),
    ]


class Documents:
    """The documents of one instance."""

    def __init__(self, instance: Instance) -> None:
        self.instance = instance
        self.here = instance.here
        self._in_turn = InTurn()

    async def _viewer(self, request: Request) -> Viewer:
        return await viewer_of(self.instance, request)

    async def peering_state(self, request: Request) -> Response:
        """What both hold of a shared space, for a linked instance that compares."""
        asked = request.query_params
        day = 0 if asked.get("day") == "0" else whole_number(asked.get("day"))
        after, space = asked.get("after", "")[:512], asked.get("space", "")[:512]
        viewer = await self._viewer(request)
        if "own" in asked:
            own = whole_number(asked["own"] or None) or 0
            return await self._in_turn.answer(viewer, lambda: own_words.given(viewer, space, own))
        return await self._in_turn.answer(viewer, lambda: resync.state(viewer, space, day, after))

    async def partner_mirror(self, request: Request) -> Response:
        """What the linked instance that asks sees here, and what we hold of it: to it alone."""
        return document(await mirroring.told(self.instance, await self._viewer(request)))

    # --- actors -----------------------------------------------------------------------------------

    async def instance_actor(self, request: Request) -> Response:
        """For anybody: whoever is strict about signatures must begin with somebody's key."""
        await instance_actor_id(self.instance)
        return document(await actors.application(self.instance))

    async def person(self, request: Request) -> Response:
        name, viewer = request.path_params["name"], await self._viewer(request)
        try:
            found = await own_person(self.instance, viewer, name)
        except NotFound:
            if not await is_gone(self.instance, viewer, name):
                raise
            gone = {"@context": CONTEXT, "id": self.here.person(name), "type": "Tombstone", "formerType": "Person"}
            return document(gone, 410)
        return document(await actors.person(self.instance, found.actor, full=found.full))

    async def space(self, request: Request) -> Response:
        viewer = await self._viewer(request)
        found = await own_space(self.instance, viewer, request.path_params["slug"])
        space = found.space
        row = await db.fetch_one("SELECT proofs FROM space WHERE id = $1", space.id)
        told = await actors.group(
            self.instance,
            found.actor,
            space.level,
            space.epoch,
            full=found.full,
            proofs=row is None or bool(row["proofs"]),
            newcomers_from=await newcomers_from(space) if _linked(viewer) else None,
        )
        return document(told)

    # --- their collections ------------------------------------------------------------------------

    async def person_outbox(self, request: Request) -> Response:
        viewer, found = await self._person(request)
        uri, after = f"{found.actor.uri}/outbox", _after(request)
        if not _paged(request):
            return document(collections.collection(uri))
        written = await collected.written_by(viewer, found.actor_id, after)
        items = collections.created(written, found.actor.uri, self.here)
        return document(collections.page(uri, after, written, items))

    async def person_followers(self, request: Request) -> Response:
        return await self._follows(request, "followers", collected.followers)

    async def person_following(self, request: Request) -> Response:
        return await self._follows(request, "following", collected.following)

    async def _follows(
        self, request: Request, name: str, read: Callable[[Viewer, int, int | None], Awaitable[Entries]]
    ) -> Response:
        """To a server its own people; how many others there are, to nobody."""
        viewer, found = await self._person(request)
        uri = await _part(request, viewer, f"{found.actor.uri}/{name}")
        if not _paged(request):
            return document(collections.collection(uri, paged=isinstance(viewer, PeerServer)))
        after = _after(request)
        entries = await read(viewer, found.actor_id, after)
        return document(collections.page(uri, after, entries, collections.addresses(entries)))

    async def _person(self, request: Request) -> tuple[Viewer, OwnPerson]:
        viewer = await self._viewer(request)
        found = await own_person(self.instance, viewer, request.path_params["name"])
        if not found.full:
            raise NotFound(detail="more than the keys is for linked instances")
        return viewer, found

    async def space_outbox(self, request: Request) -> Response:
        viewer, found = await self._space(request)
        uri, after = f"{found.actor.uri}/outbox", _after(request)
        if not _paged(request):
            return document(collections.collection(uri))
        written = await collected.written_in(viewer, found.space.id, after)
        items = collections.announced(written, found.actor.uri, self.here)
        return document(collections.page(uri, after, written, items))

    async def space_members(self, request: Request) -> Response:
        """FEP-8fcf's partial collection with `?host=`; never anybody of a third instance."""
        viewer, found = await self._space(request)
        whole = f"{found.actor.uri}/members"
        uri = await _part(request, viewer, whole)
        if not _paged(request):
            total = await collected.count_members(viewer, found.space, own_only=uri != whole)
            whole_list = collections.collection(uri, paged=isinstance(viewer, PeerServer), total=total)
            return document({**whole_list, "parvis:policyEpoch": found.space.epoch})
        after = _after(request)
        entries = await collected.members(viewer, found.space, after, own_only=uri != whole)
        page = collections.page(uri, after, entries, collections.addresses(entries))
        told: dict[str, Any] = {"parvis:policyEpoch": found.space.epoch}
        if uri != whole and _linked(viewer) and entries.entries:
            told |= {"parvis:since": {entry.uri: moment(entry.at) for entry in entries.entries}}
            told |= newcomers(await newcomers_from(found.space))
        return document({**page, **told})

    async def recall_items(self, request: Request) -> Response:
        """What was taken back from the instance that asks; its link may have ended, its key stands."""
        try:
            signed = signed_request(self.instance, request, b"")
            sender = await verify(self.instance, signed)
        except FederationError:
            raise NotFound(detail="for the instance that it was told to") from None
        number = whole_number(request.query_params.get("page")) or 0
        if urlsplit(sender.actor_uri).path != "/actor" or number > MOST_PAGES:
            raise NotFound(detail="for the instance itself")
        recall_id, slug = whole_number(request.path_params["id"]) or 0, request.path_params["slug"]
        found = await page_of(recall_id, sender.peer_id or 0, number)
        if found is None or await _slug_of(recall_id) != slug:
            raise NotFound(detail="for the instance that it was told to")
        return document(page(recall_uri(self.here.space(slug), recall_id), number, found[0], more=found[1]))

    async def _space(self, request: Request) -> tuple[Viewer, OwnSpace]:
        viewer = await self._viewer(request)
        found = await own_space(self.instance, viewer, request.path_params["slug"])
        if not found.full:
            raise NotFound(detail="more than the keys is for those who may know of it")
        return viewer, found

    # --- posts ------------------------------------------------------------------------------------

    async def post(self, request: Request) -> Response:
        """What was written here, by its reader's right; of what was for all, a tombstone stays."""
        post_id = _id(request)
        viewer = await self._viewer(request)
        try:
            found = await self._post(viewer, post_id)
        except NotFound:
            return await self._withdrawn(post_id)
        told = await read_told(found.id)
        if told is None or told.deleted_at is not None:
            raise NotFound(detail="taken back meanwhile")
        return document(alone(note(told, self.here, side_of(viewer))))

    async def _withdrawn(self, post_id: int) -> Response:
        told = await read_told(post_id) if await was_public(post_id) else None
        if told is None:
            raise NotFound(detail="nothing there for this asker")
        return document(alone(tombstone(told)), 410)

    async def post_replies(self, request: Request) -> Response:
        viewer = await self._viewer(request)
        found = await self._post(viewer, _id(request))
        return await self._listed(request, f"{found.uri}/replies", viewer, found.id, collected.answers, "")

    async def post_context(self, request: Request) -> Response:
        """A thread is the collection of the post that began it (FEP-7888, FEP-f228)."""
        viewer = await self._viewer(request)
        found = await self._post(viewer, _id(request))
        if found.root_id is not None:
            raise NotFound(detail="an answer began no thread")
        owner = found.space.uri if found.space else await _uri_of(found.author_id)
        return await self._listed(request, f"{found.uri}/context", viewer, found.id, collected.conversation, owner)

    async def _listed(
        self,
        request: Request,
        uri: str,
        viewer: Viewer,
        post_id: int,
        read: Callable[[Viewer, int, int | None], Awaitable[Entries]],
        owner: str,
    ) -> Response:
        if not _paged(request):
            return document(collections.collection(uri, owner=owner))
        after = _after(request)
        entries = await read(viewer, post_id, after)
        return document(collections.page(uri, after, entries, collections.addresses(entries)))

    async def post_mirror(self, request: Request) -> Response:
        """The Note in which a space told a post itself, for servers that no link ties to us."""
        viewer = await self._viewer(request)
        return document(await facts.mirror(self.instance, viewer, _id(request)))

    async def post_replica(self, request: Request) -> Response:
        """The relay of a post in a space of ours, for a linked instance that missed it."""
        viewer = await self._viewer(request)
        return document(await facts.replica(self.instance, viewer, _id(request)))

    async def _post(self, viewer: Viewer, post_id: int) -> SeenPost:
        """Raises NotFound: also for what somebody elsewhere wrote, which only its own instance serves."""
        found = await posts.find(viewer, post_id)
        if found.peer_id is not None:
            raise NotFound(detail="written elsewhere")
        return found

    # --- activities -------------------------------------------------------------------------------

    async def activity(self, request: Request) -> Response:
        return await self._activity(request, "")

    async def activity_announce(self, request: Request) -> Response:
        return await self._activity(request, "/announce")

    async def activity_mirror(self, request: Request) -> Response:
        return await self._activity(request, "/mirror")

    async def _activity(self, request: Request, suffix: str) -> Response:
        viewer = await self._viewer(request)
        return document(await facts.told(self.instance, viewer, _id(request), suffix))


def _id(request: Request) -> int:
    found = whole_number(request.path_params["id"])
    assert found is not None
    return found


def _linked(viewer: Viewer) -> bool:
    """Whether spaces are shared with whoever asks: how their people come in is for nobody else."""
    return isinstance(viewer, PeerServer) and viewer.linked


def _paged(request: Request) -> bool:
    return request.query_params.get("page") == "true"


def _after(request: Request) -> int | None:
    return whole_number(request.query_params.get("after"))


async def _part(request: Request, viewer: Viewer, uri: str) -> str:
    """The collection's address, or that of the asker's own part. Raises NotFound for another's part."""
    host = request.query_params.get("host")
    if host is None:
        return uri
    peer_id = viewer.peer_id if isinstance(viewer, PeerServer) else 0
    row = await db.fetch_one("SELECT host FROM peer WHERE id = $1", peer_id)
    if row is None or row["host"] != host:
        raise NotFound(detail="another server's part")
    return f"{uri}?host={host}"


async def _slug_of(recall_id: int) -> str:
    row = await db.fetch_one("SELECT s.slug FROM recall r JOIN space s ON s.id = r.space_id WHERE r.id = $1", recall_id)
    return row["slug"] if row else ""


async def _uri_of(actor_id: int) -> str:
    row = await db.fetch_one("SELECT uri FROM actor WHERE id = $1", actor_id)
    return row["uri"] if row else ""
