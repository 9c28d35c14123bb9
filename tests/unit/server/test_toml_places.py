"""Every key that tomllib reads has its place, whichever way the text was written; no text keeps the search busy."""

import tomllib
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.toml_places import DEEPEST, Place, Places, find

NAMES = st.one_of(st.from_regex(r"[a-z0-9_-]{1,6}", fullmatch=True), st.text("aé .\"'\\#=[\t", min_size=0, max_size=5))
SCALARS = st.one_of(st.booleans(), st.integers(-9, 10**6), st.text("aé\"'\\#=[]{},\n\t", max_size=8))
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3), max_leaves=8
)
DOCUMENTS = st.dictionaries(NAMES, st.one_of(VALUES, st.dictionaries(NAMES, VALUES, max_size=4)), max_size=5)


def quoted(text: str, literal: bool = False) -> str:
    if literal and not set(text) & set("'\n\t"):
        return f"'{text}'"
    for plain, escaped in (("\\", "\\\\"), ('"', '\\"'), ("\n", "\\n"), ("\t", "\\t")):
        text = text.replace(plain, escaped)
    return f'"{text}"'


def inline(value: Any, style: int) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        many = style % 3 == 2 and '"' not in value and "\\" not in value
        return f'"""\n{value}"""' if many else quoted(value, literal=style % 3 == 1)
    if isinstance(value, list):
        comma = ",\n  # , [ \" '\n" if style % 2 else ", "
        return f"[{comma.join(inline(one, style) for one in value)}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key(name)} = {inline(one, style)}" for name, one in value.items()) + "}"
    return str(value)


def key(name: str) -> str:
    bare = name and all(sign in "abcdefghijklmnopqrstuvwxyz0123456789_-" for sign in name)
    return name if bare else quoted(name)


def written(document: dict[str, Any], style: int) -> str:
    """The same document: values first, then tables as headers or as dotted keys."""
    plain = [f"{key(name)} = {inline(one, style)} # = [x]" for name, one in document.items() if not tables(one, style)]
    for name, one in document.items():
        if tables(one, style):
            if isinstance(one, list):
                plain += [line for each in one for line in (f"[[ {key(name)} ]]", *pairs(each, style))]
            elif style % 4 == 3 and one:
                plain[:0] = [f"{key(name)} . {key(inner)} = {inline(value, style)}" for inner, value in one.items()]
            else:
                plain += [f"  [{key(name)}]", *pairs(one, style)]
    return "\n".join(plain) + "\n" * (style % 2)


def tables(value: Any, style: int) -> bool:
    several = isinstance(value, list) and bool(value) and all(isinstance(one, dict) for one in value)
    return isinstance(value, dict) or (several and style % 5 == 0)


def pairs(table: dict[str, Any], style: int) -> list[str]:
    return [f"\t{key(name)}={inline(one, style)}" for name, one in table.items()]


def paths(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    inside: Any = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, one in inside:
        yield (*path, name)
        yield from paths(one, (*path, name))


def at(text: str, place: Place) -> str:
    return text.split("\n")[place.line - 1][place.column - 1 :]


@settings(max_examples=80, deadline=None)
@given(DOCUMENTS, st.integers(0, 59))
def test_every_key_that_tomllib_reads_is_found_where_it_stands(document: dict[str, Any], style: int) -> None:
    text = written(document, style)
    assert tomllib.loads(text) == document, text
    found = find(text)
    assert not found.twice and found.too_deep is None
    wanted = set(paths(document))
    assert wanted <= set(found.keys), text
    for path in wanted:
        if isinstance(path[-1], str):
            assert at(text, found.keys[path]).startswith((key(path[-1]), quoted(path[-1]))), (path, text)


@settings(max_examples=80, deadline=None)
@given(st.text("ab.=[]{}\"'\\,# \n\t1", max_size=60))
def test_no_text_is_too_strange_to_be_looked_at(text: str) -> None:
    """What tomllib takes has all its keys found, without a repetition; what it refuses is no fault of the search."""
    found = find(text)
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    assert isinstance(found, Places) and not found.twice, text
    assert set(paths(document)) <= set(found.keys), text


@pytest.mark.parametrize(
    ("text", "path", "again", "first"),
    [
        ("a = 1\nb = 2\n a = 3", ("a",), Place(3, 2), Place(1, 1)),
        ("[s.x]\na=1\n[s.y]\n[s.x]", ("s", "x"), Place(4, 4), Place(1, 4)),
        ("[s.\"x\"]\n't' = { u = 1,  u = 2 }", ("s", "x", "t", "u"), Place(2, 17), Place(2, 9)),
    ],
)
def test_a_key_that_is_there_twice_is_known_with_both_places(
    text: str, path: tuple[str, ...], again: Place, first: Place
) -> None:
    assert find(text).twice == [(path, again, first)]


@pytest.mark.parametrize(
    "text",
    ["a = " + "[" * 5000, "a = " + "{b = " * 5000, ".".join("a" * 9000) + " = 1", "[" + ".".join("a" * 9000) + "]"],
)
def test_what_is_nested_too_deep_is_known_before_anything_recurses(text: str) -> None:
    deep = find(text).too_deep
    assert deep is not None and deep[1].line == 1 and deep[1].column < 100
    assert len(deep[0]) <= DEEPEST


def test_the_key_before_a_fault_is_known() -> None:
    text = "[space.x]\nlevel = \nreach = 1"
    assert find(text).before(text.index("= \n") + 2) == ("space", "x", "level")
