"""The compiled network: what a channel sees and may take from, what stays there, what a new document changes."""

from __future__ import annotations

import json
from collections.abc import Callable
from fractions import Fraction
from math import ceil
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from invengine.domain.network import Change, ChangeKind, Network, diff
from invengine.domain.orders import Candidate, Fulfilment
from invengine.domain.stock import safety_units
from invengine.errors import (
    ChannelDisabled,
    GroupNotUsable,
    InvalidArgument,
    InventoryError,
    LocationNotUsable,
    UnknownChannel,
    UnknownGroup,
    UnknownLocation,
)

DOCUMENT = """\
locations:
  DC: {priority: 20}
  EAST: {kind: store, fulfilments: [ship, pickup], priority: 10}
  WEST: {kind: store, priority: 10}
  SHUT: {kind: store, enabled: false, priority: 1}
  FAR: {priority: 1}
groups:
  home: [WEST, DC, EAST, SHUT]
  stores: [WEST, EAST]
  abroad: [FAR]
channels:
  web: {groups: [home, stores]}
  till: {groups: [stores]}
  off: {groups: [home], enabled: false}
"""


@pytest.fixture(scope="module")
def network() -> Network:
    return Network.parse(DOCUMENT)


def test_a_channel_sees_the_members_of_its_groups(network: Network) -> None:
    assert network.visible("web") == {"DC", "EAST", "WEST", "SHUT"}
    assert network.visible("till") == {"EAST", "WEST"}
    assert network.visible("off") == network.visible("web")


def test_a_read_asks_about_what_it_names_else_all_that_the_channel_sees(network: Network) -> None:
    assert network.asked("web") == ("DC", "EAST", "SHUT", "WEST")
    assert network.asked("web", group="stores") == ("EAST", "WEST")
    assert network.asked("web", locations=["WEST", "FAR", "WEST"]) == ("FAR", "WEST")
    assert network.asked("off") == ("DC", "EAST", "SHUT", "WEST")


def test_taking_goes_by_priority_and_then_by_id(network: Network) -> None:
    assert network.usable("web") == ("EAST", "WEST", "DC")
    assert network.usable("web", fulfilment=Fulfilment.SHIP) == ("EAST", "DC")
    assert network.usable("web", fulfilment=Fulfilment.SHIP_TO_STORE) == ("EAST", "DC")
    assert network.usable("web", fulfilment=Fulfilment.PICKUP) == ("EAST", "WEST")
    assert network.usable("web", group="stores", fulfilment=Fulfilment.SHIP) == ("EAST",)
    assert network.usable("web", location="WEST") == ("WEST",)


@pytest.mark.parametrize(
    ("ask", "refusal"),
    [
        (lambda n: n.channel("x"), UnknownChannel("x")),
        (lambda n: n.visible("x"), UnknownChannel("x")),
        (lambda n: n.asked("x"), UnknownChannel("x")),
        (lambda n: n.asked("web", locations=["DC", "x"]), UnknownLocation("x")),
        (lambda n: n.asked("web", group="x"), UnknownGroup("x")),
        (lambda n: n.asked("web", group="abroad"), GroupNotUsable("abroad", "web")),
        (
            lambda n: n.asked("web", locations=["DC"], group="home"),
            InvalidArgument("group", "not together with locations"),
        ),
        (lambda n: n.usable("x", location="x", group="x"), UnknownChannel("x")),
        (lambda n: n.usable("off", location="x"), ChannelDisabled("off")),
        (lambda n: n.usable("web", location="x"), UnknownLocation("x")),
        (lambda n: n.usable("web", location="SHUT"), LocationNotUsable("SHUT", "web", "LOCATION_DISABLED")),
        (lambda n: n.usable("web", location="FAR"), LocationNotUsable("FAR", "web", "NOT_IN_CHANNEL")),
        (
            lambda n: n.usable("web", location="WEST", fulfilment=Fulfilment.SHIP),
            LocationNotUsable("WEST", "web", "CANNOT_FULFIL"),
        ),
        (
            lambda n: n.usable("web", location="WEST", fulfilment=Fulfilment.SHIP_TO_STORE),
            LocationNotUsable("WEST", "web", "CANNOT_FULFIL"),
        ),
        (lambda n: n.usable("web", group="x"), UnknownGroup("x")),
        (lambda n: n.usable("till", group="home"), GroupNotUsable("home", "till")),
        (
            lambda n: n.usable("web", location="DC", group="home"),
            InvalidArgument("group", "not together with location"),
        ),
        (lambda n: n.why_not("x", "DC"), UnknownChannel("x")),
        (lambda n: n.why_not("web", "x"), UnknownLocation("x")),
        (lambda n: n.pickup_location("x"), UnknownLocation("x")),
        (lambda n: n.pickup_location("DC", "web"), LocationNotUsable("DC", "web", "CANNOT_FULFIL")),
        (lambda n: n.pickup_location("SHUT", "web"), LocationNotUsable("SHUT", "web", "LOCATION_DISABLED")),
    ],
)
def test_what_cannot_be_is_refused_the_second_time_as_the_first(
    network: Network, ask: Callable[[Network], Any], refusal: InventoryError
) -> None:
    for _ in range(2):
        with pytest.raises(type(refusal)) as refused:
            ask(network)
        assert refused.value.metadata == refusal.metadata


def test_the_first_reason_that_applies_is_told(network: Network) -> None:
    ship = Fulfilment.SHIP
    assert network.why_not("web", "EAST", ship) == ""
    assert network.why_not("off", "SHUT", ship) == "CHANNEL_DISABLED"
    assert network.why_not("till", "SHUT", ship) == "LOCATION_DISABLED"
    assert network.why_not("till", "DC", Fulfilment.PICKUP) == "NOT_IN_CHANNEL"
    assert network.why_not("till", "WEST", ship) == "CANNOT_FULFIL"


def test_a_store_where_customers_collect_need_not_be_one_to_take_from(network: Network) -> None:
    network.pickup_location("WEST")
    network.pickup_location("EAST", "off")


RULES = """\
safety_stock:
  - {location: DC, units: 2}
  - {location: EAST, units: 1, percent: 50}
  - {sku: LAMP, percent: 10}
  - {sku: LAMP, location: DC, units: 3}
  - {sku: RUG, location: DC, units: 1}
  - {channel: till, percent: 12.5}
"""


def test_the_largest_of_the_rules_that_match_counts() -> None:
    network = Network.parse(DOCUMENT + RULES)
    places = ("DC", "EAST", "WEST")
    assert network.candidates("web", "LAMP", places) == (
        Candidate("DC", 3, 1000),
        Candidate("EAST", 1, 5000),
        Candidate("WEST", 0, 1000),
    )
    assert network.candidates("till", "LAMP", places) == (
        Candidate("DC", 3, 1250),
        Candidate("EAST", 1, 5000),
        Candidate("WEST", 0, 1250),
    )
    assert network.candidates("web", "RUG", places) == (
        Candidate("DC", 2),
        Candidate("EAST", 1, 5000),
        Candidate("WEST"),
    )
    assert network.candidates("web", "CUP", ("DC",)) == (Candidate("DC", 2),)
    assert network.place_safety("till", "DC") == (2, 1250)
    assert network.sku_location_safety("LAMP", "DC") == (3, 1000)
    assert network.sku_safety == {"LAMP": (0, 1000)}
    assert network.position_safety == {("LAMP", "DC"): (3, 0), ("RUG", "DC"): (1, 0)}
    assert network.location_safety == {"DC": (2, 0), "EAST": (1, 5000)}
    assert network.channel_safety == {"till": (0, 1250)}


def test_a_channel_borrows_unless_the_document_says_otherwise() -> None:
    document = DOCUMENT.replace("till: {groups: [stores]}", "till: {groups: [stores], borrow: false}")
    network = Network.parse(document)
    assert {name: channel.borrows for name, channel in network.channels.items()} == {
        "web": True,
        "till": False,
        "off": True,
    }


def test_the_rule_for_backorders_that_names_the_channel_wins() -> None:
    rules = (
        "{sku: LAMP, units: 5}, {sku: LAMP, channel: web, units: 2}, {sku: RUG, channel: web, units: 9007199254740991}"
    )
    network = Network.parse(f"{DOCUMENT}backorders: [{rules}]\n")
    asked = [(channel, sku) for sku in ("LAMP", "RUG", "NEW") for channel in ("web", "till")]
    assert [network.backorder_units(*pair) for pair in asked] == [2, 5, 2**53 - 1, 0, 0, 0]


def test_a_repeated_question_is_answered_by_the_very_same_answer() -> None:
    """The hot path of reservations rests on it: usable and candidates of a known question cost one look-up each."""
    network = Network.parse(DOCUMENT + RULES)
    usable = network.usable("web", fulfilment=Fulfilment.SHIP)
    assert network.usable("web", fulfilment=Fulfilment.SHIP) is usable
    assert network.candidates("web", "CUP", usable) is network.candidates("web", "MUG", usable)
    assert network.candidates("web", "LAMP", usable) is network.candidates("web", "LAMP", usable)
    assert network.asked("web", group="stores") is network.asked("web", group="stores")


def test_remembered_answers_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("invengine.domain.network._ANSWERS_MAX", 4)
    skus = [f"S{i}" for i in range(20)]
    rules = "safety_stock:\n" + "".join(f"  - {{sku: {sku}, units: 1}}\n" for sku in skus)
    network = Network.parse(DOCUMENT + rules)
    for sku in skus * 2:
        assert network.candidates("web", sku, ("DC",)) == (Candidate("DC", 1),)
        assert len(network._candidates) <= 4


def test_nothing_of_a_network_can_be_changed(network: Network) -> None:
    for mapping in (network.locations, network.groups, network.channels, network.sku_safety, network.position_safety):
        with pytest.raises(TypeError):
            mapping["DC"] = None  # type: ignore[index]
    with pytest.raises(AttributeError):
        network.locations["DC"].priority = 1  # type: ignore[misc]


percents = st.integers(0, 10_000)
scopes = st.sampled_from(
    [
        {"sku": sku, "location": location, "channel": channel}
        for sku in ("", "LAMP", "RUG")
        for location in ("", "DC", "EAST")
        for channel in ("", "web", "till")
        if (channel and not sku and not location) or (not channel and (sku or location))
    ]
)
rules = st.lists(st.tuples(scopes, st.integers(0, 50) | st.none(), percents | st.none()), unique_by=lambda r: str(r[0]))


def kept_back(on_hand: int, matching: list[tuple[int | None, int | None]]) -> int:
    """The definition: the largest of the rules that match, a percentage of on_hand rounded up."""
    kept = [0]
    for units, hundredths in matching:
        kept.append(units or 0)
        kept.append(ceil(Fraction(on_hand * (hundredths or 0), 10_000)))
    return max(kept)


@given(rules, st.integers(0, 1000) | st.integers(2**53 - 10_000, 2**53 - 1))
def test_folded_rules_keep_back_what_the_definition_says(
    drawn: list[tuple[dict[str, str], int | None, int | None]], on_hand: int
) -> None:
    drawn = [rule for rule in drawn if rule[1] is not None or rule[2] is not None]
    document = DOCUMENT + "safety_stock:\n"
    for scope, units, hundredths in drawn:
        fields = {name: value for name, value in scope.items() if value}
        fields |= {} if units is None else {"units": units}
        fields |= {} if hundredths is None else {"percent": f"{hundredths // 100}.{hundredths % 100:02}"}
        document += f"  - {json.dumps(fields)}\n"
    network = Network.parse(document)
    for channel in ("web", "till"):
        for sku in ("LAMP", "RUG", "CUP"):
            for candidate in network.candidates(channel, sku, ("DC", "EAST", "WEST")):
                asked = {"sku": sku, "location": candidate.location, "channel": channel}
                matching = [
                    (units, hundredths)
                    for scope, units, hundredths in drawn
                    if all(value in ("", asked[name]) for name, value in scope.items())
                ]
                kept = safety_units(on_hand, candidate.safety_units, candidate.safety_parts)
                assert kept == kept_back(on_hand, matching)


names = st.sampled_from(["DC", "EAST", "WEST", "FAR"])


@given(
    st.dictionaries(names, st.tuples(st.booleans(), st.integers(0, 2), st.sets(st.sampled_from(["ship", "pickup"])))),
    st.data(),
)
def test_usable_is_what_why_not_finds_nothing_against(
    places: dict[str, tuple[bool, int, set[str]]], data: st.DataObject
) -> None:
    members = [data.draw(st.lists(st.sampled_from(sorted(places)), unique=True)) if places else [] for _ in range(2)]
    plain = {
        "locations": {
            name: {"enabled": enabled, "priority": priority, "fulfilments": sorted(ways)}
            for name, (enabled, priority, ways) in places.items()
        },
        "groups": {"one": members[0], "two": members[1], "other": sorted(places)},
        "channels": {"web": {"groups": ["one", "two"]}},
    }
    network = Network.parse(json.dumps(plain))
    for fulfilment in set(Fulfilment) - {Fulfilment.TRANSFER}:  # no channel asks for that
        expected = sorted(
            (name for name in places if not network.why_not("web", name, fulfilment)),
            key=lambda name: (places[name][1], name),
        )
        assert list(network.usable("web", fulfilment=fulfilment)) == expected
        in_one = tuple(name for name in expected if name in members[0])
        assert network.usable("web", group="one", fulfilment=fulfilment) == in_one
        needed = {Fulfilment.ANY: set(), Fulfilment.PICKUP: {"pickup"}}.get(fulfilment, {"ship"})
        for name, (enabled, _, ways) in places.items():
            by_hand = enabled and name in {*members[0], *members[1]} and needed <= ways
            assert bool(network.why_not("web", name, fulfilment)) is not by_hand


def test_a_first_network_is_all_added() -> None:
    changes = diff(None, Network.parse("locations: {A: {}}\nsafety_stock: [{sku: L, location: A, percent: 2.5}]"))
    assert [(change.kind, change.path, change.before_json) for change in changes] == [
        (ChangeKind.ADDED, "locations.A", ""),
        (ChangeKind.ADDED, "safety_stock.sku_location.L", ""),
    ]
    assert json.loads(changes[0].after_json)["time_zone"] == "UTC"
    assert json.loads(changes[1].after_json) == {"A": {"units": 0, "percent": 2.5}}


def test_a_change_is_told_by_path_before_and_after() -> None:
    changed = (
        DOCUMENT.replace("DC: {priority: 20}", "DC: {priority: 30, name: Élan, latitude: 1.5, longitude: 2}")
        .replace("  FAR: {priority: 1}\n", "  new york: {}\n")
        .replace("abroad: [FAR]", "abroad: [new york]")
        .replace("till: {groups: [stores]}", "till: {groups: [stores], time_to_live: {default: 20m}}")
    )
    changes = diff(Network.parse(DOCUMENT), Network.parse(changed))
    flat = {change.path: (change.kind.value, change.before_json, change.after_json) for change in changes}
    assert flat.pop('locations."new york"')[:2] == ("ADDED", "")
    assert flat.pop("locations.FAR")[::2] == ("REMOVED", "")
    assert flat == {
        "channels.till.time_to_live.default": ("CHANGED", "900", "1200"),
        "groups.abroad": ("CHANGED", '["FAR"]', '["new york"]'),
        "locations.DC.latitude": ("CHANGED", "null", "1.5"),
        "locations.DC.longitude": ("CHANGED", "null", "2.0"),
        "locations.DC.name": ("CHANGED", '"DC"', '"Élan"'),
        "locations.DC.priority": ("CHANGED", "20", "30"),
    }


def test_changes_of_borrowing_and_backorders_are_told() -> None:
    before = DOCUMENT + "backorders: [{sku: LAMP, units: 5}, {sku: LAMP, channel: web, units: 2}]"
    after = DOCUMENT.replace("off: {", "off: {borrow: false, ")
    after += "backorders: [{sku: LAMP, units: 6}, {sku: RUG, channel: web, units: 3}]"
    changes = diff(Network.parse(before), Network.parse(after))
    assert [(change.path, change.before_json, change.after_json) for change in changes] == [
        ("backorders.sku.LAMP.units", "5", "6"),
        ("backorders.sku_channel.LAMP", '{"web": {"units": 2}}', ""),
        ("backorders.sku_channel.RUG", "", '{"web": {"units": 3}}'),
        ("channels.off.borrow", "true", "false"),
    ]


def test_the_same_meaning_in_other_words_is_no_change() -> None:
    rewritten = "# the same\n" + DOCUMENT.replace("[WEST, DC, EAST, SHUT]", "[DC, EAST, WEST, SHUT]").replace(
        "FAR: {priority: 1}", "FAR: {priority: 1, enabled: yes, kind: warehouse, time_zone: UTC}"
    ).replace("[home, stores]", "[stores, home]")
    assert diff(Network.parse(DOCUMENT), Network.parse(rewritten)) == []


safety = st.dictionaries(st.sampled_from(["L", "M"]), st.integers(1, 3), max_size=2)


def document_of(priorities: dict[str, int], skus: dict[str, int]) -> Network:
    plain = {
        "locations": {name: {"priority": priority} for name, priority in priorities.items()},
        "safety_stock": [{"sku": sku, "units": units} for sku, units in skus.items()],
        "backorders": [{"sku": sku, "units": units + 1} for sku, units in skus.items()],
    }
    return Network.parse(json.dumps(plain))


@given(*[st.dictionaries(names, st.integers(0, 2)), safety] * 2)
def test_a_diff_applied_to_the_old_gives_the_new(
    old_places: dict[str, int], old_skus: dict[str, int], new_places: dict[str, int], new_skus: dict[str, int]
) -> None:
    old, new = document_of(old_places, old_skus), document_of(new_places, new_skus)
    elements = old.elements()
    for change in diff(old, new):
        apply(change, elements)
    assert elements == new.elements()
    assert (old.elements() == new.elements()) is (diff(old, new) == [])


def apply(change: Change, elements: dict[str, Any]) -> None:
    *inner, last = change.path.split(".")
    for name in inner:
        elements = elements[name]
    if change.kind is ChangeKind.ADDED:
        assert last not in elements
    else:
        assert elements.pop(last) == json.loads(change.before_json)
    if change.kind is not ChangeKind.REMOVED:
        elements[last] = json.loads(change.after_json)
