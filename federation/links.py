"""Meeting another instance: who is at that host, which key does it show, which six words are ours and theirs."""

import asyncio
from typing import Any

from federation.errors import Malformed, Refused
from federation.instance import Instance
from federation.keyring import instance_key, key_at
from federation.lookup import base_of, fetch_document, remember
from server.actions import link_keys, links
from server.actions.link_rows import TheirSide
from server.errors import Conflict
from server.queries.former import new_host
from server.viewer import Employee, Operator


async def meet(instance: Instance, host: str, *, compare: bool = False) -> TheirSide:
    """What the instance at a host shows of itself. Raises FederationError in one sentence.

    `compare`: people are about to compare its key, so it may be another than the pinned one.
    """
    name = host.strip().lower().removeprefix("https://").removeprefix("http://").rstrip("/")
    name = await new_host(name)
    if name == instance.here.host:
        raise Refused("That is this instance itself.")
    base = await base_of(instance, name)
    document = await fetch_document(instance, f"{base}/actor", compare=compare)
    keys = [(key, value) for key, owner, kind, value in document.keys if kind == "multikey" and owner == document.id]
    if document.type != "Application" or not keys:
        raise Malformed("That host does not run an instance that can be linked.", host)
    known = await remember(document)
    if known.peer_id is None:
        raise Refused("That is this instance itself.")
    return TheirSide(known.peer_id, name, keys[0][0], keys[0][1], document.display_name)


async def offer(instance: Instance, viewer: Employee | Operator, host: str, until_at: int | None = None) -> None:
    """Proposes a link to the instance at a host, until a date if one is given (ms)."""
    await links.offer(viewer, await meet(instance, host), until_at)


async def resume(instance: Instance, viewer: Employee | Operator, host: str) -> bool:
    """Lets a link flow again; False: its key changed, so the words are to be compared first. Again: the same."""
    try:
        await links.resume(viewer, host)
        return True
    except Conflict as refused:
        if refused.sentence != link_keys.COMPARE_FIRST:
            raise
    await link_keys.compare_again(viewer, await meet(instance, host, compare=True))
    return False


async def six_words(instance: Instance, viewer: Employee | Operator, host: str) -> list[str]:
    """The words to compare with the other administrator. Raises NotFound or Conflict."""
    row: dict[str, Any] = await links.comparable(viewer, host)
    held = await link_keys.held_by(row["id"])
    ours = await key_at(instance, held) if held else await instance_key(instance)
    key = ours.public(instance.here.instance).to_multikey()
    return await asyncio.to_thread(links.words_of, row, instance.here.base, key)
