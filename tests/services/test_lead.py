"""What is done once for a store is done by the worker that leads, and by it from the moment that it does."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from invengine.metrics import Metrics
from invengine.services import figures
from invengine.services import transfers as transfers_module
from invengine.services.broken import BrokenPromises
from invengine.services.lead import Lead
from invengine.services.sweeper import Sweeper
from invengine.services.transfers import Transfers

pytestmark = pytest.mark.asyncio


class Store:
    """Says that it was asked, and no more."""

    partitions = 1
    own_library = 1
    store_id = bytes(8)
    is_whole = True

    def __init__(self) -> None:
        self.was_asked = asyncio.Event()

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        async def asked(*_: object) -> Any:
            self.was_asked.set()
            await asyncio.Event().wait()

        return asked


def work(name: str, store: Any, lead: Lead, monkeypatch: pytest.MonkeyPatch) -> Awaitable[None]:
    """One of the tasks that are for the one that leads, without its pauses."""
    metrics = Metrics(CollectorRegistry())
    if name == "figures":
        return figures.keep(store, metrics, lead)
    replica: Any = SimpleNamespace(columns=None, applied=[0], on_entries=None, apply=None)
    if name == "broken promises":
        scan: Any = SimpleNamespace(dates=SimpleNamespace(basis=None), shortages=store.shortages)
        monkeypatch.setattr("invengine.services.broken.short_numbers", lambda _: {})
        return BrokenPromises(
            store, replica, scan, metrics, start_seconds=0, whole_seconds=0, look_seconds=0, lead=lead
        ).run()
    if name == "transfers":
        monkeypatch.setattr(transfers_module, "TIDY_ROUND_SECONDS", 0)
        incoming: Any = SimpleNamespace(locations=frozenset())
        return Transfers(store, replica, SimpleNamespace(), incoming, metrics).run(lead)  # type: ignore[arg-type]
    sweeper = Sweeper(store, replica, metrics, partitions_per_second=1e6, lead=lead)
    monkeypatch.setattr("invengine.services.sweeper.FORGET_ROUND_SECONDS", 0)
    return sweeper.run() if name == "sweeping" else sweeper.run_forgetting()


@pytest.mark.parametrize("name", ["sweeping", "forgetting", "figures", "transfers", "broken promises"])
async def test_only_the_one_that_leads_asks_the_store(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    store, lead = Store(), Lead(leads=False)
    task = asyncio.ensure_future(work(name, store, lead, monkeypatch))
    for _ in range(50):
        await asyncio.sleep(0)
    assert not store.was_asked.is_set()
    lead.take()
    async with asyncio.timeout(30):
        await store.was_asked.wait()
    task.cancel()
    await asyncio.wait({task})
    assert task.cancelled()


async def test_a_server_of_one_process_leads() -> None:
    assert Lead().is_ours
    await Lead().ours()
