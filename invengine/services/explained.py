"""One position explained: a plain function of what is known of it at one moment. Of a kit: of its components there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from invengine.domain import explanation
from invengine.domain.explanation import Cap, Figures, SafetyRule, Term
from invengine.domain.orders import Fulfilment, Reservation, ReservationState
from invengine.domain.stock import uncertain_units

if TYPE_CHECKING:
    from invengine.domain.incoming import Receipt
    from invengine.domain.kits import Kit
    from invengine.domain.network import Network
    from invengine.domain.stock import LedgerEntry
    from invengine.store.behind import HeldUnits

LIVE: Final = (ReservationState.HELD, ReservationState.CONFIRMED)


@dataclass(frozen=True, slots=True)
class Question:
    """What is to be explained, to whom. `ignored` is the reservation that does not count, if there is one."""

    network: Network
    sku: str
    channel: str
    fulfilment: Fulfilment
    ignored: Reservation | None
    reservations_max: int


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a position. `reserved` and `ring_fences`, (channel, units), as callers see them, with what holds
    that are over gave back; `expired` are the units of such holds that the store still has among its reserved ones.
    `overdue_stops`: receipts whose day is over do not count there.
    """

    location: str
    on_hand: int = 0
    reserved: int = 0
    expired: int = 0
    revision: int = 0
    ring_fences: tuple[tuple[str, int], ...] = ()
    held: Sequence[HeldUnits] = ()
    receipts: Sequence[Receipt] = ()
    backordered: int = 0
    last_change: LedgerEntry | None = None
    states: tuple[tuple[str, int], ...] = ()
    counted_at_ms: int = 0
    overdue_stops: bool = False


@dataclass(frozen=True, slots=True)
class Holder:
    """Units that a line holds; `counts`: they are among those that the channel cannot take."""

    held: HeldUnits
    state: ReservationState
    counts: bool


@dataclass(frozen=True, slots=True)
class Explanation:
    """A position with everything behind its number. `reasons` are words of AvailabilityReason."""

    known: Known
    figures: Figures
    terms: tuple[Term, ...]
    reasons: tuple[str, ...]
    why_not: str
    usable_rule: str
    rules: tuple[SafetyRule, ...]
    winner: SafetyRule | None
    ring_fences: tuple[tuple[str, int], ...]
    borrows: bool
    backordered_max: int
    holders: tuple[Holder, ...] = field(default=())
    unlisted_lines: int = 0
    unlisted_units: int = 0

    @property
    def available(self) -> int:
        """Units that the channel can take."""
        return explanation.available(self.terms)


@dataclass(frozen=True, slots=True)
class KitExplanation:
    """A kit at one location: of each of its components, in the order of the network file, the explanation there."""

    kit: Kit
    positions: tuple[Explanation, ...]

    def kits_of(self, part: int) -> int:
        """Whole kits for which there is enough of this component, counted from 0."""
        return self.positions[part].available // self.kit[part].units

    @property
    def limiting(self) -> int:
        """The component of which there is the least for the kit, the first of them."""
        return min(range(len(self.kit)), key=self.kits_of)

    @property
    def available(self) -> int:
        """Whole kits that the channel can take."""
        return self.kits_of(self.limiting)

    @property
    def on_hand(self) -> int:
        """Whole kits that are there."""
        return min(its.known.on_hand // part.units for its, part in zip(self.positions, self.kit, strict=True))

    @property
    def terms(self) -> tuple[Term, ...]:
        """The sum: a single term, which names what limits."""
        part, its = self.kit[self.limiting], self.positions[self.limiting]
        rule = f"{its.available} {part.sku} can be taken, {part.units} for each kit"
        return (Term("limiting_component", self.available, rule),)


def explain(question: Question, known: Known, now_ms: int) -> Explanation:
    """Explains a position at this moment of the store's clock."""
    network, channel, location = question.network, question.channel, known.location
    figures, ring_fences = _figures(question, known, now_ms)
    rules = explanation.safety_rules(network, channel, question.sku, location, known.on_hand)
    winner = explanation.winner(rules)
    why_not = network.why_not(channel, location, question.fulfilment)
    usable_rule = explanation.usable_rule(network, channel, location, question.fulfilment, why_not)
    caps = [Cap("location", 0, usable_rule)] if why_not else []
    borrows = network.channel(channel).borrows
    uncertain = uncertain_units(known.on_hand, known.counted_at_ms, now_ms, network.confidence(location))
    terms = explanation.terms_of(
        figures,
        channel=channel,
        borrows=borrows,
        safety=winner,
        uncertain=uncertain,
        ignored_reservation=question.ignored.reservation_id if question.ignored else "",
        caps=caps,
    )
    holders = _holders(question, known, now_ms)
    listed = holders[: question.reservations_max]
    return Explanation(
        known,
        figures,
        terms,
        (why_not,) if why_not else _reasons(figures, winner, uncertain, explanation.available(terms)),
        why_not,
        usable_rule,
        tuple(rules),
        winner,
        ring_fences,
        borrows,
        network.backorder_units(channel, question.sku),
        tuple(listed),
        len(holders) - len(listed),
        max(0, known.reserved - sum(holder.held.units for holder in listed if holder.state in LIVE)),
    )


def _figures(question: Question, known: Known, now_ms: int) -> tuple[Figures, tuple[tuple[str, int], ...]]:
    """The units that the sum is made of, and the ring-fences with what the ignored reservation took out of them."""
    ignored, fences = 0, dict(known.ring_fences)
    if question.ignored is not None and question.ignored.state_at(now_ms) in LIVE:
        for line in question.ignored.lines:
            for its in line.allocations if line.sku == question.sku else ():
                if its.is_on_hand and its.location == known.location:
                    ignored += its.open
                    if its.fenced:
                        fences[its.fence_channel] = fences.get(its.fence_channel, 0) + its.fenced
    figures = Figures(
        known.on_hand,
        known.reserved + known.expired,
        known.expired,
        min(ignored, known.reserved),
        sum(fences.values()),
        fences.get(question.channel, 0),
    )
    return figures, tuple(sorted(fences.items()))


def _reasons(figures: Figures, winner: SafetyRule | None, uncertain: int, available: int) -> tuple[str, ...]:
    """Why a channel that can use the position is offered less than is on hand."""
    unreserved = figures.unreserved
    kept = winner.keeps if winner else 0
    above_safety, trusted = max(0, unreserved - kept), max(0, unreserved - kept - uncertain)
    found = []
    if above_safety < unreserved:
        found.append("SAFETY_STOCK")
    if unreserved < 0:
        found.append("SHORTFALL")
    if unreserved < figures.on_hand:
        found.append("RESERVED")
    if available < trusted:
        found.append("RING_FENCE")
    if trusted < above_safety:
        found.append("CONFIDENCE")
    return tuple(found)


def _holders(question: Question, known: Known, now_ms: int) -> list[Holder]:
    """What holds units here: what counts first, the newest first."""
    ignored = question.ignored.reservation_id if question.ignored else ""
    found = []
    for held in known.held:
        state = held.state
        if state is ReservationState.HELD and now_ms >= held.expires_at * 1000:
            state = ReservationState.EXPIRED
        found.append(Holder(held, state, state in LIVE and held.reservation_id != ignored))
    return sorted(found, key=lambda holder: (not holder.counts, -holder.held.created_at_ms, holder.held.reservation_id))
