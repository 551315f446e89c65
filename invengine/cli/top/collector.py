"""Asks the engine for what the screen shows, with the calls that every channel has."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Iterable
from contextlib import aclosing, suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from invengine.cli.exits import sentence
from invengine.cli.render import instant, word
from invengine.cli.top import metrics_page
from invengine.cli.top.looks import AtRisk, Broken, Busy, Look

if TYPE_CHECKING:
    from invengine.client import Client

PAGE: Final = 1_000
LISTED: Final = 50
"""SKUs of a panel that are asked about."""

_PAGES_OF_CHANGES_MAX: Final = 5
_WINDOW_SECONDS: Final = 60.0
_FIRST_LEVELS_SECONDS: Final = 3.0
_LOW: Final = ("LOW", "OUT")


class Collector:
    """Looks at the engine again and again. Use it in an `async with` block.

    `channel` and `location` narrow what is looked at, empty for all; they may be changed with `narrow`.
    """

    def __init__(self, client: Client, *, channel: str = "", location: str = "", metrics: str = "") -> None:
        self.channel = channel
        self.location = location
        self._client = client
        self._metrics = metrics
        self._last = Look(datetime.now(UTC), client.server)
        self._page: tuple[float, metrics_page.Samples] | None = None
        self._forget()
        self._watching: asyncio.Task[None] | None = None

    def _forget(self) -> None:
        """What was seen through other filters counts no more."""
        self._token = ""
        self._began = time.monotonic()
        self._changes: deque[tuple[float, Counter[str]]] = deque()
        self._low: dict[str, int] = {}
        self._levels_known = asyncio.Event()

    async def __aenter__(self) -> Collector:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stop_watching()

    async def narrow(self, *, channel: str, location: str) -> None:
        """Looks at another channel or location from now on."""
        await self._stop_watching()
        self.channel, self.location = channel, location
        self._forget()

    async def look(self) -> Look:
        """What there is now. Where the engine cannot be asked: what there was, and why."""
        from invengine.client import CallFailed
        from invengine.errors import InventoryError

        server, metrics_problem = await self._server()
        try:
            found = await self._engine()
        except (InventoryError, CallFailed) as error:
            self._token = ""  # changes are counted anew once it is back
            found = replace(self._last, problem=sentence(error))
        self._last = replace(found, time=datetime.now(UTC), metrics=server, metrics_problem=metrics_problem)
        return self._last

    async def _engine(self) -> Look:
        if self.channel and (self._watching is None or self._watching.done()):
            self._watching = asyncio.create_task(self._watch_levels())
            with suppress(TimeoutError):
                await asyncio.wait_for(self._levels_known.wait(), _FIRST_LEVELS_SECONDS)
        shortfalls = await self._client.list_shortfalls(location=self.location, channel=self.channel, page_size=PAGE)
        promises = await self._client.list_broken_promises(location=self.location, channel=self.channel, page_size=PAGE)
        is_sampled = await self._count_changes(shortfalls.consistency_token)
        busiest = self._busiest()
        available = await self._available({*(sku for sku, _ in busiest), *self._lowest()})
        short = [AtRisk(one.sku, one.location, -one.units, "SHORT") for one in shortfalls.shortfalls]
        low = [AtRisk(sku, self.location, units, level) for sku, (units, level) in available.items() if level in _LOW]
        broken = sorted(promises.broken_promises, key=lambda one: one.break_time.ToNanoseconds(), reverse=True)
        reasons = [word(type(one).Reason.Name(one.reason), "REASON_") for one in broken]
        return Look(
            datetime.now(UTC),
            self._client.server,
            at_risk=[*sorted(short, key=lambda one: one.units), *sorted(low, key=lambda one: (one.units, one.sku))],
            busiest=[Busy(sku, rate, *available.get(sku, (None, ""))) for sku, rate in busiest],
            is_sampled=is_sampled,
            broken=[
                Broken(one.sku, one.location, one.reservation_id, one.quantity, reason, instant(one.break_time))
                for one, reason in zip(broken, reasons, strict=True)
            ],
            broken_by_reason=dict(Counter(reasons)),
            has_more_broken=bool(promises.next_page_token),
        )

    async def _count_changes(self, newest_token: str) -> bool:
        """Reads the ledger since the last look, and says whether a part had to be passed over."""
        now = time.monotonic()
        if not self._token:
            self._token, self._began = newest_token, now
            self._changes.clear()
            return False
        counts: Counter[str] = Counter()
        until = ""
        for _ in range(_PAGES_OF_CHANGES_MAX):
            part = await self._client.export_movements(
                after_token=self._token, until_token=until, page_size=PAGE, location=self.location
            )
            counts.update(entry.sku for entry in part.entries if not self.channel or entry.actor in ("", self.channel))
            self._token, until = part.consistency_token, part.until_token
            if self._token == until:
                break
        is_sampled = self._token != until
        if is_sampled:
            self._token = newest_token
        self._changes.append((now, counts))
        while self._changes[0][0] < now - _WINDOW_SECONDS:
            self._changes.popleft()
        return is_sampled

    def _busiest(self) -> list[tuple[str, int]]:
        """SKUs by changes a minute."""
        total: Counter[str] = Counter()
        for _, counts in self._changes:
            total.update(counts)
        seconds = max(1.0, min(_WINDOW_SECONDS, time.monotonic() - self._began))
        ranked = sorted(total.items(), key=lambda one: (-one[1], one[0]))[:LISTED]
        return [(sku, max(1, round(count * 60 / seconds))) for sku, count in ranked]

    def _lowest(self) -> list[str]:
        return sorted(self._low, key=lambda sku: (self._low[sku], sku))[:LISTED]

    async def _available(self, skus: Iterable[str]) -> dict[str, tuple[int, str]]:
        """What the channel can take of these, and at which level that is."""
        from invengine.v1 import availability_service_pb2 as pb

        asked = sorted(skus)
        if not self.channel or not asked:
            return {}
        places = [self.location] if self.location else []
        answer = await self._client.batch_get_availability(asked, channel=self.channel, locations=places)
        levels = [word(pb.Level.Name(level), "LEVEL_") for level in answer.level]
        return dict(zip(asked, zip(answer.available, levels, strict=True), strict=True))

    async def _watch_levels(self) -> None:
        """Keeps in mind which SKUs run low, for as long as the engine tells it."""
        from invengine.client import CallFailed
        from invengine.errors import InventoryError
        from invengine.v1 import availability_service_pb2 as pb

        places = [self.location] if self.location else []
        messages = self._client.watch(channel=self.channel, locations=places, levels_only=True, outage_seconds=0)
        with suppress(InventoryError, CallFailed):  # the next look finds out, and begins anew
            async with aclosing(messages):
                async for message in messages:
                    if message.begins_anew:
                        self._low.clear()
                    for change in message.changes:
                        if change.level == pb.LEVEL_LOW:
                            self._low[change.sku] = change.available
                        else:
                            self._low.pop(change.sku, None)
                    if message.caught_up:
                        self._levels_known.set()

    async def _stop_watching(self) -> None:
        if self._watching is not None:
            self._watching.cancel()
            with suppress(asyncio.CancelledError):
                await self._watching
            self._watching = None

    async def _server(self) -> tuple[metrics_page.ServerLook | None, str]:
        if not self._metrics:
            return None, ""
        try:
            samples = await metrics_page.fetch(self._metrics, self._client.timeout_seconds)
        except metrics_page.MetricsAway as away:
            self._page = None
            return None, f"No metrics: {away}"
        now = time.monotonic()
        before = self._page
        self._page = now, samples
        seconds = now - before[0] if before else 0.0
        return metrics_page.server_look(samples, before[1] if before else None, seconds), ""

    async def explain(self, sku: str) -> list[str]:
        """Why the channel can take just so many of a SKU, location by location, in lines."""
        answer = await self._client.explain_availability(
            sku, channel=self.channel, locations=[self.location] if self.location else [], reservations_max=5
        )
        lines = [f"{self.channel} can take {answer.available} {sku}", ""]
        for position in answer.positions:
            lines.append(f"{position.location}: {position.available} available")
            lines += [f"  {term.name:<16} {term.quantity:>+7}  {term.rule}" for term in position.terms]
            lines += [
                f"  {held.quantity} held by {held.reservation_id} of {held.channel}" for held in position.reservations
            ]
            lines += [f"  {one.quantity} of {one.receipt_id} expected" for one in position.incoming]
        return lines
