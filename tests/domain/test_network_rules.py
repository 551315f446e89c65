"""Kits, confidence and thresholds in the network file: what may be written, what it means, what is wrong where."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from invengine.domain.kits import COMPONENT_UNITS_MAX, COMPONENTS_MAX, Component
from invengine.domain.network import Network, diff
from invengine.domain.stock import UNITS_MAX, ConfidenceRule, safety_units, uncertain_units
from invengine.errors import NetworkInvalid

PLACES = """\
locations: {A: {}, B: {}}
groups: {all: [A, B]}
channels: {web: {groups: [all], low_stock_threshold: 4}, till: {groups: [all]}}
"""
DAY_MS = 86_400_000


def network(more: str = "") -> Network:
    return Network.parse(PLACES + more)


def faults(more: str) -> list[tuple[int, str, str]]:
    with pytest.raises(NetworkInvalid) as refused:
        network(more)
    return [(fault.line, fault.path, fault.problem) for fault in refused.value.faults]


def test_kits_are_known_by_name_and_by_component() -> None:
    of = network("kits:\n  SET: {SOFA: 1, CUSHION: 4}\n  PAIR: {CUSHION: 2}\n")
    assert of.kits == {"SET": (Component("SOFA", 1), Component("CUSHION", 4)), "PAIR": (Component("CUSHION", 2),)}
    assert (of.kits_with("CUSHION"), of.kits_with("SOFA"), of.kits_with("SET")) == (("PAIR", "SET"), ("SET",), ())
    assert network().kits == {}


def test_every_fault_of_a_kit_is_told_with_its_line() -> None:
    long = ", ".join(f"S{n}: 1" for n in range(COMPONENTS_MAX + 1))
    assert faults(
        "kits:\n"
        "  SET: {BOX: 1, SOFA: 0}\n"
        "  BOX:\n"
        "    BOX: 1.5\n"
        "    ' x': 1\n"
        "  NONE:\n"
        "  LIST: [SOFA]\n"
        f"  LONG: {{{long}}}\n"
        f"  MUCH: {{SOFA: {COMPONENT_UNITS_MAX + 1}}}\n"
        "safety_stock: [{sku: SET, units: 1}]\n"
        "backorders: [{sku: SET, units: 1}]\n"
    ) == [
        (5, "kits.SET.BOX", "'BOX' is a kit itself: name its components"),
        (5, "kits.SET.SOFA", "0 is not 1 to 1,000,000 units of one kit"),
        (7, "kits.BOX.BOX", "'BOX' is a kit itself: name its components"),
        (7, "kits.BOX.BOX", "'1.5' is not a whole number"),
        (8, 'kits.BOX." x"', "an id has no space at its ends"),
        (9, "kits.NONE", "a mapping of components to units is wanted, nothing found"),
        (10, "kits.LIST", "a mapping of components to units is wanted, a list found"),
        (11, "kits.LONG", "51 components; at most 50 are taken"),
        (12, "kits.MUCH.SOFA", "1000001 is not 1 to 1,000,000 units of one kit"),
        (13, "safety_stock[0].sku", "'SET' is a kit: its components keep stock back"),
        (14, "backorders[0].sku", "'SET' is a kit: it is never backordered"),
    ]


def test_rules_of_a_location_replace_those_for_all() -> None:
    of = network(
        "confidence:\n"
        "  - {counted_before: 30d, percent: 12.5}\n"
        "  - {location: B, fewer_than: 3, units: 1}\n"
        "  - {location: B, counted_before: 1h, fewer_than: 9, units: 2, percent: 50}\n"
    )
    assert of.confidence("A") == (ConfidenceRule(30 * DAY_MS, 0, 0, 1250),)
    assert of.confidence("B") == (ConfidenceRule(0, 3, 1, 0), ConfidenceRule(3_600_000, 9, 2, 5000))
    candidates = of.candidates("web", "LAMP", ("A", "B"))
    assert [candidate.confidence for candidate in candidates] == [of.confidence("A"), of.confidence("B")]
    assert network().confidence("A") == ()


def test_every_fault_of_a_rule_is_told_with_its_line() -> None:
    many = "".join(f"  - {{location: B, fewer_than: {n}, units: 1}}\n" for n in range(1, 10))
    assert faults(
        "confidence:\n"
        "  - {counted_before: 30d}\n"
        "  - {units: 1}\n"
        "  - {fewer_than: 0, units: 1}\n"
        "  - {counted_before: soon, units: 1}\n"
        "  - {fewer_than: 3, units: 1, location: C}\n"
        "  - {fewer_than: 3, units: 1}\n"
        "  - {fewer_than: 3, percent: 5}\n"
        f"{many}"
        "low_stock_thresholds:\n"
        "  - {units: 3}\n"
        "  - {channel: web, units: 3}\n"
        "  - {sku: LAMP}\n"
        "  - {sku: LAMP, channel: shop, units: 1}\n"
        "  - {sku: LAMP, units: 1}\n"
        "  - {sku: LAMP, units: 2}\n"
    ) == [
        (5, "confidence[0]", "a rule says units, percent, or both"),
        (6, "confidence[1]", "a rule says counted_before, fewer_than, or both"),
        (7, "confidence[2].fewer_than", "input should be greater than or equal to 1"),
        (8, "confidence[3].counted_before", "'soon' is not a duration such as 90s, 15m, 2h or 5d"),
        (9, "confidence[4].location", "location 'C' is not in the document"),
        (11, "confidence[6]", "has the same scope as the rule in line 10"),
        (20, "confidence[15]", "B may have 8 rules at most"),
        (22, "low_stock_thresholds[0]", "a rule names a sku, a location, or both; and perhaps a channel"),
        (23, "low_stock_thresholds[1]", "for a channel alone say low_stock_threshold at the channel"),
        (24, "low_stock_thresholds[2].units", "is missing"),
        (25, "low_stock_thresholds[3].channel", "channel 'shop' is not in the document"),
        (27, "low_stock_thresholds[5]", "has the same scope as the rule in line 26"),
    ]


SCOPES = [(sku, location, channel) for sku in ("LAMP", "") for location in ("A", "") for channel in ("web", "")]


@given(st.dictionaries(st.sampled_from([scope for scope in SCOPES if scope[0] or scope[1]]), st.integers(0, 99)))
def test_the_most_specific_threshold_wins(rules: dict[tuple[str, str, str], int]) -> None:
    """SKU and location, SKU, location; with the channel before without it; then the channel's own."""
    written = "".join(
        "  - {"
        + ", ".join(f"{word}: {name}" for word, name in zip(("sku", "location", "channel"), scope, strict=True) if name)
        + f", units: {units}}}\n"
        for scope, units in rules.items()
    )
    of = network(f"low_stock_thresholds:\n{written}" if rules else "")
    for sku in ("LAMP", "VASE"):
        for location in ("A", "B", ""):
            for channel, own in (("web", 4), ("till", 0)):
                matching = [
                    (4 * bool(s) + 2 * bool(place) + bool(c), units)
                    for (s, place, c), units in rules.items()
                    if s in ("", sku) and place in ("", location) and c in ("", channel)
                ]
                assert of.low_stock_threshold(channel, sku, location) == (max(matching)[1] if matching else own)


def test_what_changed_is_told_by_element() -> None:
    old = network("kits: {SET: {SOFA: 1}}\nconfidence: [{fewer_than: 3, units: 1}]\n")
    new = network(
        "kits: {SET: {SOFA: 2, LAMP: 1}}\n"
        "confidence: [{fewer_than: 3, units: 2}, {location: A, counted_before: 1d, percent: 5}]\n"
        "low_stock_thresholds: [{sku: SET, units: 3}]\n"
    )
    assert [(change.kind, change.path, change.before_json, change.after_json) for change in diff(old, new)] == [
        ("CHANGED", 'confidence.all."fewer_than 3".units', "1", "2"),
        ("ADDED", "confidence.location.A", "", '{"counted_before 86400s": {"percent": 5, "units": 0}}'),
        ("ADDED", "kits.SET.LAMP", "", "1"),
        ("CHANGED", "kits.SET.SOFA", "1", "2"),
        ("ADDED", "low_stock_thresholds.sku", "", '{"SET": {"units": 3}}'),
    ]
    assert diff(new, network(new.document.removeprefix(PLACES))) == []


_rules = st.lists(
    st.builds(
        ConfidenceRule,
        st.sampled_from((0, 1, 50)),
        st.sampled_from((0, 1, 5, 2**53)),
        st.integers(0, 9) | st.integers(0, UNITS_MAX),
        st.integers(0, 10_000),
    ),
    max_size=4,
)


@given(st.integers(0, 9) | st.integers(0, UNITS_MAX), st.sampled_from((0, 49, 50, 51, 100)), _rules)
def test_units_that_are_not_trusted(on_hand: int, counted_at_ms: int, rules: list[Any]) -> None:
    """The most that a rule says which holds, at 100 ms after the beginning; never more than there are."""
    said = [0]
    for rule in rules:
        is_old = rule.counted_before_ms == 0 or 100 - counted_at_ms >= rule.counted_before_ms
        is_few = rule.fewer_than == 0 or on_hand < rule.fewer_than
        if is_old and is_few:
            said.append(safety_units(on_hand, rule.units, rule.parts))
    assert uncertain_units(on_hand, counted_at_ms, 100, rules) == min(on_hand, max(said))
