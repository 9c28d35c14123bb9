"""What is here, written as a declarative file: reading it again and comparing finds no difference. Pure."""

import json
from collections.abc import Mapping
from dataclasses import fields
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from server.declared_values import KEY_OF, named_in
from server.openness import History, Role
from server.queries.declared import LiveLink, LiveSpace
from server.space_policy import DAY_MS, PartnerTerms, SpacePolicy

ALWAYS = ("level", "listed", "reach", "partners")
DEFAULTS = {each.name: each.default for each in fields(SpacePolicy)}


def written(
    guardrails: Mapping[str, Any], links: Mapping[str, LiveLink], spaces: list[LiveSpace], *, every: bool = False
) -> str:
    """A whole file; with `every` field of each space, or only those that are not as they are by default."""
    found = ["schema = 1"]
    if guardrails:
        found += ["", "[guardrails]"] + [f"{name} = {_value(value)}" for name, value in guardrails.items()]
    for host in sorted({terms.host for space in spaces for terms in space.policy.partners}):
        found += ["", f"[partner.{_value(host)}]"]
        if host in links:
            found += [f"key = {_value(links[host].key)}"] if links[host].key else []
            found.append(f"kin = {_value(links[host].kin)}")
    for space in spaces:
        found += ["", f"[space.{space.slug}]", *_space(space, every)]
    return "\n".join(found) + "\n"


def _space(space: LiveSpace, every: bool) -> list[str]:
    found = [f"name = {_value(space.name)}"]
    if space.description:
        found.append(f"description = {_value(space.description)}")
    owners = [name for name, role in space.roles.items() if role == Role.OWNER]
    stewards = [name for name, role in space.roles.items() if role == Role.STEWARD]
    if owners:
        found.append(f"owner = {_value(owners[0])}")
    if stewards + owners[1:]:
        found.append(f"stewards = {_value(stewards + owners[1:])}")
    policy = space.policy
    for name, default in DEFAULTS.items():
        value = getattr(policy, name)
        if name == "history_days" or (value == default and name not in ALWAYS and not every):
            continue
        found.append(f"{KEY_OF[name]} = {_field(name, value, policy)}")
    return found


def _field(name: str, value: Any, policy: SpacePolicy) -> str:
    if name == "partners":
        return "[" + ", ".join(_terms(terms) for terms in value) + "]"
    if name == "history" and value is History.DAYS:
        return _value(f"days:{policy.history_days}")
    if name == "less":
        taken = [f"{who.value} = {_less(dict(less))}" for who, less in value if less]
        return "{ " + ", ".join(taken) + " }"
    if value is None:
        return '""'
    if name == "charter" and value:
        return "{ text = " + _value(value) + " }"
    if name in ("opens_at", "closes_at"):
        return moment(value, end=name == "closes_at")
    return _value(value)


def _terms(terms: PartnerTerms) -> str:
    said = {name: _value(getattr(terms, name)) for name in ("reach", "people_max", "sponsor", "custody")}
    said = {name: value for name, value in said.items() if value not in ('""', "0")}
    if terms.until_at is not None:
        said["until"] = moment(terms.until_at, end=True)
    said |= {right: _value(named_in(right, most)) for right, most in terms.less}
    if not said:
        return _value(terms.host)
    return "{ host = " + _value(terms.host) + "".join(f", {name} = {value}" for name, value in said.items()) + " }"


def _less(less: Mapping[str, int]) -> str:
    return "{ " + ", ".join(f"{right} = {_value(named_in(right, most))}" for right, most in less.items()) + " }"


def moment(ms: int, *, end: bool) -> str:
    """A day where it is one (its end, or its beginning), else the moment to the millisecond."""
    day = ms + 1 if end else ms
    if day % DAY_MS == 0:
        return datetime.fromtimestamp((day - DAY_MS if end else day) / 1000, UTC).strftime("%Y-%m-%d")
    whole, rest = divmod(ms, 1000)
    return datetime.fromtimestamp(whole, UTC).strftime("%Y-%m-%dT%H:%M:%S") + f".{rest:03d}Z"


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_value(one) for one in value) + "]"
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{name} = {_value(one)}" for name, one in value.items()) + " }"
    if isinstance(value, str):
        text = value.value if isinstance(value, StrEnum) else value
        return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
    return str(value)
