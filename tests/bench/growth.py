"""How a cost grows: CPU per operation at 1×, 10× and 100× the data, and each as a multiple of the first."""

import time
from collections.abc import Awaitable, Callable, Mapping

SIZES = (1, 10, 100)

Ask = Callable[[], Awaitable[object]]


async def cpu_ms(ask: Ask, times: int = 40) -> float:
    """Milliseconds of this process's CPU (all threads) for one operation, after two that nobody counts."""
    for _ in range(2):
        await ask()
    before = time.process_time()
    for _ in range(times):
        await ask()
    return (time.process_time() - before) * 1000 / times


class Table:
    """Rows of figures, one column for each size."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._rows: dict[str, list[float]] = {}

    async def measure(self, asked: Mapping[str, Ask], times: int = 40) -> None:
        """One more column: what each of these costs now."""
        for name, ask in asked.items():
            self.add(name, await cpu_ms(ask, times))

    def add(self, name: str, value: float) -> None:
        self._rows.setdefault(name, []).append(value)

    def print(self) -> None:
        print(f"\n{self._title}")
        for name, values in self._rows.items():
            print(f"  {name:36}" + "".join(f"{v:10.3f} ({v / values[0]:4.1f}×)" for v in values))
