"""`parvis spaces validate|plan|apply|drift|export`: what a file declares, and what is here."""

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from server import plan_words
from server.actions import declaring
from server.actions.declaring import Made, Refused
from server.actions.openness import Outcome
from server.clock import now_ms
from server.commands.opening import opened
from server.declared import Declaration
from server.declared_steps import Kind
from server.errors import Conflict, DomainError
from server.ids import Addresses
from server.plan_files import document, read_plan
from server.policy_words import problem, spoken
from server.queries import declared as live
from server.queries.wanted_steps import Missing, compare, problem_fault
from server.settings import LANGUAGES, Settings
from server.space_export import written
from server.spacefile import read
from server.terminal import Failure, complain, remark
from server.toml_texts import Fault, WrongFile

NOTHING, WRONG, CHANGES, APPROVAL, MOVED, DRIFTED = 0, 1, 2, 3, 4, 5


def verbs_of(commands: Any) -> Any:
    """Where the verbs of `parvis spaces` are added, by whichever group of commands comes first."""
    group = commands.choices.get("spaces")
    if group is None:
        group = commands.add_parser("spaces", help="open spaces, bring people in, join elsewhere, declare in a file")
        return group.add_subparsers(title="verbs", metavar="VERB", required=True)
    return next(action for action in group._actions if isinstance(action, argparse._SubParsersAction))


def register(commands: Any) -> None:
    verbs = verbs_of(commands)

    validate = verbs.add_parser("validate", help="whether a file, or a folder of them, can be applied; exit 0 or 1")
    _takes_file(validate)
    validate.add_argument("--offline", action="store_true", help="look at the file alone, not at this instance")
    validate.set_defaults(verb=_validate)

    plan = verbs.add_parser(
        "plan", help="what apply would change; exit 0 nothing, 2 changes, 3 needs approval, 1 wrong"
    )
    _takes_file(plan)
    plan.add_argument("-o", "--output", metavar="PLAN", type=Path, help="write the plan, for “apply PLAN”")
    _narrows(plan)
    plan.set_defaults(verb=_plan)

    apply = verbs.add_parser("apply", help="make this instance what a file or a plan says; exit 0, 3 waits, 4 moved, 1")
    _takes_file(apply)
    _narrows(apply)
    apply.set_defaults(verb=_apply)

    drift = verbs.add_parser("drift", help="where this instance, or a partner, is not what the file says; exit 0 or 5")
    _takes_file(drift)
    drift.set_defaults(verb=_drift)

    export = verbs.add_parser("export", help="what is here, as a file; planning it again shows no change")
    export.add_argument("--space", action="append", default=[], metavar="SLUG", help="these only; repeatable")
    export.add_argument("--every", action="store_true", help="also what is as it is by default")
    export.add_argument("-o", "--output", metavar="FILE", type=Path)
    export.set_defaults(verb=_export)


def _takes_file(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("file", metavar="FILE", type=Path)
    verb.add_argument("--language", choices=sorted(LANGUAGES), help="of what is said")
    verb.add_argument("--json", action="store_true")


def _narrows(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--only-narrow", action="store_true", help="leave out all that would widen")
    verb.add_argument("--include-history", action="store_true", help="what is already written is opened, too")
    verb.add_argument("--source", default="", metavar="TEXT", help="kept in the history, such as a commit")


# --- verbs ----------------------------------------------------------------------------------------


async def _validate(settings: Settings, args: argparse.Namespace) -> int:
    try:
        declaration = read(args.file, now_ms())
        if not args.offline:
            async with opened(settings) as here:
                missing = await _compared(declaration, settings, args)
                await _rehearsed(declaration, missing, here, args)
    except WrongFile as error:
        return _wrong(error.faults, settings, args)
    if args.json:
        print("[]")
    else:
        remark(f"{args.file} is right: {_count(len(declaration.spaces), 'space')}.")
    return NOTHING


async def _plan(settings: Settings, args: argparse.Namespace) -> int:
    try:
        declaration = read(args.file, now_ms())
        async with opened(settings) as here:
            missing = await _compared(declaration, settings, args)
            made = await _rehearsed(declaration, missing, here, args)
    except WrongFile as error:
        return _wrong(error.faults, settings, args)
    tongue = args.tongue(args.language or "en")
    told = document(made, _source(declaration.label, args), missing.unmanaged, tongue)
    if args.output is not None:
        args.output.write_text(json.dumps(told, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    if args.json:
        print(json.dumps(told, ensure_ascii=False, indent=2))
    else:
        for line in plan_words.lines(made, tongue, applied=False):
            print(line)
        _remarks(made, missing)
    return _planned_code(made)


async def _apply(settings: Settings, args: argparse.Namespace) -> int:
    declaration, missing = None, Missing((), (), ())
    try:
        async with opened(settings) as here:
            if args.file.suffix == ".json":
                steps, source = read_plan(args.file)
                source = args.source or source
            else:
                declaration = read(args.file, now_ms())
                missing = await _compared(declaration, settings, args)
                steps, source = missing.steps, _source(declaration.label, args)
            made = await declaring.apply(steps, here, source, only_narrow=args.only_narrow)
    except WrongFile as error:
        return _wrong(error.faults, settings, args)
    except Refused as error:
        return _refused(declaration, error, settings, args)
    except Conflict as error:
        if error.detail != "moved":
            raise
        complain(f"{_said(error, args)} Nothing was applied.")
        return MOVED
    tongue = args.tongue(args.language or "en")
    if args.json:
        print(json.dumps({"steps": plan_words.as_json(made, tongue)}, ensure_ascii=False, indent=2))
    else:
        for line in plan_words.lines(made, tongue, applied=True):
            print(line)
        _remarks(made, missing)
    waiting = [one for one in made if one.outcome is Outcome.WAITING]
    for one in waiting:
        slug = one.step.subject
        remark(f"{slug} waits for a second person: {here.base}/spaces/{slug}/openness (change {one.change_id}).")
    return APPROVAL if waiting else NOTHING


async def _drift(settings: Settings, args: argparse.Namespace) -> int:
    try:
        declaration = read(args.file, now_ms())
        async with opened(settings):
            missing = await compare(declaration, settings.default_language, now_ms())
            there = await live.spaces(space.slug for space in declaration.spaces)
            told = [(slug, one) for slug, space in there.items() for one in await live.told_partners(space)]
    except WrongFile as error:
        return _wrong(error.faults, settings, args)
    if missing.faults:
        return _wrong(list(missing.faults), settings, args)
    tongue = args.tongue(args.language or "en")
    steps = [step for step in missing.steps if step.kind is not Kind.MANAGED]
    behind = [(slug, one) for slug, one in told if one.state != "confirmed"]
    if args.json:
        found = [{**step.as_json(), "words": [spoken(w, tongue) for w in plan_words.words(step)]} for step in steps]
        partners = [{"space": slug, "host": one.host, "version": one.epoch, "state": one.state} for slug, one in told]
        unmanaged = list(missing.unmanaged)
        print(json.dumps({"here": found, "partners": partners, "unmanaged": unmanaged}, ensure_ascii=False, indent=2))
    else:
        for step in steps:
            print(plan_words.subject(step))
            for words in plan_words.words(step):
                print(f"  ~ {spoken(words, tongue)}")
        for slug, one in behind:
            print(f"space.{slug}\n  ! {one.host}: version {one.epoch} is {BEHIND[one.state]}")
        for name in missing.unmanaged:
            remark(f"{name} is not in the file; it stays as it is.")
    return DRIFTED if steps or behind else NOTHING


BEHIND = {
    "sent": "there, but what became of it is not confirmed",
    "pending": "still on its way",
    "refused": "refused there",
    "never": "not known there",
}


async def _export(settings: Settings, args: argparse.Namespace) -> int:
    async with opened(settings):
        slugs = args.space or await live.slugs()
        spaces = await live.spaces(slugs)
        rails, links = await live.guardrails(), await live.links()
    for slug in slugs:
        if slug not in spaces:
            raise Failure(f"{slug} is not a space of this instance.")
    text = written({} if args.space else rails, links, list(spaces.values()), every=args.every)
    if args.output is None:
        print(text, end="")
    else:
        args.output.write_text(text, encoding="utf-8")
    return NOTHING


# --- plans ----------------------------------------------------------------------------------------


async def _compared(declaration: Declaration, settings: Settings, args: argparse.Namespace) -> Missing:
    """Raises WrongFile with all that does not fit this instance."""
    past = bool(getattr(args, "include_history", False))
    missing = await compare(declaration, settings.default_language, now_ms(), past=past)
    if missing.faults:
        raise WrongFile(list(missing.faults))
    return missing


async def _rehearsed(
    declaration: Declaration, missing: Missing, here: Addresses, args: argparse.Namespace
) -> list[Made]:
    only = bool(getattr(args, "only_narrow", False))
    try:
        return await declaring.plan(missing.steps, here, _source(declaration.label, args), only_narrow=only)
    except Refused as error:
        faults = [problem_fault(declaration, error.slug, one) for one in error.problems]
        raise WrongFile(faults) from None


def _source(label: str, args: argparse.Namespace) -> str:
    said = getattr(args, "source", "")
    return f"{label} {said}".strip()[:300]


def _planned_code(made: Sequence[Made]) -> int:
    if any(one.outcome is Outcome.WAITING for one in made):
        return APPROVAL
    return CHANGES if any(one.counts for one in made) else NOTHING


# --- what is said ---------------------------------------------------------------------------------


def _remarks(made: Sequence[Made], missing: Missing) -> None:
    """What is no change, for whoever watches."""
    if not any(one.counts for one in made):
        remark("Nothing to change.")
    for one in made:
        if one.step.kind is Kind.MANAGED and one.outcome is not Outcome.UNCHANGED:
            fields = ", ".join(one.step.after["fields"])
            remark(f"space.{one.step.subject} is managed by {one.step.after['file']}: {fields}.")
        elif one.outcome is Outcome.PLANNED and one.known:
            remark(f"space.{one.step.subject} changes on its date.")
    for name in missing.unmanaged:
        remark(f"{name} is not in the file; it stays as it is.")


def _wrong(faults: Sequence[Fault], settings: Settings, args: argparse.Namespace) -> int:
    """Every fault, in the language that was asked for, else in the instance's."""
    tongue = args.tongue(args.language or settings.default_language)
    if args.json:
        print(json.dumps([fault.as_json(tongue) for fault in faults], ensure_ascii=False, indent=2))
    else:
        for fault in faults:
            remark(fault.told(tongue))
    complain(f"{_count(len(faults), 'fault')} in {args.file}; nothing was changed.")
    return WRONG


def _refused(declaration: Declaration | None, error: Refused, settings: Settings, args: argparse.Namespace) -> int:
    if declaration is not None:
        return _wrong([problem_fault(declaration, error.slug, one) for one in error.problems], settings, args)
    tongue = args.tongue(args.language or "en")
    for one in error.problems:
        remark(f"space.{error.slug}: {spoken(problem(one), tongue)}")
    complain("this plan can no longer be made; nothing was changed.")
    return WRONG


def _said(error: DomainError, args: argparse.Namespace) -> str:
    translated: Callable[[str], str] = args.translated
    sentence = translated(error.sentence)
    return sentence % error.params if error.params else sentence


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
