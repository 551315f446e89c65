"""Terms add up to what the formula says, on any figures and under any rules."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from invengine.domain import explanation
from invengine.domain.explanation import Cap, Figures, SafetyRule, Term, terms_of
from invengine.domain.network import Network
from invengine.domain.orders import Fulfilment
from invengine.domain.stock import UNITS_MAX, safety_units

units = st.one_of(st.integers(0, 12), st.integers(0, UNITS_MAX))


@st.composite
def figures(draw: st.DrawFn) -> Figures:
    reserved = draw(units)
    expired = min(reserved, draw(units))
    ignored = min(reserved - expired, draw(units))
    own = draw(units)
    return Figures(draw(units), reserved, expired, ignored, own + draw(units), own)


rules = st.lists(st.tuples(units, st.integers(0, 10_000)), max_size=4)


def keeping(on_hand: int, said: list[tuple[int, int]]) -> list[SafetyRule]:
    return [SafetyRule("LAMP", "", "", *rule, safety_units(on_hand, *rule)) for rule in said]


@given(figures(), rules, st.booleans(), st.lists(units, max_size=2))
def test_the_terms_add_up_to_the_definition(its: Figures, said: list[tuple[int, int]], borrows: bool, caps: list[int]):
    """max(0, min(unreserved - safety, own + max(0, pool))), then what other caps leave of it."""
    kept = keeping(its.on_hand, said)
    winner = explanation.winner(kept)
    others = [Cap(f"cap {n}", limit, "said so") for n, limit in enumerate(caps)]
    terms = terms_of(its, channel="web", borrows=borrows, safety=winner, caps=others)

    unreserved = its.on_hand - (its.reserved - its.expired - its.ignored)
    safety = max([rule.keeps for rule in kept], default=0)
    limit = its.own_fence + (max(0, unreserved - its.fenced) if borrows else 0)
    expected = max(0, min([unreserved - safety, limit, *caps]))
    assert sum(term.quantity for term in terms) == expected
    assert explanation.available(terms) == expected
    assert [term.name for term in terms[:2]] == ["on_hand", "reserved"]
    assert all(term.rule for term in terms)


def test_every_term_names_its_rule() -> None:
    winner = SafetyRule("LAMP", "AMS1", "", 0, 1250, 2)
    terms = terms_of(
        Figures(on_hand=10, reserved=6, expired=1, ignored=2, fenced=5, own_fence=1),
        channel="web",
        borrows=True,
        safety=winner,
        ignored_reservation="R1",
    )
    assert terms == (
        Term("on_hand", 10, "sellable units that are there"),
        Term("reserved", -6, "units that reservations set aside"),
        Term("expired_holds", 1, "of these, units of holds that are over: they do not count"),
        Term("ignored_reservation", 2, "of these, units of reservation R1, which is ignored"),
        Term("safety_stock", -2, "kept back: 12.5 % of on_hand for SKU LAMP and location AMS1"),
        Term(
            "ring_fences",
            -2,
            "4 are kept for others: web may take its own ring-fence of 1 and the 2 kept for nobody",
        ),
    )


def test_a_channel_that_may_not_borrow_is_told_so() -> None:
    (*_, fence) = terms_of(Figures(on_hand=10, fenced=3, own_fence=3), channel="till", borrows=False, safety=None)
    assert fence == Term("ring_fences", -7, "till may take from its own ring-fence only, which has 3")


def test_less_than_nothing_counts_as_nothing() -> None:
    terms = terms_of(Figures(on_hand=2, reserved=5), channel="web", borrows=True, safety=None)
    assert [(term.name, term.quantity) for term in terms] == [
        ("on_hand", 2),
        ("reserved", -5),
        ("safety_stock", 0),
        ("not_below_zero", 3),
    ]


NETWORK = Network.parse(
    """
locations:
  AMS1: {kind: warehouse}
  BER: {kind: store}
  OLD: {kind: store, enabled: false}
groups: {eu: [AMS1, BER, OLD], stores: [BER], none: []}
channels:
  web: {groups: [eu, stores]}
  lonely: {groups: [none]}
  off: {groups: [eu], enabled: false}
safety_stock:
  - {sku: LAMP, units: 2, percent: 10}
  - {sku: LAMP, location: BER, percent: 50}
  - {location: BER, units: 5}
  - {channel: web, units: 4}
"""
)


def test_all_rules_that_match_are_named_and_one_wins() -> None:
    found = explanation.safety_rules(NETWORK, "web", "LAMP", "BER", 9)
    assert [(rule[:3], rule.keeps) for rule in found] == [
        (("LAMP", "BER", ""), 5),
        (("LAMP", "", ""), 2),
        (("", "BER", ""), 5),
        (("", "", "web"), 4),
    ]
    winner = explanation.winner(found)
    assert winner is found[0]  # of equals the most specific
    assert [rule.sentence for rule in found] == [
        "50 % of on_hand for SKU LAMP and location BER",
        "2 units or 10 % of on_hand for SKU LAMP",
        "5 units for location BER",
        "4 units for channel web",
    ]
    assert explanation.winner(explanation.safety_rules(NETWORK, "off", "CHAIR", "AMS1", 9)) is None


@pytest.mark.parametrize(
    ("channel", "location", "fulfilment", "told"),
    [
        ("web", "BER", Fulfilment.ANY, "web sees BER through eu, stores; BER offers pickup"),
        ("web", "BER", Fulfilment.SHIP_TO_STORE, "BER offers pickup, not ship-to-store"),
        ("web", "OLD", Fulfilment.ANY, "location OLD is switched off in the network file"),
        ("off", "BER", Fulfilment.ANY, "channel off is switched off in the network file"),
        ("lonely", "BER", Fulfilment.ANY, "BER is in none of the groups of lonely (none)"),
    ],
)
def test_a_rule_says_why_a_location_can_or_cannot_be_used(
    channel: str, location: str, fulfilment: Fulfilment, told: str
) -> None:
    why_not = NETWORK.why_not(channel, location, fulfilment)
    assert explanation.usable_rule(NETWORK, channel, location, fulfilment, why_not) == told
