"""Why a channel can take just so much of a position: a sum whose terms name their rules.

A number is explained by terms that add units and take units away, and by caps: rules that let no more than so many
units be offered. A cap becomes the term that it takes off what is left when its turn comes, so the quantities of all
terms always add up to what is available. A new rule is a term or a cap more for `terms_of`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from invengine.domain.network_parts import Safety
from invengine.domain.orders import Fulfilment
from invengine.domain.stock import safety_units

if TYPE_CHECKING:
    from invengine.domain.network import Network


class Term(NamedTuple):
    """One step of a sum: signed units, and a sentence that says what makes it so many."""

    name: str
    quantity: int
    rule: str


class Cap(NamedTuple):
    """A rule by which at most `limit` units are offered."""

    name: str
    limit: int
    rule: str


class SafetyRule(NamedTuple):
    """A rule that keeps units back; what it does not name is empty. `keeps` is what it comes to at a position."""

    sku: str
    location: str
    channel: str
    units: int
    parts: int
    keeps: int

    @property
    def sentence(self) -> str:
        """The rule in words."""
        named = (("SKU", self.sku), ("location", self.location), ("channel", self.channel))
        scope = " and ".join(f"{what} {name}" for what, name in named if name)
        amounts = []
        if self.units or not self.parts:
            amounts.append(f"{self.units} units")
        if self.parts:
            amounts.append(f"{percent(self.parts)} of on_hand")
        return f"{' or '.join(amounts)} for {scope}"


@dataclass(frozen=True, slots=True)
class Figures:
    """The units of a position that a question is about.

    `reserved` is what the store has set aside, `expired` the part of it whose holds are over, `ignored` the part of the
    rest that the question does not count. `fenced` is in all ring-fences and `own_fence` in that of the channel, both
    with what is back in them.
    """

    on_hand: int = 0
    reserved: int = 0
    expired: int = 0
    ignored: int = 0
    fenced: int = 0
    own_fence: int = 0

    @property
    def unreserved(self) -> int:
        """Units on hand that nobody has reserved."""
        return self.on_hand - self.reserved + self.expired + self.ignored

    @property
    def pool(self) -> int:
        """Of these, units that are fenced for nobody; negative where more is fenced than there is."""
        return self.unreserved - self.fenced


def percent(parts: int) -> str:
    """Ten-thousandths as people write them: 1250 is `12.5 %`."""
    return f"{parts / 100:.2f}".rstrip("0").rstrip(".") + " %"


def terms_of(
    figures: Figures,
    *,
    channel: str,
    borrows: bool,
    safety: SafetyRule | None,
    uncertain: int = 0,
    ignored_reservation: str = "",
    caps: Iterable[Cap] = (),
) -> tuple[Term, ...]:
    """The sum that ends in what the channel can take. `caps` come after the ring-fences, in their order.

    `uncertain` are the units that rules for confidence keep from being offered.
    """
    terms = [
        Term("on_hand", figures.on_hand, "sellable units that are there"),
        Term("reserved", -figures.reserved, "units that reservations set aside"),
    ]
    if figures.expired:
        terms.append(
            Term("expired_holds", figures.expired, "of these, units of holds that are over: they do not count")
        )
    if figures.ignored:
        rule = f"of these, units of reservation {ignored_reservation}, which is ignored"
        terms.append(Term("ignored_reservation", figures.ignored, rule))
    if safety is None:
        terms.append(Term("safety_stock", 0, "no rule keeps units back here"))
    else:
        terms.append(Term("safety_stock", -safety.keeps, f"kept back: {safety.sentence}"))
    if uncertain:
        rule = "not offered: the last count is old or the units are few, by the rules for confidence"
        terms.append(Term("confidence", -uncertain, rule))
    left = figures.unreserved - (safety.keeps if safety else 0) - uncertain
    for cap in (_ring_fences(figures, channel, borrows), *caps):
        if cap.limit < left:
            terms.append(Term(cap.name, cap.limit - left, cap.rule))
            left = cap.limit
    if left < 0:
        terms.append(Term("not_below_zero", -left, "what is missing is not taken from other positions"))
    return tuple(terms)


def _ring_fences(figures: Figures, channel: str, borrows: bool) -> Cap:
    own = figures.own_fence
    if not borrows:
        return Cap("ring_fences", own, f"{channel} may take from its own ring-fence only, which has {own}")
    pool = max(0, figures.pool)
    others = figures.fenced - own
    rule = (
        f"{others} are kept for others: {channel} may take its own ring-fence of {own} and the {pool} kept for nobody"
    )
    return Cap("ring_fences", own + pool, rule)


def unusable(why_not: str, rule: str) -> Cap:
    """The cap of a location that the channel cannot use."""
    return Cap("location", 0, f"{why_not}: {rule}")


def available(terms: Iterable[Term]) -> int:
    """What the terms add up to."""
    return sum(term.quantity for term in terms)


def safety_rules(network: Network, channel: str, sku: str, location: str, on_hand: int) -> list[SafetyRule]:
    """The rules that match, the most specific first; of those that keep most the first one wins."""
    found: list[tuple[tuple[str, str, str], Safety | None]] = [
        ((sku, location, ""), network.position_safety.get((sku, location))),
        ((sku, "", ""), network.sku_safety.get(sku)),
        (("", location, ""), network.location_safety.get(location)),
        (("", "", channel), network.channel_safety.get(channel)),
    ]
    return [
        SafetyRule(*scope, *safety, safety_units(on_hand, *safety)) for scope, safety in found if safety is not None
    ]


def winner(rules: list[SafetyRule]) -> SafetyRule | None:
    """The rule that counts, None where there is none."""
    return max(rules, key=lambda rule: rule.keeps, default=None)


def usable_rule(network: Network, channel: str, location: str, fulfilment: Fulfilment, why_not: str) -> str:
    """The sentence behind the answer of `Network.why_not`."""
    place = network.locations[location]
    groups = network.channel(channel).groups
    if why_not == "CHANNEL_DISABLED":
        return f"channel {channel} is switched off in the network file"
    if why_not == "LOCATION_DISABLED":
        return f"location {location} is switched off in the network file"
    if why_not == "NOT_IN_CHANNEL":
        return f"{location} is in none of the groups of {channel} ({', '.join(groups) or 'it has none'})"
    ways = " and ".join(sorted(way.lower() for way in place.fulfilments)) or "nothing"
    if why_not:
        return f"{location} offers {ways}, not {fulfilment.lower().replace('_', '-')}"
    seen = ", ".join(group for group in groups if location in network.groups[group])
    return f"{channel} sees {location} through {seen}; {location} offers {ways}"
