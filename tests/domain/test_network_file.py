"""What a planner may write, what it means, and the sentence with a line for everything else."""

from __future__ import annotations

import json
import re
import zoneinfo
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from invengine.domain import network_yaml
from invengine.domain.days import day_number
from invengine.domain.delivery_document import (
    CapacityDocument,
    LaneDocument,
    PreparationDocument,
    ServiceDocument,
    TransferLaneDocument,
)
from invengine.domain.delivery_gaps import delivery_gaps
from invengine.domain.network import LocationKind, Network, diff
from invengine.domain.network_document import (
    BackorderRuleDocument,
    ChannelDocument,
    LocationDocument,
    SafetyRuleDocument,
)
from invengine.domain.network_rules import ConfidenceRuleDocument, LowStockRuleDocument
from invengine.domain.orders import Fulfilment
from invengine.errors import NetworkFault, NetworkInvalid

SMALL = """\
locations:
  LON1: {name: London DC, kind: warehouse, time_zone: Europe/London, priority: 10, latitude: 51.5, longitude: -0.1}
  SOHO: {kind: store, fulfilments: [ship, pickup], country: GB, postal_code: "W1D 3QF", enabled: no}
groups:
  uk: [LON1, SOHO]
channels:
  web: {groups: [uk], time_to_live: {default: 90s, maximum: 5d}, low_stock_threshold: 5}
safety_stock:
  - {sku: LAMP, percent: 12.5}
"""


def faults_of(document: str) -> tuple[NetworkFault, ...]:
    with pytest.raises(NetworkInvalid) as refused:
        Network.parse(document)
    return refused.value.faults


def faults_if_any(document: str) -> tuple[NetworkFault, ...]:
    """The faults; none when it is a network, which then keeps the document as it was written."""
    try:
        network = Network.parse(document)
    except NetworkInvalid as refused:
        return refused.faults or (NetworkFault(0, "", "refused without a fault"),)
    return () if network.document == document else (NetworkFault(0, "", "the document was changed"),)


def only_fault(document: str) -> NetworkFault:
    faults = faults_of(document)
    assert len(faults) == 1, faults
    return faults[0]


def location(entry: str) -> str:
    return f"locations:\n  A: {{{entry}}}\n"


def channel(entry: str) -> str:
    return f"locations: {{A: {{}}}}\ngroups: {{g: [A]}}\nchannels:\n  web: {{groups: [g], {entry}}}\n"


def rule(entry: str) -> str:
    return (
        f"locations: {{A: {{}}}}\ngroups: {{g: [A]}}\nchannels: {{web: {{groups: [g]}}}}\nsafety_stock:\n  - {entry}\n"
    )


def backorder(entry: str) -> str:
    return f"locations: {{A: {{}}}}\ngroups: {{g: [A]}}\nchannels: {{web: {{groups: [g]}}}}\nbackorders:\n  - {entry}\n"


def test_the_example_that_planners_read_is_a_network() -> None:
    guide = (Path(__file__).parents[2] / "docs" / "network.md").read_text(encoding="utf-8")
    examples = re.findall(r"```yaml\n(.*?)```", guide, re.DOTALL)
    assert len(examples) == 1
    network = Network.parse(examples[0])
    assert network.usable("web", fulfilment=Fulfilment.SHIP) == ("LON1", "SOHO")
    assert network.locations["YORK"].fulfilments == {Fulfilment.PICKUP}
    assert delivery_gaps(network, day_number(date(2026, 11, 23))) == ()
    assert network.delivery.zone_of("GB", "IV2 7GF") == "gb-north"
    for model in (
        LocationDocument,
        ChannelDocument,
        SafetyRuleDocument,
        BackorderRuleDocument,
        ConfidenceRuleDocument,
        LowStockRuleDocument,
        CapacityDocument,
        PreparationDocument,
        ServiceDocument,
        LaneDocument,
        TransferLaneDocument,
    ):
        for name, field in model.model_fields.items():
            written = re.escape(field.alias or name)
            assert re.search(rf"[`{{]{written}\b", guide), f"{written} is not described"


def test_everything_that_is_written_is_understood() -> None:
    network = Network.parse(SMALL, 7)
    assert (network.document, network.revision) == (SMALL, 7)
    london, soho = network.locations["LON1"], network.locations["SOHO"]
    assert (london.name, london.kind, london.time_zone, london.priority) == (
        "London DC",
        LocationKind.WAREHOUSE,
        "Europe/London",
        10,
    )
    assert (london.latitude, london.longitude) == (51.5, -0.1)
    assert (soho.enabled, soho.country, soho.postal_code) == (False, "GB", "W1D 3QF")
    assert soho.fulfilments == {Fulfilment.SHIP, Fulfilment.PICKUP}
    assert network.groups == {"uk": ("LON1", "SOHO")}
    web = network.channels["web"]
    assert (web.groups, web.enabled, web.low_stock_threshold) == (("uk",), True, 5)
    assert (web.time_to_live_seconds, web.time_to_live_seconds_max) == (90, 432_000)
    assert network.sku_safety == {"LAMP": (0, 1250)}


def test_what_is_left_out_has_sensible_defaults() -> None:
    network = Network.parse(
        "locations:\n  DC:\n  SHOP: {kind: store}\n  DROP: {kind: supplier}\n"
        "groups: {all: [DC]}\nchannels: {web: {groups: [all]}}\nsafety_stock:\n"
    )
    dc = network.locations["DC"]
    assert (dc.name, dc.kind, dc.enabled, dc.time_zone, dc.priority) == ("DC", LocationKind.WAREHOUSE, True, "UTC", 100)
    assert (dc.latitude, dc.longitude, dc.country, dc.postal_code) == (None, None, "", "")
    ways = {name: place.fulfilments for name, place in network.locations.items()}
    assert ways == {"DC": {Fulfilment.SHIP}, "SHOP": {Fulfilment.PICKUP}, "DROP": {Fulfilment.SHIP}}
    web = network.channels["web"]
    assert (web.enabled, web.time_to_live_seconds, web.time_to_live_seconds_max) == (True, 900, 7200)
    assert web.low_stock_threshold == 0


SECTIONS = (
    "locations, groups, channels, safety_stock, backorders, kits, confidence, low_stock_thresholds, states, incoming, "
    "currency, calendars, services, zones, lanes, transfer_lanes and postal_positions"
)


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("{default: 3h}", (10_800, 10_800)),
        ("{maximum: 60}", (60, 60)),
        ("{default: 90}", (90, 7200)),
        ("{default: 2d, maximum: 30d}", (172_800, 2_592_000)),
        ("{}", (900, 7200)),
        ("", (900, 7200)),
    ],
)
def test_one_time_to_live_leaves_room_for_the_other(written: str, seconds: tuple[int, int]) -> None:
    web = Network.parse(channel(f"time_to_live: {written}")).channels["web"]
    assert seconds == (web.time_to_live_seconds, web.time_to_live_seconds_max)


ODD_IDS = [
    "no",
    "on",
    "y",
    "null",
    "~",
    "007",
    "0o17",
    "0x1F",
    "1e3",
    "1_000",
    "2024-01-01",
    "12:30:45",
    "1.10",
    "=",
    "é",
]


def test_ids_stay_the_text_that_is_written() -> None:
    """YAML would read switches, nothing, octal numbers, dates and base-60 numbers out of these."""
    document = "locations:\n" + "".join(f"  {name}: {{}}\n" for name in ODD_IDS)
    document += "groups:\n  2024: [" + ", ".join(ODD_IDS) + "]\nchannels:\n  off: {groups: [2024]}\n"
    document += "safety_stock:\n  - {sku: 010, units: 1}\n"
    network = Network.parse(document)
    assert set(network.locations) == set(ODD_IDS) == set(network.groups["2024"]) == network.visible("off")
    assert network.sku_safety == {"010": (1, 0)}


def test_json_is_a_network_file_too() -> None:
    plain = {
        "locations": {"A": {"priority": 3, "enabled": False, "latitude": -1.5, "longitude": 2}},
        "groups": {"g": ["A"]},
    }
    network = Network.parse(json.dumps(plain, indent="\t"))
    place = network.locations["A"]
    assert (place.priority, place.enabled, place.latitude, network.groups["g"]) == (3, False, -1.5, ("A",))


def test_anchors_and_merge_keys_save_typing() -> None:
    network = Network.parse(
        "locations:\n  A: &shop {kind: store, country: GB, priority: 5}\n  B: {<<: *shop, priority: 6}\n"
        "  C: {priority: 7, <<: [{country: IE}, *shop]}\n  D: *shop\n"
    )
    seen = {name: (place.kind.value, place.country, place.priority) for name, place in network.locations.items()}
    assert seen == {"A": ("store", "GB", 5), "B": ("store", "GB", 6), "C": ("store", "IE", 7), "D": ("store", "GB", 5)}


def test_a_byte_order_mark_is_no_part_of_the_document() -> None:
    assert set(Network.parse("\ufefflocations: {A: {}}\n").locations) == {"A"}


@pytest.mark.parametrize("loader", [yaml.SafeLoader, yaml.CSafeLoader])
def test_both_of_the_yaml_parsers_will_do(loader: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network_yaml, "_LOADER", loader)
    assert Network.parse("\ufeff" + SMALL).elements() == Network.parse(SMALL).elements()
    assert only_fault("locations: {A: {prio: 1}}").line == 1
    assert only_fault("é: 1\n\x07").line == 2
    assert "not YAML" in only_fault("a: 1\nb: [").problem
    assert "tag" in only_fault("a: !!python/object:os.system x").problem


@pytest.mark.parametrize(
    ("document", "path", "problem"),
    [
        (location("prio: 1"), "locations.A.prio", "not a known field; priority is meant?"),
        (location("kind: shop"), "locations.A.kind", "'shop' is not one of 'warehouse', 'store' or 'supplier'"),
        (location("fulfilments: [ship, fly]"), "locations.A.fulfilments[1]", "'fly' is not one of 'ship' or 'pickup'"),
        (location("fulfilments: ship"), "locations.A.fulfilments", "a list is wanted, 'ship' found"),
        (location("fulfilments: "), "locations.A.fulfilments", "a list is wanted, nothing found"),
        (location("priority: 010"), "locations.A.priority", "'010' is not a whole number"),
        (location("priority: 1.5"), "locations.A.priority", "'1.5' is not a whole number"),
        (location("priority: "), "locations.A.priority", "a whole number is wanted, nothing found"),
        (location("priority: -1"), "locations.A.priority", "input should be greater than or equal to 0"),
        (location("enabled: maybe"), "locations.A.enabled", "'maybe' is neither true nor false"),
        (location("latitude: 91, longitude: 0"), "locations.A.latitude", "input should be less than or equal to 90"),
        (location("latitude: nan, longitude: 0"), "locations.A.latitude", "'nan' is not a decimal number"),
        (location("latitude: 1"), "locations.A", "latitude and longitude go together"),
        (location("country: gb"), "locations.A.country", "'gb' is not a country such as GB"),
        (location("country: GBR"), "locations.A.country", "'GBR' is not a country such as GB"),
        (location("time_zone: Europe"), "locations.A.time_zone", "'Europe' is not a time zone such as Europe/London"),
        (location("time_zone: ../UTC"), "locations.A.time_zone", "'../UTC' is not a time zone such as Europe/London"),
        (location('postal_code: "12345678901234567"'), "locations.A.postal_code", "at most 16 bytes"),
        (location('name: "a\\tb"'), "locations.A.name", "no control characters"),
        (location("name: [x]"), "locations.A.name", "text is wanted, a list found"),
        (channel("time_to_live: {default: 3h, maximum: 2h}"), "channels.web.time_to_live", "the default of 10800 s is"),
        (channel("time_to_live: {default: 0}"), "channels.web.time_to_live.default", "'0' is not a duration such as"),
        (channel("time_to_live: {default: 1h30m}"), "channels.web.time_to_live.default", "'1h30m' is not a duration"),
        (channel("time_to_live: {default: }"), "channels.web.time_to_live.default", "a duration is wanted, nothing"),
        (channel("time_to_live: {maximum: 9999d}"), "channels.web.time_to_live.maximum", "input should be less than"),
        (channel("time_to_live: {most: 1}"), "channels.web.time_to_live.most", "not a known field; known are default"),
        (channel("low_stock_threshold: 0x10"), "channels.web.low_stock_threshold", "'0x10' is not a whole number"),
        ("locations: {A: {}}\ngroups: {g: [A]}\n\nchannels: {web: {}}", "channels.web.groups", "is missing"),
        (
            rule("{sku: L, units: 9007199254740992}"),
            "safety_stock[0].units",
            "input should be less than or equal to 90",
        ),
        (rule("{sku: L, percent: 12.345}"), "safety_stock[0].percent", "'12.345' is not a percentage from 0 to 100"),
        (rule("{sku: L, percent: 100.01}"), "safety_stock[0].percent", "input should be less than or equal to 100"),
        (rule("{sku: L, percent: -1}"), "safety_stock[0].percent", "'-1' is not a percentage from 0 to 100"),
        (rule("{sku: L}"), "safety_stock[0]", "a rule says units, percent, or both"),
        (rule("{units: 1}"), "safety_stock[0]", "a rule names a sku, a location, both, or a channel"),
        (rule("{sku: , units: 1}"), "safety_stock[0].sku", "an id is wanted, nothing found"),
        (rule("{sku: ~, location: A, units: 1}"), "safety_stock[0].sku", "an id is wanted, nothing found"),
        (rule("{sku: L, channel: web, units: 1}"), "safety_stock[0]", "a rule of a channel names neither sku nor"),
        (rule("{location: Q, units: 1}"), "safety_stock[0].location", "location 'Q' is not in the document"),
        (rule("{channel: Q, units: 1}"), "safety_stock[0].channel", "channel 'Q' is not in the document"),
        (rule("lamp"), "safety_stock[0]", "a mapping is wanted, 'lamp' found"),
        (channel("borrow: maybe"), "channels.web.borrow", "'maybe' is neither true nor false"),
        (channel("borow: no"), "channels.web.borow", "not a known field; borrow is meant?"),
        (backorder("{units: 1}"), "backorders[0].sku", "is missing"),
        (backorder("{sku: L}"), "backorders[0].units", "is missing"),
        (backorder("{sku: L, units: 0}"), "backorders[0].units", "input should be greater than or equal to 1"),
        (backorder("{sku: L, units: 9007199254740992}"), "backorders[0].units", "input should be less than or equal"),
        (backorder("{sku: L, units: 1.5}"), "backorders[0].units", "'1.5' is not a whole number"),
        (
            backorder("{sku: L, channel: wep, units: 1}"),
            "backorders[0].channel",
            "channel 'wep' is not in the document",
        ),
        (backorder("{sku: L, channel: , units: 1}"), "backorders[0].channel", "an id is wanted, nothing found"),
        (backorder("{sku: L, location: Q, units: 1}"), "backorders[0].location", "not a known field"),
        (backorder("5"), "backorders[0]", "a mapping is wanted, '5' found"),
    ],
)
def test_a_fault_names_its_line_its_path_and_itself(document: str, path: str, problem: str) -> None:
    fault = only_fault(document)
    assert (fault.path, fault.problem[: len(problem)]) == (path, problem)
    assert fault.line == {"loc": 2, "cha": 4, "saf": 5, "bac": 5}[path[:3]]


@pytest.mark.parametrize(
    ("document", "line", "path", "problem"),
    [
        ("locations:\n  A: {}\n  B: {}\n  A: {}\n", 4, "locations.A", "written twice, first in line 2"),
        ("locations: {A: {}}\nlocations: {B: {}}\n", 2, "locations", "written twice, first in line 1"),
        ("locations: {A: {}}\ngroups:\n  g:\n  - A\n  - B\n", 5, "groups.g[1]", "location 'B' is not in the document"),
        ("locations: {A: {}}\ngroups:\n  g:\n  - A\n  - A\n", 5, "groups.g[1]", "location 'A' is listed twice"),
        ("locations: {A: {}}\ngroups: {g: A}\n", 2, "groups.g", "a list of locations is wanted, 'A' found"),
        ("locations: {A: {}}\ngroups: {g: [[A]]}\n", 2, "groups.g[0]", "a location is wanted, a list found"),
        (
            "locations: {Abc: {}}\ngroups: {g: [Abd]}\n",
            2,
            "groups.g[0]",
            "location 'Abd' is not in the document; 'Abc'",
        ),
        ("locations: [A]\n", 1, "locations", "a mapping of ids is wanted, a list found"),
        ("locations: {' A': {}}\n", 1, 'locations." A"', "an id has no space at its ends"),
        ("locations: {'': {}}\n", 1, 'locations.""', "an id has 1 to 64 bytes"),
        ("locations: {" + "é" * 33 + ": {}}\n", 1, "locations." + "é" * 33, "an id has 1 to 64 bytes"),
        ('locations: {"a\\x01b": {}}\n', 1, 'locations."a\\u0001b"', "an id has no control characters"),
        ("locations: {A: 5}\n", 1, "locations.A", "a mapping is wanted, '5' found"),
        ("locations: {A: {}}\nsafety: []\n", 2, "safety", "not a known field; safety_stock is meant?"),
        ("locations: {A: {}}\nsafety_stock: {A: 1}\n", 2, "safety_stock", "a list of rules is wanted, a mapping found"),
        ("locations: {A: {}}\nbackorders: 5\n", 2, "backorders", "a list of rules is wanted, '5' found"),
        (
            "locations: {A: {}}\nbackorders:\n- {sku: L, units: 1}\n- {units: 2, sku: L}\n",
            4,
            "backorders[1]",
            "has the same scope as the rule in line 3",
        ),
        ("groups: {}\n", 1, "document", "locations are missing"),
        ("- A\n", 1, "document", f"{SECTIONS} are wanted, a list found"),
        ("# nothing\n", 0, "document", "is empty"),
        ("locations: {A: {}}\n---\nlocations: {}\n", 2, "document", "a second document begins here"),
        ("locations:\n\tA: {}\n", 2, "document", "not YAML: while scanning for the next token found"),
        ("locations: {A: {}}\n'", 2, "document", "not YAML: while scanning a quoted scalar found unexpected end"),
        ("locations: {A: {}}\n\x00", 2, "document", "U+0000 is a character that YAML forbids"),
        ("locations: {A: {}}\n\ud800", 2, "document", "not valid Unicode text"),
        ("locations: *base\n", 1, "locations", "*base has no anchor &base above it"),
        ("locations: {A: &a {B: *a}}\n", 1, "locations.A.B", "*a contains itself"),
        ("locations: {A: !!binary aGk=}\n", 1, "locations.A", "the tag tag:yaml.org,2002:binary is not supported"),
        ("locations: {[A]: {}}\n", 1, "locations", "a key must be plain text"),
        ("locations: {A: {<<: 5}}\n", 1, "locations.A", "<< takes a mapping or a list of mappings"),
    ],
)
def test_documents_that_cannot_be(document: str, line: int, path: str, problem: str) -> None:
    fault = only_fault(document)
    assert (fault.line, fault.path, fault.problem[: len(problem)]) == (line, path, problem)


def test_two_rules_of_one_scope_are_a_fault() -> None:
    document = SMALL + "  - {location: LON1, units: 1}\n  - {units: 3, sku: LAMP}\n"
    fault = only_fault(document)
    assert (fault.line, str(fault)) == (11, "line 11: safety_stock[2]: has the same scope as the rule in line 9")


def test_every_fault_is_told_at_once_in_the_order_of_lines() -> None:
    faults = faults_of(
        "locations:\n  A: {priority: x, country: gb}\n  B: {kind: hut}\n"
        "groups: {g: [A, B, C]}\nchannels:\n  web: {groups: [g, h], low_stock_threshold: few}\n"
        "safety_stock:\n  - {location: Z, units: many}\n"
    )
    assert [(fault.line, fault.path) for fault in faults] == [
        (2, "locations.A.priority"),
        (2, "locations.A.country"),
        (3, "locations.B.kind"),
        (4, "groups.g[2]"),
        (6, "channels.web.low_stock_threshold"),
        (6, "channels.web.groups[1]"),
        (8, "safety_stock[0].location"),
        (8, "safety_stock[0].units"),
    ]


def test_a_hundred_faults_are_told_and_no_more() -> None:
    faults = faults_of("locations:\n" + "".join(f"  L{i}: {{kind: hut}}\n" for i in range(500)))
    assert [fault.line for fault in faults] == list(range(2, 102))


def nested_aliases(levels: int) -> str:
    lines = ["- &a0 [x,x,x,x,x,x,x,x,x,x]"]
    lines += [f"- &a{i} [{','.join([f'*a{i - 1}'] * 10)}]" for i in range(1, levels)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        (nested_aliases(9), "more than 1000000 values, aliases unfolded"),
        ("locations: {A: {}}\n#" + "x" * 16_000_000, "16000020 bytes; at most 16000000 are taken"),
        ("[" * 100_000, "nested deeper than 12 levels"),
        ("- " * 100_000, "nested deeper than 12 levels"),
        ("{a: " * 100_000, "nested deeper than 12 levels"),
        (
            "a, " * 10 + "[" + "x," * 450_000 + "]",
            f"{SECTIONS} are wanted",
        ),
        ("[" + "x," * 1_010_000 + "]", "more than 1000000 values, aliases unfolded"),
        ("locations: {A: {fulfilments: [" + "x," * 300_000 + "]}}", "has more fields or list items than any element"),
        ("locations: {A: {name: " + "x" * 2_000_000 + "}}", "at most 128 bytes"),
        ("locations: {A: {priority: " + "9" * 2_000_000 + "}}", "'9999999999999999999999999999999999999...' is not a"),
        ("locations: {" + "".join(f"L{i}: ," for i in range(10_001)) + "}", "10001 entries; at most 10000 are taken"),
    ],
)
def test_a_hostile_document_is_refused_in_few_words(document: str, problem: str) -> None:
    fault = only_fault(document)
    assert fault.problem.startswith(problem)
    assert len(str(fault)) < 600


def test_time_zones_are_known_where_the_machine_brings_none() -> None:
    """The package tzdata stands in; a machine without /usr/share/zoneinfo is a common container."""
    before = zoneinfo.TZPATH
    zoneinfo.reset_tzpath(())
    zoneinfo.ZoneInfo.clear_cache()
    try:
        assert Network.parse(SMALL).locations["LON1"].time_zone == "Europe/London"
    finally:
        zoneinfo.reset_tzpath(before)


@given(st.text(max_size=60) | st.text("locatins:{}[]&*-? \n'\"!#|>%@,.A0", max_size=120))
def test_any_text_is_a_network_or_has_faults(text: str) -> None:
    """Nothing but a network or NetworkInvalid, and every fault stands in a line of the text."""
    lines = len(text.splitlines()) + 1
    assert all(0 <= fault.line <= lines and fault.path and fault.problem for fault in faults_if_any(text))


plain_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.sampled_from(["A", "web", "g", "15m", "ship"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)
fields = st.sampled_from(
    [
        *LocationDocument.model_fields,
        *ChannelDocument.model_fields,
        *SafetyRuleDocument.model_fields,
        *BackorderRuleDocument.model_fields,
        *ConfidenceRuleDocument.model_fields,
        *LowStockRuleDocument.model_fields,
    ]
)


@given(
    st.dictionaries(
        st.sampled_from(["locations", "groups", "channels", "safety_stock", "backorders"]),
        plain_values
        | st.lists(st.dictionaries(fields, plain_values, max_size=3), max_size=3)
        | st.dictionaries(fields, plain_values | st.dictionaries(fields, plain_values, max_size=4), max_size=3),
    )
)
def test_any_shape_is_a_network_or_has_faults(plain: dict[str, Any]) -> None:
    faults = faults_if_any(json.dumps(plain))
    assert all(fault.line <= 1 and fault.path and fault.problem for fault in faults)


def test_overdue_receipts_slip_unless_the_file_says_otherwise() -> None:
    """For all locations, and for one of its own."""
    document = """
    locations: {A: {}, B: {incoming: {overdue: slip}}, C: {incoming: {overdue: stop}}, D: {incoming: }}
    """
    assert Network.parse(document).stopping == {"C"}
    assert Network.parse(document + "incoming: {overdue: stop}").stopping == {"A", "C", "D"}
    network = Network.parse(document + "\n    groups: {all: [A, C]}\n    channels: {web: {groups: [all]}}\n")
    usable = network.usable("web")
    assert [(one.location, one.overdue_stops) for one in network.candidates("web", "LAMP", usable)] == [
        ("A", False),
        ("C", True),
    ]


@pytest.mark.parametrize(
    ("section", "path", "problem"),
    [
        ("incoming: {overdue: never}", "incoming.overdue", "'never' is not one of 'slip' or 'stop'"),
        ("incoming: {over: slip}", "incoming.over", "not a known field; overdue is meant?"),
        ("incoming: [slip]", "incoming", "a mapping is wanted, a list found"),
    ],
)
def test_a_rule_for_overdue_receipts_that_cannot_be_read_is_named(section: str, path: str, problem: str) -> None:
    with pytest.raises(NetworkInvalid) as found:
        Network.parse(f"locations: {{A: {{}}}}\n{section}")
    assert [(fault.line, fault.path, fault.problem) for fault in found.value.faults] == [(2, path, problem)]


def test_a_rule_for_overdue_receipts_is_told_among_the_changes() -> None:
    before = Network.parse("locations: {A: {}}")
    after = Network.parse("locations: {A: {incoming: {overdue: stop}}}")
    assert len(diff(before, after)) == 1
    assert diff(after, Network.parse("locations: {A: {}}\nincoming: {overdue: stop}")) == []
