"""What is remembered for a page ends with it: for the page itself, and for whatever was started meanwhile."""

import asyncio

import pytest

from federation.page_memory import forget, keep, once, remembering

pytestmark = pytest.mark.anyio


class Asked:
    """A question that counts how often it is asked."""

    def __init__(self) -> None:
        self.times = 0

    async def __call__(self) -> int:
        self.times += 1
        return self.times


async def test_outside_every_question_is_asked() -> None:
    ask = Asked()
    assert [await once("q", ask) for _ in range(3)] == [1, 2, 3]


async def test_inside_it_is_asked_once_until_it_is_forgotten() -> None:
    ask = Asked()
    with remembering():
        assert [await once("q", ask) for _ in range(3)] == [1, 1, 1]
        keep({"other": None})
        assert await once("other", ask) is None
        forget()
        assert await once("q", ask) == 2
    assert await once("q", ask) == 3


async def test_a_task_that_outlives_the_page_asks_anew() -> None:
    ask, over = Asked(), asyncio.Event()

    async def later() -> int:
        await over.wait()
        return await once("q", ask)

    with remembering():
        await once("q", ask)
        task = asyncio.create_task(later())
        await asyncio.sleep(0)
    over.set()
    assert await task == 2
