"""The other side of a link, first half: an instance's actor, signed requests, the steps of a link, the stream.

See `other_side`.
"""

import base64
import hashlib
import http.server
import json
import queue
import re
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.federation.other_forms import (
    CONTEXT,
    TYPE,
    Document,
    Refused,
    actor_of,
    content_digest,
    demand_proof,
    holds,
    id_of,
    moment,
    multikey,
    origin_of,
    prove,
)

PAGE = Path(__file__).parents[2] / "FEDERATION.md"
WORDS = re.search(r"## The words of a link\n.*?```\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
TYPES = {"/.well-known/webfinger": "application/jrd+json", "/.well-known/nodeinfo": "application/json"}
DEADLINE_S = 60.0


@dataclass
class Link:
    """The agreement with one instance, and how far both streams came."""

    actor: Document
    nonce: str = field(default_factory=lambda: secrets.token_hex(16))
    their_nonce: str = ""
    offer: str = ""
    key: str = ""
    older: str = ""
    words_agree: bool = False
    confirmed: bool = False
    ended: bool = False
    generation: str = field(default_factory=lambda: secrets.token_hex(8))
    events: list[Document] = field(default_factory=list)
    acked: int = 0
    done: int = 0
    errors: dict[int, str] = field(default_factory=dict)
    heard: Document = field(default_factory=lambda: {"generation": "", "acked": 0, "done": 0, "errors": []})
    came: dict[int, str] = field(default_factory=dict)

    @property
    def active(self) -> bool:
        return self.words_agree and self.confirmed and not self.ended

    @property
    def shown(self) -> str:
        return str(self.actor["assertionMethod"][0]["publicKeyMultibase"])


class Linked:
    """An instance with an actor, people and links. What it hears goes to the method that is named after it, `_on_…`."""

    def __init__(self, port: int) -> None:
        self.host, self.base = f"localhost:{port}", f"http://localhost:{port}"
        self.actor = f"{self.base}/actor"
        self.keys = [("first", Ed25519PrivateKey.generate())]  # the newest one first
        self.people: dict[str, Ed25519PrivateKey] = {}
        self.documents: dict[str, Document] = {}
        self.links: dict[str, Link] = {}
        self.received: list[Document] = []
        self.seen: set[str] = set()
        self.nonces: set[str] = set()
        self.serial = 0
        self.changed = threading.Condition(threading.RLock())
        self.speaking = threading.RLock()
        self.to_do: queue.Queue[Callable[[], Any] | None] = queue.Queue()
        self.failure: BaseException | None = None
        self.http = httpx.Client(timeout=20, headers={"accept": TYPE})
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", port), _door(self))
        self.threads = [threading.Thread(target=work, daemon=True) for work in (self.server.serve_forever, self._work)]
        for thread in self.threads:
            thread.start()

    def close(self) -> None:
        self.to_do.put(None)
        self.server.shutdown()
        self.server.server_close()
        self.http.close()

    def _work(self) -> None:
        """What is answered of its own accord, one after another."""
        while (job := self.to_do.get()) is not None:
            try:
                job()
            except BaseException as error:
                self.failure = error

    def until(self, holds: Callable[[], Any], what: str) -> Any:
        """Waits for what comes in; what `holds` says."""
        with self.changed:
            assert self.changed.wait_for(lambda: holds() or self.failure, DEADLINE_S), f"never: {what}"
            assert self.failure is None, self.failure
            return holds()

    def said(self, kind: str) -> Document | None:
        """The first activity of this type that came."""
        return next((one for one in self.received if one["type"] == kind), None)

    # --- what we publish --------------------------------------------------------------------------

    def key_id(self, number: int = 0) -> str:
        return f"{self.actor}#{self.keys[number][0]}"

    def instance_actor(self) -> Document:
        ends = {"sharedInbox": f"{self.base}/inbox", "parvis:peering": f"{self.base}/peering"}
        more = {"inbox": f"{self.base}/inbox", "endpoints": ends}
        return {**actor_of("Application", self.actor, self.host, "The other side", self.keys), **more}

    def person(self, name: str, title: str) -> str:
        actor, key = f"{self.base}/people/{name}", Ed25519PrivateKey.generate()
        self.people[actor] = key
        self.documents[actor] = actor_of("Person", actor, name, title, [("key", key)])
        return actor

    def named(self) -> list[str]:
        """The actors that WebFinger knows beside the instance."""
        return list(self.people)

    def get(self, path: str, headers: Any) -> tuple[int, Document | None]:
        """What a GET is answered."""
        parts = urlsplit(path)
        query, url = dict(parse_qsl(parts.query)), f"{self.base}{parts.path}"
        match parts.path:
            case "/actor":
                return 200, self.instance_actor()
            case "/.well-known/webfinger":
                return self._webfinger(query.get("resource", ""))
            case "/.well-known/nodeinfo":
                rel = "https://www.w3.org/ns/activitystreams#Application"
                return 200, {"links": [{"rel": rel, "href": self.actor}]}
        if url in self.documents:
            return 200, self.documents[url]
        document = self.shared(url, query) if self.links[self.verify("GET", path, headers, b"")].active else None
        return 404 if document is None else 200, document

    def shared(self, url: str, query: dict[str, str]) -> Document | None:
        """What is for linked instances alone."""
        return None

    def _webfinger(self, resource: str) -> tuple[int, Document | None]:
        names: dict[str, tuple[str, ...]] = {self.actor: (f"{self.base}/", self.actor, f"acct:{self.host}@{self.host}")}
        names |= {one: (one, f"acct:{one.rpartition('/')[2]}@{self.host}") for one in self.named()}
        actor = next((actor for actor, known in names.items() if resource in known), None)
        if actor is None:
            return 404, None
        rels = ["self"] + ["https://www.w3.org/ns/activitystreams#Service"] * (actor == self.actor)
        return 200, {"subject": resource, "links": [{"rel": rel, "type": TYPE, "href": actor} for rel in rels]}

    # --- requests: RFC 9421 and RFC 9530 ----------------------------------------------------------

    def request(self, method: str, url: str, said: Document | None = None, key: int = 0) -> httpx.Response:
        """A signed request; `key` 1: with the one before the newest."""
        body = b"" if said is None else json.dumps(said, ensure_ascii=False).encode()
        covered, headers = {"@method": method, "@target-uri": url}, {}
        if said is not None:
            headers = {"content-type": TYPE, "content-digest": content_digest(body)}
            covered["content-digest"] = headers["content-digest"]
        now = int(time.time())
        names = " ".join(f'"{name}"' for name in covered)
        params = f'({names});created={now};expires={now + 240};nonce="{secrets.token_urlsafe(16)}"'
        params += f';keyid="{self.key_id(key)}";alg="ed25519";tag="parvis-link"'
        signed = "".join(f'"{name}": {value}\n' for name, value in covered.items()) + f'"@signature-params": {params}'
        signature = base64.b64encode(self.keys[key][1].sign(signed.encode())).decode()
        headers |= {"signature-input": f"sig={params}", "signature": f"sig=:{signature}:"}
        return self.http.request(method, url, content=body, headers=headers)

    def fetch(self, url: str) -> Document:
        answer = self.request("GET", url)
        assert answer.status_code == 200, f"{url}: {answer.status_code} {answer.text[:300]}"
        return dict(answer.json())

    def verify(self, method: str, path: str, headers: Any, body: bytes) -> str:
        """The origin whose pinned key signed this; before there is one, the key that it publishes. Raises Refused."""
        try:
            label, params = str(headers["signature-input"]).split("=", 1)
            known = {"@method": method, "@target-uri": f"{self.base}{path}"}
            covered = re.findall(r'"([^"]+)"', params[: params.index(")")])
            wanted = {"@method", "@target-uri"} | ({"content-digest"} if body else set())
            assert wanted <= set(covered) and (not body or headers["content-digest"] == content_digest(body))
            lines = "".join(f'"{name}": {known.get(name) or headers[name]}\n' for name in covered)
            stated = {name: text for name, text in re.findall(r';(\w+)="?([^;"]+)', params)}
            assert stated["tag"] == "parvis-link" and stated["nonce"] not in self.nonces
            assert int(stated["created"]) - 300 < time.time() < int(stated["expires"])
            origin = origin_of(stated["keyid"])
            signature = base64.b64decode(re.findall(re.escape(label) + "=:([^:]+):", headers["signature"])[0])
            signed = f'{lines}"@signature-params": {params}'.encode()
            assert any(holds(key, signature, signed) for key in self._keys_of(origin))
        except (AssertionError, KeyError, IndexError, TypeError, ValueError) as error:
            raise Refused(401, "untrusted") from error
        self.nonces.add(stated["nonce"])
        return origin

    def _keys_of(self, origin: str) -> list[str]:
        link = self.links.get(origin) or self.meet(origin)
        return [key for key in (link.key or link.shown, link.older) if key]

    # --- the steps of a link ----------------------------------------------------------------------

    def meet(self, origin: str) -> Link:
        """Finds the instance's actor by its origin (FEP-d556)."""
        found = self.http.get(f"{origin}/.well-known/webfinger", params={"resource": f"{origin}/"}).json()
        actor = next(link["href"] for link in found["links"] if link["rel"] == "self")
        self.links[origin] = Link(self.http.get(actor).json())
        return self.links[origin]

    def side(self, link: Link) -> Document:
        return {"parvis:key": multikey(self.keys[0][1]), "parvis:nonce": link.nonce, "parvis:minVersion": 1}

    def offer(self, origin: str) -> None:
        link = self.meet(origin)
        relationship = {"type": "Relationship", "relationship": "parvis:LinkedInstance", **self.side(link)}
        relationship |= {"subject": self.actor, "object": link.actor["id"]}
        offer = self.activity("Offer", self.actor, [link.actor["id"]], object=relationship, endTime=moment(days=7))
        link.offer = offer["id"]
        self.post(link, offer)

    def accept(self, origin: str) -> None:
        link = self.links[origin]
        accept = self.activity("Accept", self.actor, [link.actor["id"]], object=link.offer, result=self.side(link))
        self.post(link, accept)

    def words(self, origin: str) -> list[str]:
        link = self.links[origin]
        pairs = [(multikey(self.keys[0][1]), link.shown), (self.base, origin), (link.nonce, link.their_nonce)]
        text = "\n".join(line for pair in pairs for line in sorted(pair))
        drawn = hashlib.scrypt(text.encode(), salt=b"parvis link words", n=32768, r=8, p=1, dklen=6, maxmem=1 << 26)
        assert WORDS is not None
        return [WORDS[1].split()[byte] for byte in drawn]

    def confirm(self, origin: str) -> None:
        link = self.links[origin]
        link.key, link.words_agree = link.shown, True
        self.post(link, self.activity("parvis:Confirm", self.actor, [link.actor["id"]], object=link.offer))

    def renew_key(self) -> None:
        """A new key, told to each partner with the old one, and proved with the new one."""
        self.keys.insert(0, ("second", Ed25519PrivateKey.generate()))
        for link in self.links.values():
            whole = {name: value for name, value in self.instance_actor().items() if name != "@context"}
            update = self.activity("Update", self.actor, [link.actor["id"]], object=whole)
            self.post(link, prove(update, self.keys[0][1], self.key_id()), key=1)

    def end(self, origin: str) -> None:
        link = self.links[origin]
        link.ended = True
        self.post(link, self.activity("Undo", self.actor, [link.actor["id"]], object=link.offer))

    def post(self, link: Link, said: Document, key: int = 0) -> None:
        """To the inbox of the instance: what is about the link itself."""
        answer = self.request("POST", link.actor["inbox"], said, key)
        assert answer.status_code == 202, f"{said['type']}: {answer.status_code} {answer.text}"

    def activity(self, kind: str | list[str], actor: str, to: list[str], **more: Any) -> Document:
        head = {"@context": CONTEXT, "id": self.new("activities"), "type": kind, "actor": actor}
        return {**head, "to": to, "published": moment(), **more}

    def new(self, kind: str) -> str:
        self.serial += 1
        return f"{self.base}/{kind}/{self.serial}"

    # --- our stream -------------------------------------------------------------------------------

    def send(self, origin: str, said: Document | None, *inboxes: str) -> str:
        """Tells it, or passes over a number; waits for the effect. '' or the code of the error."""
        with self.speaking:
            link = self.links[origin]
            event = {"type": "Add", "object": said, "target": list(inboxes)} if said else {"type": "parvis:Skip"}
            link.events.append(event)
            pause, end = 0.03, time.monotonic() + DEADLINE_S
            while link.done < len(link.events):
                assert time.monotonic() < end, f"never done: {said}"
                answer = self._page(link)
                if answer.status_code == 409:
                    self._begin_again(link, answer.json())
                elif answer.status_code == 401 and len(self.keys) > 1:
                    time.sleep(pause)  # the new key is not known there yet
                else:
                    assert answer.status_code == 202, f"{answer.status_code} {answer.text}"
                    self._told(link, answer.json())
                    time.sleep(pause if link.done < len(link.events) else 0)
                pause *= 1.5
            return link.errors.get(len(link.events), "")

    def _page(self, link: Link) -> httpx.Response:
        waiting = link.events[link.acked : link.acked + 50]
        items = [{**event, "parvis:seq": number} for number, event in enumerate(waiting, link.acked + 1)]
        page: Document = {"@context": CONTEXT, "type": "OrderedCollectionPage", "partOf": f"{self.base}/peering"}
        page |= {"parvis:generation": link.generation, "parvis:from": link.acked + 1, "parvis:settled": link.done}
        page |= {"parvis:heard": link.heard, "orderedItems": items}
        return self.request("POST", link.actor["endpoints"]["parvis:peering"], page)

    def _told(self, link: Link, heard: Document) -> None:
        if heard["generation"] == link.generation:
            link.acked, link.done = max(link.acked, heard["acked"]), max(link.done, heard["done"])
            link.errors |= {error["seq"]: error["code"] for error in heard["errors"]}

    def _begin_again(self, link: Link, missing: Document) -> None:
        if missing["generation"] == link.generation and 0 < missing["want"] <= len(link.events):
            link.acked = missing["want"] - 1
        else:
            link.generation, link.events = secrets.token_hex(8), link.events[link.done :]
            link.acked = link.done = 0
            link.errors.clear()

    # --- what we hear -----------------------------------------------------------------------------

    def take(self, path: str, headers: Any, body: bytes) -> tuple[int, Document | None]:
        """What a POST is answered."""
        origin, said = self.verify("POST", path, headers, body), json.loads(body)
        with self.changed:
            answer = self._take_page(origin, said) if path == "/peering" else (202, self._hear(origin, said))
            self.changed.notify_all()
        return answer

    def _take_page(self, origin: str, page: Document) -> tuple[int, Document | None]:
        link = self.links[origin]
        if not link.active:
            raise Refused(403, "policy")
        heard, first = link.heard, page["parvis:from"]
        if page["parvis:generation"] != heard["generation"] and first == 1:
            heard |= {"generation": page["parvis:generation"], "acked": 0, "done": 0, "errors": []}
            link.came.clear()
        if page["parvis:generation"] != heard["generation"] or first > heard["acked"] + 1:
            return 409, {"want": heard["acked"] + 1, "generation": heard["generation"]}
        names = {item["parvis:seq"]: id_of(item.get("object", "")) for item in page["orderedItems"]}
        assert list(names) == list(range(first, first + len(names))), "numbers without gaps"
        if any(link.came.get(seq, name) != name for seq, name in names.items()):
            return 409, {"want": 0, "generation": heard["generation"]}
        self._told(link, page["parvis:heard"])
        heard["errors"] = [error for error in heard["errors"] if error["seq"] > page["parvis:settled"]]
        for item in page["orderedItems"]:
            if item["parvis:seq"] > heard["acked"] and item["type"] == "Add":
                try:
                    assert {origin_of(inbox) for inbox in item["target"]} == {self.base}, item["target"]
                    self._hear(origin, item["object"])
                except Refused as error:
                    heard["errors"].append({"seq": item["parvis:seq"], "code": error.code})
        link.came |= names
        heard["acked"] = heard["done"] = max(heard["acked"], first + len(names) - 1)
        return 202, heard

    def _hear(self, origin: str, said: Document) -> Document | None:
        """Each activity once, by its id; of the sender's origin, id and actor."""
        if said["id"] in self.seen:
            return None
        if not origin_of(said["id"]) == origin_of(said["actor"]) == origin:
            raise Refused(403, "untrusted")
        self.seen.add(said["id"])
        self.received.append(said)
        kind = said["type"] if isinstance(said["type"], str) else said["type"][-1]
        handler = getattr(self, f"_on_{kind.removeprefix('parvis:').lower()}", None)
        if handler is not None:
            handler(origin, said)
        return None

    def _on_offer(self, origin: str, said: Document) -> None:
        link = self.meet(origin)
        assert said["object"]["parvis:key"] == link.shown and said["object"]["object"] == self.actor
        link.offer, link.their_nonce = said["id"], said["object"]["parvis:nonce"]

    def _on_accept(self, origin: str, said: Document) -> None:
        link = self.links[origin]
        if id_of(said["object"]) == link.offer:
            assert said["result"]["parvis:key"] == link.shown
            link.their_nonce = said["result"]["parvis:nonce"]

    def _on_confirm(self, origin: str, said: Document) -> None:
        self.links[origin].confirmed = True

    def _on_undo(self, origin: str, said: Document) -> None:
        if id_of(said["object"]) == self.links[origin].offer:
            self.links[origin].ended = True

    def _on_update(self, origin: str, said: Document) -> None:
        """A new key of theirs: the request was signed with the pinned one."""
        link = self.links[origin]
        if id_of(said["object"]) == link.actor["id"]:
            fresh = said["object"]["assertionMethod"][0]["publicKeyMultibase"]
            demand_proof(said, fresh, said["actor"])
            link.key, link.older = fresh, link.key


def _door(side: Linked) -> type[http.server.BaseHTTPRequestHandler]:
    """The HTTP server in front."""

    class Door(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *told: Any) -> None:
            pass

        def do_GET(self) -> None:
            self._answer(lambda: side.get(self.path, self.headers))

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            self._answer(lambda: side.take(self.path, self.headers, body))

        def _answer(self, asked: Callable[[], tuple[int, Document | None]]) -> None:
            try:
                status, document = asked()
            except Refused as refused:
                status, document = refused.status, {"code": refused.code}
            except Exception as error:
                side.failure, status, document = error, 500, {"error": repr(error)}
            body = b"" if document is None else json.dumps(document, ensure_ascii=False).encode()
            self.send_response(status)
            self.send_header("content-type", TYPES.get(urlsplit(self.path).path, TYPE))
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    return Door
