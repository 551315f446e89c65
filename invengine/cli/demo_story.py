"""What the demo tells: one day at a made-up retailer, each step with the command that does the same."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import typer

from invengine.cli import demo_profile, demo_promise, demo_rates
from invengine.cli.exits import sentence
from invengine.cli.output import Cell, table
from invengine.cli.render import as_json
from invengine.cli.sample_data import Retailer, make_retailer
from invengine.client import Client, Line, Movement
from invengine.errors import InsufficientStock
from invengine.v1.common_pb2 import FULFILMENT_PICKUP, Consistency
from invengine.v1.reservation_service_pb2 import Reservation
from invengine.v1.stock_service_pb2 import PostMovementsResponse

if TYPE_CHECKING:
    from invengine.v1.availability_service_pb2 import GetAvailabilityResponse

_BATCH: Final = 2_000
_IN_FLIGHT: Final = 4
_HOLD_SECONDS: Final = 2
_LATEST: Final = Consistency(fully_consistent=True)


class Teller:
    """Prints the story, and keeps its facts for --json; `quiet` prints nothing."""

    def __init__(self, *, quiet: bool) -> None:
        self.facts: dict[str, Any] = {}
        self._quiet = quiet
        self._steps = 0

    def step(self, title: str) -> None:
        """A new step of the story."""
        self._steps += 1
        self.text(f"\n{self._steps}. {title}")

    def text(self, text: str) -> None:
        """A sentence."""
        if not self._quiet:
            typer.echo(text)

    def command(self, line: str) -> None:
        """The command line that does the same."""
        self.text(f"   $ invengine {line}")

    def table(self, columns: tuple[str, ...], rows: Sequence[Sequence[Cell]]) -> None:
        """Numbers."""
        if not self._quiet:
            table(columns, rows)

    def fact(self, name: str, value: Any) -> None:
        """Something for programs."""
        self.facts[name] = value


class Story:
    """One run. Every number that is told comes from an answer of the engine."""

    def __init__(self, client: Client, teller: Teller) -> None:
        self._client = client
        self._teller = teller

    async def tell(self, seconds: float) -> bool:
        """The whole story; whether the check at its end found nothing."""
        retailer = make_retailer()
        await self._open(retailer)
        sku, store = _scarce(retailer)
        await self._ask(sku)
        await demo_promise.promise(self._client, self._teller, retailer, sku, store)
        held = await self._hold_the_last(sku, store)
        await self._hand_over(sku, store, held)
        await self._let_a_hold_run_out(sku)
        await self._count(sku)
        await self._explain(sku)
        await self._promise_what_is_coming(sku)
        await demo_profile.profile(self._client, self._teller, retailer, sku, store)
        await self._measure(retailer, seconds)
        return await self._check()

    async def _open(self, retailer: Retailer) -> None:
        applied = await self._client.apply_network(retailer.network)
        tell = self._teller
        tell.step(f"A retailer opens: {len(retailer.places)} locations, {len(retailer.skus)} SKUs.")
        tell.command("network apply network.yaml")
        tell.command("stock import stock.csv")
        movements = [
            Movement(
                source="opening",
                event_id=f"opening-{number}",
                kind=Movement.KIND_RECEIPT,
                sku=row.sku,
                location=row.location,
                quantity=row.quantity,
            )
            for number, row in enumerate(retailer.stock)
        ]
        ahead = asyncio.Semaphore(_IN_FLIGHT)

        async def post(part: list[Movement]) -> int:
            async with ahead:
                answer = await self._client.post_movements(part)
            return sum(o.result == PostMovementsResponse.Outcome.RESULT_APPLIED for o in answer.outcomes)

        parts = (movements[start : start + _BATCH] for start in range(0, len(movements), _BATCH))
        opened = sum(await asyncio.gather(*(post(part) for part in parts)))
        units = sum(row.quantity for row in retailer.stock)
        tell.text(f"   {opened} positions hold {units} units. Network revision {applied.revision} is in force.")
        tell.fact("locations", len(retailer.places))
        tell.fact("positions", opened)

    async def _ask(self, sku: str) -> None:
        self._teller.step(f"The web shop asks what it can sell of {sku}, and where it is.")
        self._teller.command(f"availability {sku} --channel web")
        self._show("asked", await self._availability(sku, "web"))

    async def _hold_the_last(self, sku: str, store: str) -> str:
        tell = self._teller
        tell.step(f"An app user puts the last one of {store} into the cart. At once, nobody else can have it.")
        tell.command(f"reserve {sku} 1@{store} --fulfilment pickup --channel app --cart cart-7 --hold-seconds 120")
        line = Line(sku=sku, quantity=1, location=store, fulfilment=FULFILMENT_PICKUP)
        held = await self._client.reserve([line], channel="app", cart_ref="cart-7", time_to_live_seconds=120)
        name = held.reservation.reservation_id
        tell.text(f"   {name} is {_state(held.reservation)}.")
        tell.command(f"reserve {sku} 1@{store} --channel till")
        try:
            await self._client.reserve([Line(sku=sku, quantity=1, location=store)], channel="till")
        except InsufficientStock as refusal:
            tell.text(f"   The till is refused: {sentence(refusal)}.")
            tell.fact("refused", refusal.reason)
        own = await self._client.get_availability(sku, channel="app", locations=[store], ignore_reservation_id=name)
        tell.text(f"   To the app user, whose hold it is, the page still says: {own.available} left.")
        return name

    async def _hand_over(self, sku: str, store: str, held: str) -> None:
        tell = self._teller
        tell.step("The customer walks into the store and pays there: the till takes the app's hold over.")
        tell.command(f"reservation confirm {held} --channel till --order order-1")
        confirmed = await self._client.confirm(held, channel="till", order_ref="order-1")
        tell.text(f"   {_state(confirmed.reservation)}: it does not run out any more.")
        tell.command(f"reservation fulfil {held} --channel till")
        fulfilled = await self._client.fulfil(held, channel="till")
        tell.text(f"   {_state(fulfilled.reservation)}: the unit left the store.")
        position = (await self._client.get_position(sku, store, consistency=_LATEST)).position
        tell.text(f"   {store} now has {position.on_hand} on hand, {position.reserved} reserved.")
        tell.fact("handedOver", _state(fulfilled.reservation))

    async def _let_a_hold_run_out(self, sku: str) -> None:
        tell = self._teller
        before = (await self._availability(sku, "web")).available
        tell.step(f"A web shopper holds 3 {sku} for {_HOLD_SECONDS} seconds and walks away.")
        tell.command(f"reserve {sku} 3 --channel web --hold-seconds {_HOLD_SECONDS} --allow-split")
        held = await self._client.reserve(
            [Line(sku=sku, quantity=3, allow_split=True)], channel="web", time_to_live_seconds=_HOLD_SECONDS
        )
        during = (await self._availability(sku, "web")).available
        over = held.reservation.expire_time.ToDatetime(tzinfo=UTC)
        await asyncio.sleep(max(0.0, (over - datetime.now(UTC)).total_seconds()) + 0.1)
        after = (await self._availability(sku, "web")).available
        tell.text(f"   Available to the web before, during and after the hold: {before}, {during}, {after}.")
        tell.fact("hold", {"before": before, "during": during, "after": after})

    async def _count(self, sku: str) -> None:
        tell = self._teller
        richest = max((await self._availability(sku, "web")).positions, key=lambda position: position.on_hand)
        counted = richest.on_hand - 5
        tell.step(f"{richest.location} counts its shelf: {counted} {sku}, not {richest.on_hand}. A count is a fact.")
        tell.command(f"stock post COUNT {sku} {richest.location} {counted} --reason stocktake")
        await self._client.post_movements(
            [
                Movement(
                    source="stocktake",
                    kind=Movement.KIND_COUNT,
                    sku=sku,
                    location=richest.location,
                    quantity=counted,
                    reason="stocktake",
                )
            ]
        )
        self._show("counted", await self._availability(sku, "web"))

    async def _explain(self, sku: str) -> None:
        tell = self._teller
        tell.step("Why are the numbers what they are? The ledger says who changed what.")
        tell.command(f"history {sku} --limit 8")
        answer = await self._client.list_movements(sku, page_size=8)
        tell.table(
            ("location", "kind", "actor", "on_hand", "reserved", "reason"),
            [
                (
                    entry.location,
                    entry.kind,
                    entry.actor,
                    f"{entry.on_hand_before} -> {entry.on_hand_after}",
                    f"{entry.reserved_before} -> {entry.reserved_after}",
                    entry.reason or entry.reference,
                )
                for entry in answer.entries
            ],
        )
        tell.fact("history", [entry.kind for entry in answer.entries])

    async def _promise_what_is_coming(self, sku: str) -> None:
        tell = self._teller
        place = max((await self._availability(sku, "web")).positions, key=lambda position: position.available)
        where, wanted, day = place.location, place.available + 2, datetime.now(UTC).date() + timedelta(days=3)
        tell.step(f"{where} expects 6 more {sku}. A customer who can wait orders more than there is now.")
        tell.command(f"incoming set po-1 {sku} {where} 6 {day}")
        await self._client.set_incoming("po-1", sku, where, quantity=6, expected_date=day)
        tell.command(f"reserve {sku} {wanted}@{where} --allow-backorder --channel web")
        line = Line(sku=sku, quantity=wanted, location=where, allow_backorder=True)
        made = (await self._client.reserve([line], channel="web")).reservation
        tell.text(f"   {_told(made)}.")
        tell.command(f"incoming receive po-1 {sku} {where} 6")
        await self._client.receive_incoming("po-1", sku, where, quantity=6)
        arrived = (await self._client.get_reservation(made.reservation_id, channel="web")).reservation
        free = (
            await self._client.get_availability(sku, channel="web", locations=[where], consistency=_LATEST)
        ).available
        tell.text(f"   It arrives: {_told(arrived)}; {free} are free for others.")
        tell.fact("promised", {"before": _told(made), "after": _told(arrived), "free": free})

    async def _measure(self, retailer: Retailer, seconds: float) -> None:
        tell = self._teller
        tell.step("How fast is it, with this one Python client on the same machine?")
        rates = await demo_rates.measure(self._client, retailer, seconds)
        tell.table(("what", "per_second"), [(rate.what, round(rate.per_second)) for rate in rates])
        tell.text(f"   {os.cpu_count()} processors are shared by client, server and Redis; every write is on disk.")
        tell.fact("rates", {rate.name: round(rate.per_second) for rate in rates})

    async def _check(self) -> bool:
        tell = self._teller
        tell.step("Does it all add up? The engine checks every position, reservation and replica row.")
        tell.command("check")
        answer = await self._client.check_integrity()
        tell.text(
            f"   {answer.positions_checked} positions and {answer.reservations_checked} live reservations checked, "
            f"{answer.violations_count} violations."
        )
        tell.fact("check", as_json(answer))
        return answer.violations_count == 0

    async def _availability(self, sku: str, channel: str) -> GetAvailabilityResponse:
        return await self._client.get_availability(sku, channel=channel, consistency=_LATEST)

    def _show(self, name: str, answer: GetAvailabilityResponse) -> None:
        rows: list[tuple[str | int, ...]] = [
            (p.location, p.available, p.on_hand, p.reserved, p.safety_stock) for p in answer.positions
        ]
        self._teller.table(
            ("location", "available", "on_hand", "reserved", "safety_stock"),
            [*rows, ("total", answer.available, "", "", "")],
        )
        self._teller.fact(name, answer.available)


def _state(reservation: Reservation) -> str:
    return Reservation.State.Name(reservation.state).removeprefix("STATE_")


def _told(reservation: Reservation) -> str:
    """What its units rest on."""
    pegged = sum(a.quantity for line in reservation.lines for a in line.allocations if a.receipt_id)
    on_hand = sum(a.quantity for line in reservation.lines for a in line.allocations if not a.receipt_id)
    return f"{on_hand} on hand are reserved" + (f", {pegged} are promised out of the receipt" if pegged else "")


def _scarce(retailer: Retailer) -> tuple[str, str]:
    """A SKU of few positions, and a store that can sell exactly one of it: of two units, one stays as safety stock."""
    stores = {place.id for place in retailer.places if place.kind == "store"}
    positions: dict[str, int] = {}
    for row in retailer.stock:
        positions[row.sku] = positions.get(row.sku, 0) + 1
    ruled = set(retailer.skus[: len(retailer.skus) // 50])  # the most popular have rules of their own
    candidates = [
        (positions[row.sku], row.sku, row.location)
        for row in retailer.stock
        if row.location in stores and row.quantity == 2 and row.sku not in ruled and positions[row.sku] >= 4
    ]
    _, sku, store = min(candidates)
    return sku, store
