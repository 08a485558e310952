"""The same in other surroundings: processes, tasks of asyncio, workers of a DataLoader."""

from __future__ import annotations

import asyncio
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from typing import Any

from torch.utils.data import DataLoader, Dataset

from tests.threads.work import MODELS, all_in_one, changed, settings

NAMES = list(MODELS)


def in_processes(rounds: int, start: str) -> list[str]:
    """Do all models in processes that are started so; return what was wrong."""
    context = multiprocessing.get_context(start)
    wanted = [all_in_one(name) for name in NAMES]
    with ProcessPoolExecutor(2, mp_context=context) as pool:
        found = list(pool.map(all_in_one, NAMES * rounds))
    return _differences(found, wanted * rounds)


def in_tasks(rounds: int) -> list[str]:
    """Do all models in threads of an event loop, and one in the loop itself between them."""

    async def run() -> list[str]:
        jobs = [asyncio.to_thread(all_in_one, name) for name in NAMES * rounds]
        running = asyncio.gather(*jobs)
        await asyncio.sleep(0)
        inside = all_in_one("written")
        return [*await running, inside]

    before = settings()
    wanted = [all_in_one(name) for name in NAMES] * rounds
    found = asyncio.run(run())
    left = [f"left changed: {name}" for name in changed(before)]
    return _differences(found, [*wanted, wanted[NAMES.index("written")]]) + left


class _Exports(Dataset[str]):
    """A data set whose samples are exports."""

    def __len__(self) -> int:
        return len(NAMES)

    def __getitem__(self, index: int) -> str:
        return all_in_one(NAMES[index])


def in_workers(rounds: int) -> list[str]:
    """Do all models in the workers of a DataLoader, while the parent does them too."""
    loader: DataLoader[Any] = DataLoader(_Exports(), batch_size=1, num_workers=2)
    wanted = [all_in_one(name) for name in NAMES]
    found = []
    for _ in range(rounds):
        for index, batch in enumerate(loader):
            found += [batch[0], all_in_one(NAMES[index])]
    return _differences(found, [text for text in wanted for _ in range(2)] * rounds)


def _differences(found: list[str], wanted: list[str]) -> list[str]:
    return [
        f"{index}: another net" for index, pair in enumerate(zip(found, wanted, strict=True))
        if pair[0] != pair[1]
    ]  # fmt: skip
