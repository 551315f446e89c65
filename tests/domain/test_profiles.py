"""Sourcing profiles: what a planner may write, what it means, and the sentence with a line for everything else."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from invengine.domain.delivery_document import COST_MAX
from invengine.domain.network_reading import PARTS_MAX
from invengine.domain.profile_document import (
    DESCRIPTION_BYTES_MAX,
    DOCUMENT_BYTES_MAX,
    EXCLUDED_MAX,
    NODES_LIMIT,
    PARCELS_MAX,
    PERCENT_MAX,
    named_version,
    read_profile,
)
from invengine.domain.profiles import Difference, Profile, differences, fingerprint, profile_elements
from invengine.errors import NetworkFault, ProfileInvalid

WHOLE = """\
name: fewest parcels
description: Christmas, parcels are dear
costs: {parcel: 4.5, unit: 0.1, kilometre: 0.0025, day_waiting: 1, day_late: 20, day_early: 0.5, priority: 0.01,
        shortage: 15}
weights: {lane: 50, handling: 0, opportunity: 250}
rules:
  parcels_max: 3
  split: never
  lateness: allowed
  exclude: [SOHO, north]
  nodes_max: 500
"""
NETWORK = SimpleNamespace(locations={"LON1": 1, "SOHO": 1}, groups={"north": ("LON1",), "SOHO": ("LEEDS",)})


def faults_of(document: str, **told: object) -> tuple[NetworkFault, ...]:
    with pytest.raises(ProfileInvalid) as refused:
        read_profile(document, **told)  # type: ignore[arg-type]  # of a profile's name or a network
    return refused.value.faults


names = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs"), exclude_characters="@"), min_size=1)
names = names.filter(lambda text: text == text.strip() and len(text.encode()) <= 64)
costs = st.integers(0, COST_MAX)
percents = st.integers(0, PERCENT_MAX)
profiles = st.builds(
    Profile,
    name=names,
    version=st.integers(0, 9),
    description=st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), max_size=40),
    parcel_cost=costs,
    unit_cost=costs,
    kilometre_cost=costs,
    waiting_day_cost=costs,
    late_day_cost=costs,
    early_day_cost=costs,
    priority_cost=costs,
    shortage_cost=st.none() | costs,
    lane_percent=percents,
    handling_percent=percents,
    opportunity_percent=percents,
    parcels_max=st.integers(0, PARCELS_MAX),
    may_split=st.booleans(),
    may_be_late=st.booleans(),
    excluded=st.lists(names, max_size=4, unique=True).map(lambda found: tuple(sorted(found))),
    nodes_max=st.integers(1, NODES_LIMIT),
)


@given(profiles)
def test_what_is_written_is_read(profile: Profile) -> None:
    document = yaml.safe_dump({"name": profile.name, **profile_elements(profile)})
    assert read_profile(document, version=profile.version) == profile


@given(profiles, profiles)
def test_profiles_differ_where_their_terms_do(one: Profile, other: Profile) -> None:
    """Names and versions are no terms; a fingerprint says whether there is a difference."""
    same = {f.name for f in dataclasses.fields(Profile) if getattr(one, f.name) == getattr(other, f.name)}
    found = differences(one, other)
    assert len(found) == len({f.name for f in dataclasses.fields(Profile)} - same - {"name", "version"})
    assert (fingerprint(one) == fingerprint(other)) == (not found)
    assert found == tuple(Difference(term, before, after) for term, after, before in differences(other, one))


def test_every_word_of_the_file_has_its_meaning() -> None:
    assert read_profile(WHOLE, version=3) == Profile(
        "fewest parcels",
        3,
        "Christmas, parcels are dear",
        parcel_cost=45_000,
        unit_cost=1_000,
        kilometre_cost=25,
        waiting_day_cost=10_000,
        late_day_cost=200_000,
        early_day_cost=5_000,
        priority_cost=100,
        shortage_cost=150_000,
        lane_percent=50,
        handling_percent=0,
        opportunity_percent=250,
        parcels_max=3,
        may_split=False,
        may_be_late=True,
        excluded=("SOHO", "north"),
        nodes_max=500,
    )


@pytest.mark.parametrize("document", ["{}", "description:", "costs:\nweights:\nrules: {exclude: }"])
def test_what_is_not_written_is_as_usual(document: str) -> None:
    """Stored profiles mean these, so they never change."""
    assert read_profile(document, name="web") == Profile(
        "web",
        0,
        "",
        parcel_cost=0,
        unit_cost=0,
        kilometre_cost=0,
        waiting_day_cost=0,
        late_day_cost=0,
        early_day_cost=0,
        priority_cost=0,
        shortage_cost=None,
        lane_percent=100,
        handling_percent=100,
        opportunity_percent=0,
        parcels_max=0,
        may_split=True,
        may_be_late=False,
        excluded=(),
        nodes_max=2000,
    )


def test_a_difference_is_shown_as_it_is_written() -> None:
    plain = read_profile("{}", name="plain")
    assert differences(plain, read_profile(WHOLE))[:3] == (
        Difference("description", "", "Christmas, parcels are dear"),
        Difference("costs.parcel", "0.00", "4.50"),
        Difference("costs.unit", "0.00", "0.10"),
    )
    changed = dataclasses.replace(plain, name="other", shortage_cost=0, excluded=("A", "B"), may_split=False)
    assert differences(plain, changed) == (
        Difference("costs.shortage", "above_all", "0.00"),
        Difference("rules.split", "as_asked", "never"),
        Difference("rules.exclude", "", "A, B"),
    )


@pytest.mark.parametrize(
    ("document", "line", "path", "problem"),
    [
        ("- a", 1, "document", "name, description, costs, weights and rules are wanted, a list found"),
        ("name: a\nnmae: b", 2, "nmae", "not a known field; name is meant?"),
        ("name: a@3", 1, "name", "a name has no @"),
        ("name: ' a'", 1, "name", "no space at its ends"),
        ("name: []", 1, "name", "a name is wanted, a list found"),
        ("description: x", 1, "document", "name is missing"),
        ("name: a\ndescription: " + "é" * 251, 2, "description", f"at most {DESCRIPTION_BYTES_MAX} bytes"),
        ("name: a\ndescription: {}", 2, "description", "text is wanted, a mapping found"),
        ("name: a\ncosts: 5", 2, "costs", "a mapping is wanted, '5' found"),
        ("name: a\ncosts:\n  parcels: 5", 3, "costs.parcels", "not a known field; parcel is meant?"),
        ("name: a\ncosts:\n  parcel: -5", 3, "costs.parcel", "'-5' is not an amount such as 4.95"),
        ("name: a\ncosts:\n  parcel: 0.00001", 3, "costs.parcel", "with at most 4 decimals"),
        ("name: a\ncosts:\n  parcel: 1e3", 3, "costs.parcel", "is not an amount"),
        ("name: a\ncosts:\n  parcel:", 3, "costs.parcel", "an amount of money is wanted, nothing found"),
        ("name: a\ncosts:\n  parcel: 1000000.0001", 3, "costs.parcel", "at most 1,000,000"),
        ("name: a\ncosts:\n  shortage: none", 3, "costs.shortage", "neither an amount such as 4.95 nor above_all"),
        ("name: a\ncosts:\n  shortage:", 3, "costs.shortage", "an amount of money is wanted, nothing found"),
        ("name: a\nweights:\n  lane: 1001", 3, "weights.lane", "less than or equal to 1000"),
        ("name: a\nweights:\n  lane: -1", 3, "weights.lane", "greater than or equal to 0"),
        ("name: a\nweights:\n  lane: 1.5", 3, "weights.lane", "'1.5' is not a whole number"),
        ("name: a\nweights:\n  lane: []", 3, "weights.lane", "a whole number is wanted, a list found"),
        ("name: a\nrules:\n  split: yes", 3, "rules.split", "'yes' is not one of 'as_asked' or 'never'"),
        ("name: a\nrules:\n  lateness: never", 3, "rules.lateness", "is not one of 'forbidden' or 'allowed'"),
        ("name: a\nrules:\n  nodes_max: 0", 3, "rules.nodes_max", "greater than or equal to 1"),
        ("name: a\nrules:\n  nodes_max: 1000001", 3, "rules.nodes_max", "less than or equal to 1000000"),
        ("name: a\nrules:\n  parcels_max: 10001", 3, "rules.parcels_max", "less than or equal to 10000"),
        (
            "name: a\nrules:\n  exclude: LON1",
            3,
            "rules.exclude",
            "locations and groups is wanted, 'LON1' found",
        ),
        ("name: a\nrules:\n  exclude:\n  - A\n  - A", 5, "rules.exclude[1]", "'A' is listed twice"),
        ("name: a\nrules:\n  exclude:\n  - []", 4, "rules.exclude[0]", "a location or group is wanted, a list found"),
        ("name: a\nrules:\n  exclude:\n  - ' A'", 4, "rules.exclude[0]", "no space at its ends"),
        ("name: a\nname: b", 2, "name", "written twice, first in line 1"),
        ("name: a\n---\nname: b", 2, "document", "a second document begins here; one is wanted"),
        ("name: !!python/none", 1, "name", "is not supported"),
        ("name: [", 2, "document", "not YAML"),
    ],
)
def test_a_fault_is_named_with_its_line(document: str, line: int, path: str, problem: str) -> None:
    (fault,) = faults_of(document)
    assert (fault.line, fault.path) == (line, path)
    assert problem in fault.problem


def test_every_fault_is_named_by_line() -> None:
    found = faults_of("rules: {nodes_max: x, split: x}\ncosts: {parcel: x}\nweights: {lane: x}\nfoo: 1\nname: '@'")
    assert [(fault.line, fault.path) for fault in found] == [
        (1, "rules.split"),
        (1, "rules.nodes_max"),
        (2, "costs.parcel"),
        (3, "weights.lane"),
        (4, "foo"),
        (5, "name"),
    ]


def test_what_is_too_large_is_one_fault() -> None:
    excluded = ", ".join(f"L{n}" for n in range(EXCLUDED_MAX + 1))
    assert [fault.problem for fault in faults_of(f"name: a\nrules: {{exclude: [{excluded}]}}")] == [
        "501 names; at most 500 are taken"
    ]
    many = ", ".join("A" for _ in range(PARTS_MAX + 1))
    assert len(faults_of(f"name: a\nrules: {{exclude: [{many}]}}")) == 1
    assert [fault.problem for fault in faults_of("#" + "é" * (DOCUMENT_BYTES_MAX // 2))] == ["more than 65536 bytes"]
    assert read_profile("name: a\n#".ljust(DOCUMENT_BYTES_MAX, "e")).name == "a"


def test_text_that_is_none_is_a_fault() -> None:
    assert [fault.problem for fault in faults_of("name: \ud800")] == ["not valid Unicode text"]


def test_a_name_is_told_once_or_the_same_twice() -> None:
    assert read_profile("name: web", name="web").name == "web"
    assert read_profile("{}", name="web").name == "web"
    assert read_profile("{}", unnamed="a file").name == "a file"
    assert read_profile("name: web", unnamed="a file").name == "web"
    assert faults_of("\nname: web", name="app") == (NetworkFault(2, "name", "the profile is put as 'app'"),)


def test_what_is_excluded_is_in_the_network() -> None:
    assert read_profile(WHOLE, network=NETWORK).excluded == ("SOHO", "north")
    assert read_profile("{rules: {exclude: [LEEDS]}}", name="a").excluded == ("LEEDS",)
    assert faults_of("rules:\n  exclude:\n  - LEEDS\n  - LON1", name="a", network=NETWORK) == (
        NetworkFault(3, "rules.exclude[0]", "the network has no location or group 'LEEDS'"),
    )


def test_groups_are_excluded_with_all_their_members() -> None:
    """SOHO is a location and a group; GONE is neither any more."""
    excluded = Profile("a", excluded=("GONE", "SOHO", "north")).excluded_locations(NETWORK)
    assert excluded == {"SOHO", "LEEDS", "LON1"}
    assert Profile("a").excluded_locations(NETWORK) == frozenset()


@pytest.mark.parametrize(
    ("text", "meant"),
    [("web", ("web", 0)), ("web@3", ("web", 3)), ("fewest parcels@12", ("fewest parcels", 12))],
)
def test_a_version_is_named_after_an_at(text: str, meant: tuple[str, int]) -> None:
    assert named_version(text) == meant
    assert str(Profile(*meant)) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "@",
        "@3",
        "web@",
        "web@0",
        "web@03",
        "web@-1",
        "web@x",
        "web@1@2",
        " web",
        "web @1",
        "a" * 65,
        "w@9999999999",
    ],
)
def test_what_names_no_version_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        named_version(text)
