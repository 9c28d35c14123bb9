"""An instance that is not Parvis: the other end of a link, written from FEDERATION.md alone.

It shares no code with the product, and was written without looking at it: FEDERATION.md, RFC 9421, RFC 9530, FEP-521a
and FEP-8b32 are all that it stands on (`other_forms`, `other_link` and this). Where it and Parvis disagree, the page or
the product is wrong. It keeps everything in memory, serves over HTTP from a thread, and says what it has to say from
another one.
"""

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from tests.federation.other_forms import (
    CONTEXT,
    Document,
    Refused,
    actor_of,
    demand_proof,
    id_of,
    millis,
    moment,
    origin_of,
    prove,
    root_of,
)
from tests.federation.other_link import Linked


@dataclass
class Space:
    """A space here (`told`: what each instance was sent of it) or elsewhere: its members known here, and its posts."""

    id: str
    members: dict[str, str] = field(default_factory=dict)
    knows: set[str] = field(default_factory=set)  # whose instance took the word that they are in
    posts: dict[str, Document] = field(default_factory=dict)
    told: dict[str, set[str]] = field(default_factory=dict)

    @property
    def followers(self) -> str:
        return f"{self.id}/members"

    def of(self, origin: str) -> list[str]:
        return sorted(member for member in self.members if origin_of(member) == origin)


class OtherSide(Linked):
    """The instance, with spaces of its own and members in those of others."""

    def __init__(self, port: int) -> None:
        self.spaces: dict[str, Space] = {}
        self.receipts: dict[str, Document] = {}
        self.recalls: dict[str, tuple[Document, str]] = {}
        super().__init__(port)

    # --- a space of theirs ------------------------------------------------------------------------

    def join(self, person: str, space_id: str) -> Space:
        """Asks to come in, and waits for the answer."""
        space = self.spaces.setdefault(space_id, Space(space_id))
        join = self.activity("Join", person, [space_id], object=space_id)
        assert self.send(origin_of(space_id), join, f"{space_id}/inbox") == ""
        self.until(lambda: person in space.members, "an Accept")
        return space

    def _on_accept(self, origin: str, said: Document) -> None:
        if isinstance(said["object"], dict) and said["object"].get("type") == "Join":
            self.spaces[said["actor"]].members[said["object"]["actor"]] = said["published"]
        else:
            super()._on_accept(origin, said)

    def note(self, person: str, space: Space, content: str, **more: Any) -> Document:
        head = {"id": self.new("posts"), "type": "Note", "attributedTo": person, "to": [space.id, space.followers]}
        return {**head, "audience": space.id, "content": content, "published": moment(), **more}

    def about(self, kind: str, person: str, space: Space, what: Any) -> Document:
        """What somebody of ours does in a space, with their proof."""
        said = self.activity(kind, person, [space.id, space.followers], audience=space.id, object=what)
        return prove(said, self.people[person], f"{person}#key")

    def write(self, kind: str, person: str, space: Space, what: Any) -> str:
        """Says so to the host of the space; '' or the code of the error."""
        code = self.send(origin_of(space.id), self.about(kind, person, space, what), f"{space.id}/inbox")
        if not code and kind in ("Create", "Update"):
            space.posts[what["id"]] = what
        return code

    def _on_announce(self, origin: str, relay: Document) -> None:
        space, said = self.spaces.get(relay["actor"]), relay["object"]
        if space is None or origin_of(space.id) != origin or not space.members:
            raise Refused(404, "not-found")
        assert relay["parvis:membersRoot"] == root_of(space.members), "who is in"
        if said["type"] in ("Create", "Update") and origin_of(said["actor"]) == origin and said["actor"] != space.id:
            author = self.fetch(said["actor"])
            demand_proof(said, author["assertionMethod"][0]["publicKeyMultibase"], author["id"])
            space.posts[said["object"]["id"]] = {**said["object"], "published": relay["parvis:published"]}
        elif said["type"] == "Delete":
            space.posts.pop(id_of(said["object"]), None)

    def _on_remove(self, origin: str, said: Document) -> None:
        if said["actor"] in self.spaces:
            self.spaces[said["actor"]].members.pop(said["object"], None)

    def _on_recall(self, origin: str, said: Document) -> None:
        """Everything that is listed goes, and a receipt says so."""
        demand_proof(said, self.links[origin].key, self.links[origin].actor["id"])
        listed, ids = said["object"], said["object"]["orderedItems"]
        if origin_of(said["actor"]) != origin or root_of(ids) != listed["parvis:root"]:
            raise Refused(403, "untrusted")
        posts = self.spaces[said["actor"]].posts
        for gone in [post for post in posts if listed["parvis:scope"] == "space" or post in ids]:
            del posts[gone]
        head = {"@context": CONTEXT, "id": self.new("receipts"), "type": "parvis:RecallReceipt", "actor": self.actor}
        purged = {"items": len(ids), "media": 0, "index": 0, "notifications": 0, "derived": 0}
        rest = {"inReplyTo": said["parvis:recall"], "parvis:root": listed["parvis:root"], "endTime": moment()}
        receipt = {**head, **rest, "parvis:purged": purged, "parvis:retained": []}
        signed, inbox = prove(receipt, self.keys[0][1], self.key_id()), self.links[origin].actor["inbox"]
        self.to_do.put(lambda: self.send(origin, signed, inbox))

    # --- a space of ours --------------------------------------------------------------------------

    def found(self, slug: str, *members: str) -> Space:
        space = Space(f"{self.base}/spaces/{slug}", dict.fromkeys(members, moment()))
        self.spaces[space.id] = space
        return space

    def named(self) -> list[str]:
        return [*super().named(), *self.spaces]

    def shared(self, url: str, query: dict[str, str]) -> Document | None:
        if url == f"{self.base}/peering/state":
            return self._state(query)
        space = self.spaces.get(url.removesuffix("/members"))
        if space is None:
            return None
        return self._members(space, query) if url == space.followers else self._group(space)

    def _group(self, space: Space) -> Document:
        actor = actor_of("Group", space.id, space.id.rpartition("/")[2], "A space of the other side", [])
        policy = {"parvis:openness": "partners", "parvis:policyEpoch": 1, "parvis:proofs": True}
        return {**actor, "followers": space.followers, **policy}

    def _members(self, space: Space, query: dict[str, str]) -> Document:
        """With `?host=`: the asker's own people."""
        url = f"{space.followers}?host={query['host']}"
        people = [member for member in space.members if urlsplit(member).netloc == query["host"]]
        head = {"@context": CONTEXT, "totalItems": len(people), "parvis:policyEpoch": 1}
        if "page" not in query:
            return {**head, "id": url, "type": "OrderedCollection", "first": f"{url}&page=1"}
        since = {member: space.members[member] for member in people}
        page = {"id": f"{url}&page=1", "type": "OrderedCollectionPage", "partOf": url, "orderedItems": people}
        return {**head, **page, "parvis:since": since}

    def _state(self, query: dict[str, str]) -> Document | None:
        """What is held here of a space, for a comparison: its days, or one of them."""
        if query["space"] not in self.spaces or "own" in query:
            return None
        days: dict[int, list[tuple[str, int]]] = {}
        for post in self.spaces[query["space"]].posts.values():
            version = millis(post["updated"]) if "updated" in post else 0
            days.setdefault(millis(post["published"]) // 86_400_000, []).append((post["id"], version))
        if "day" in query:
            return {"parvis:items": [one for one in sorted(days[int(query["day"])]) if one[0] > query.get("after", "")]}
        lines = {day: [f"{one} {version}" for one, version in sorted(posts)] for day, posts in days.items()}
        listed = [[day, len(posts), root_of(posts)] for day, posts in sorted(lines.items())]
        return {"parvis:days": listed}

    def invite(self, space: Space, person: str) -> str:
        said = self.activity("Invite", space.id, [person], object=space.id, target=person)
        return self.send(origin_of(person), said, f"{person}/inbox")

    def _on_join(self, origin: str, said: Document) -> None:
        space = self.spaces[said["object"]]
        space.members[said["actor"]] = moment()
        accept = self.activity("Accept", space.id, [said["actor"]], object=said)

        def let_in() -> None:
            if self.send(origin, accept, f"{said['actor']}/inbox") == "":
                space.knows.add(said["actor"])

        self.to_do.put(let_in)

    def relay(self, space: Space, said: Document) -> str:
        """Tells each instance with a member what was said; '' or the last error's code."""
        code = ""
        for origin in sorted({origin_of(member) for member in space.members} - {self.base}):
            theirs, post = space.of(origin), said["object"]
            around = {"parvis:membersRoot": root_of(theirs), "parvis:membersCount": len(theirs)}
            around |= {"parvis:policyEpoch": 1, "parvis:published": post["published"], "audience": space.id}
            relay = self.activity("Announce", space.id, [space.followers, *theirs], object=said, **around)
            space.told.setdefault(origin, set()).add(post["id"])
            code = self.send(origin, relay, *(f"{member}/inbox" for member in theirs)) or code
        return code

    def _on_create(self, origin: str, said: Document) -> None:
        """Somebody elsewhere writes in a space of ours."""
        space = self.spaces.get(said.get("audience", ""))
        if space is None or said["actor"] not in space.members:
            raise Refused(403, "policy")
        author = self.fetch(said["actor"])
        demand_proof(said, author["assertionMethod"][0]["publicKeyMultibase"], author["id"])
        space.posts[said["object"]["id"]] = said["object"]

    def recall(self, space: Space, origin: str) -> str:
        """Takes back what an instance was sent of a space; the id of the recall."""
        ids, recall = sorted(space.told[origin]), self.new("recalls")
        listed = {"id": f"{recall}/items", "type": "OrderedCollection", "totalItems": len(ids), "orderedItems": ids}
        listed |= {"parvis:scope": "space", "parvis:upTo": moment(), "parvis:root": root_of(ids)}
        more = {"parvis:recall": recall, "parvis:keep": "own-authored", "parvis:deadline": moment(days=1)}
        kind, inbox = ["Delete", "parvis:Recall"], self.links[origin].actor["inbox"]
        said = self.activity(kind, space.id, [self.links[origin].actor["id"]], object=listed, **more)
        self.recalls[recall] = (listed, origin)
        assert self.send(origin, prove(said, self.keys[0][1], self.key_id()), inbox) == ""
        return recall

    def _on_recallreceipt(self, origin: str, said: Document) -> None:
        listed, owed_by = self.recalls[said["inReplyTo"]]
        demand_proof(said, self.links[origin].key, self.links[origin].actor["id"])
        gone = said["parvis:purged"]["items"] + sum(kept.get("items", 0) for kept in said["parvis:retained"])
        if owed_by != origin or said["parvis:root"] != listed["parvis:root"] or gone < listed["totalItems"]:
            raise Refused(403, "untrusted")
        self.receipts[said["inReplyTo"]] = said
