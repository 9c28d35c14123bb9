"""`parvis spaces`: open, list, show, bring people in; join a space that another instance hosts."""

import argparse
from typing import Any

from federation.commands.opened import opened, somebody
from federation.lookup import find_handle
from federation.spaces_elsewhere import space_of
from server import database as db
from server.actions import join_requests, membership, spaces
from server.actions.spaces import NewSpace
from server.commands.space_files import verbs_of
from server.openness import Level, MemberState, Office, Reach, Role
from server.queries import spaces as space_queries
from server.settings import Settings
from server.terminal import Failure, listing, remark, tell
from server.viewer import Employee, Operator

OPERATOR = Operator()


def register(commands: Any) -> None:
    verbs = verbs_of(commands)

    add = verbs.add_parser("add", help="open a space")
    add.add_argument("slug", metavar="SLUG")
    add.add_argument("--name", required=True)
    add.add_argument("--level", choices=[level.value for level in Level], default=Level.CLOSED.value)
    add.add_argument("--owner", required=True, metavar="NAME")
    add.add_argument("--partner", action="append", default=[], metavar="HOST", help="a linked instance; repeatable")
    add.add_argument("--reach", choices=[reach.value for reach in Reach], default=Reach.INVITED.value)
    lists = add.add_mutually_exclusive_group()
    lists.add_argument("--listed", action="store_true", help="colleagues outside it see its card and may ask to join")
    lists.add_argument("--unlisted", action="store_true", help="only members know that it exists")
    add.add_argument("--description", default="")
    add.add_argument("--json", action="store_true")
    add.set_defaults(verb=_add)

    every = verbs.add_parser("list", help="all spaces")
    every.add_argument("--json", action="store_true")
    every.set_defaults(verb=_list)

    show = verbs.add_parser("show", help="one space")
    show.add_argument("slug", metavar="SLUG")
    show.add_argument("--json", action="store_true")
    show.set_defaults(verb=_show)

    members = verbs.add_parser("members", help="who is in a space; bring in, let go")
    members.add_argument("slug", metavar="SLUG")
    members.add_argument("--add", action="append", default=[], metavar="WHO", help="name, or name@host elsewhere")
    members.add_argument("--remove", action="append", default=[], metavar="WHO")
    members.add_argument("--role", choices=[role.value for role in Role], default=Role.MEMBER.value)
    members.add_argument("--json", action="store_true")
    members.set_defaults(verb=_members)

    join = verbs.add_parser("join", help="one of ours joins a space, here or elsewhere")
    join.add_argument("handle", metavar="HANDLE", help="slug, or slug@host elsewhere")
    join.add_argument("--as", dest="person", required=True, metavar="NAME")
    join.set_defaults(verb=_join)

    leave = verbs.add_parser("leave", help="one of ours leaves a space")
    leave.add_argument("handle", metavar="HANDLE")
    leave.add_argument("--as", dest="person", required=True, metavar="NAME")
    leave.set_defaults(verb=_leave)


async def _add(settings: Settings, args: argparse.Namespace) -> int:
    async with opened(settings) as instance:
        new = NewSpace(
            slug=args.slug,
            name=args.name,
            level=Level(args.level),
            owner=args.owner,
            description=args.description,
            listed=True if args.listed else False if args.unlisted else None,
            reach=Reach(args.reach),
            partners=args.partner,
        )
        await spaces.open_space(OPERATOR, new, instance.here)
        if args.json:
            tell({"slug": args.slug, "actor": instance.here.space(args.slug), "level": args.level})
        else:
            remark(f"The space {args.slug} is open at level {args.level}.")
    return 0


async def _list(settings: Settings, args: argparse.Namespace) -> int:
    async with opened(settings):
        found = await space_queries.known(OPERATOR, limit=10_000)
        listing([_row(space) for space in found], args.json)
    return 0


async def _show(settings: Settings, args: argparse.Namespace) -> int:
    async with opened(settings):
        space = await space_queries.find(OPERATOR, args.slug)
        partners = await db.fetch(
            "SELECT q.host FROM space_partner n JOIN peer q ON q.id = n.peer_id WHERE n.space_id = $1 ORDER BY q.host",
            space.id,
        )
        row = {**_row(space), "actor": space.uri, "partners": [partner["host"] for partner in partners]}
        if args.json:
            tell(row)
        else:
            listing([{"what": name, "value": value} for name, value in row.items()], False)
    return 0


def _row(space: space_queries.SeenSpace) -> dict[str, Any]:
    return {
        "slug": space.slug,
        "name": space.name,
        "level": space.level.value,
        "reach": space.reach.value,
        "listed": space.listed,
        "host": space.host,
        "version": space.epoch,
    }


async def _members(settings: Settings, args: argparse.Namespace) -> int:
    async with opened(settings) as instance:
        space = await space_queries.find(OPERATOR, args.slug)
        for who in args.add:
            found = await somebody(instance, who)
            state = await membership.add(OPERATOR, space.id, found.id, Role(args.role))
            remark(f"{who} is {'a member' if state is MemberState.MEMBER else 'invited'}.")
        for who in args.remove:
            found = await somebody(instance, who)
            await membership.remove(OPERATOR, space.id, found.id)
            remark(f"{who} is no longer in the space.")
        if not args.add and not args.remove:
            listing(await _present(space.id), args.json)
    return 0


async def _present(space_id: int) -> list[dict[str, Any]]:
    rows = await db.fetch(
        "SELECT a.name, a.host, a.uri, m.role, m.state FROM membership m JOIN actor a ON a.id = m.actor_id"
        " WHERE m.space_id = $1 ORDER BY m.created_at, m.id",
        space_id,
    )
    return [
        {
            "who": f"{row['name']}@{row['host']}" if row["host"] else row["name"],
            "role": row["role"],
            "state": row["state"],
            "actor": row["uri"],
        }
        for row in rows
    ]


async def _join(settings: Settings, args: argparse.Namespace) -> int:
    async with opened(settings) as instance:
        me = await _employee(args.person)
        found = await find_handle(instance, args.handle)
        if found.kind != "group":
            raise Failure(f"{args.handle} is not a space.")
        if found.peer_id is None:
            space = await space_queries.find_by_uri(me, found.uri)
            state = await join_requests.join(me, space.id)
        else:
            state = await join_requests.ask_elsewhere(me, await space_of(instance, found))
        if state is MemberState.MEMBER:
            remark(f"{args.person} is a member of {args.handle}.")
        else:
            remark(f"{args.person} has asked to join {args.handle}; its host answers.")
    return 0


async def _leave(settings: Settings, args: argparse.Namespace) -> int:
    async with opened(settings):
        me = await _employee(args.person)
        space = await space_queries.find(me, args.handle.removeprefix("@"))
        await membership.leave(me, space.id)
        remark(f"{args.person} has left {args.handle}.")
    return 0


async def _employee(name: str) -> Employee:
    row = await db.fetch_one(
        "SELECT id, actor_id, office FROM account WHERE name = $1 AND suspended_at IS NULL", name.lower()
    )
    if row is None:
        raise Failure(f"{name} is not one of our people; “parvis people list” names them.")
    return Employee(row["id"], row["actor_id"], Office(row["office"]))
