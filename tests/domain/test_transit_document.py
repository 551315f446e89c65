"""The document of learnt transit times: what is written is read, and what cannot be read names itself."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from invengine.domain.transit import TransitPeriod
from invengine.domain.transit_basis import TransitBasis
from invengine.domain.transit_distribution import DAYS_MAX, Seen
from invengine.domain.transit_document import COUNT_MAX, read_document, write_document
from invengine.errors import TransitInvalid

counts = st.dictionaries(st.integers(0, DAYS_MAX), st.integers(1, COUNT_MAX), max_size=5)
names = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), min_size=1, max_size=12).filter(
    lambda text: text == text.strip()
)
lanes = st.dictionaries(st.tuples(names, names, names), st.builds(Seen, counts.filter(bool), counts), max_size=5)
periods = st.none() | st.tuples(st.integers(0, 20_000), st.integers(0, 99), st.integers(0, 99)).map(
    lambda days: TransitPeriod(days[0], days[0] + days[1], days[0] + days[1] + days[2])
)


@given(lanes, periods, st.integers(0, 10_000), st.sampled_from(TransitBasis))
def test_what_is_written_is_read(
    seen: dict[tuple[str, str, str], Seen], period: TransitPeriod | None, strength: int, basis: TransitBasis
) -> None:
    document = write_document(seen, period, strength=strength, basis=basis)
    read = read_document(document, 7)
    assert (dict(read.lanes), read.period, read.strength, read.basis) == (seen, period, strength, basis)
    assert (read.document, read.revision) == (document, 7)
    assert write_document(read.lanes, read.period, strength=read.strength, basis=read.basis) == document


def test_the_same_content_is_the_same_text() -> None:
    one = {("A", "n", "s"): Seen({2: 1, 1: 5}), ("B", "n", "s"): Seen({1: 1})}
    assert write_document(one, None) == write_document(dict(reversed(one.items())), None)


@pytest.mark.parametrize(
    ("content", "path", "problem"),
    [
        ([], "document", "an object is wanted, [] found"),
        ({}, "version", "nothing found"),
        ({"version": 2, "lanes": {}}, "version", "not understood"),
        ({"version": True, "lanes": {}}, "version", "True found"),
        ({"version": 1}, "lanes", "nothing found"),
        ({"version": 1, "lanes": {}, "lane": 1}, "lane", "not a known field"),
        ({"version": 1, "lanes": {}, "strength": -1}, "strength", "from 0 to 10000"),
        ({"version": 1, "lanes": {}, "strength": 1.5}, "strength", "1.5 found"),
        ({"version": 1, "lanes": {}, "basis": "some"}, "basis", "'some' is none of each, all"),
        ({"version": 1, "lanes": {}, "basis": ["all"]}, "basis", "is none of"),
        ({"version": 1, "lanes": {}, "as_of": "2026-01-31"}, "shipped_since", "nothing is not a day"),
        (
            {
                "version": 1,
                "lanes": {},
                "shipped_since": "2026-01-02",
                "shipped_until": "2026-01-01",
                "as_of": "2026-01-03",
            },
            "as_of",
            "not in order",
        ),
        ({"version": 1, "lanes": {"A": 1}}, "lanes.A", "1 found"),
        ({"version": 1, "lanes": {"A": {"n": {"s": []}}}}, "lanes.A.n.s", "[] found"),
        ({"version": 1, "lanes": {" A": {"n": {"s": {}}}}}, 'lanes." A".n.s', "no space at its ends"),
        ({"version": 1, "lanes": {"A": {"n": {"s": {"late": {}}}}}}, "lanes.A.n.s.late", "not a known field"),
        ({"version": 1, "lanes": {"A": {"n": {"s": {"arrived": {"01": 1}}}}}}, "lanes.A.n.s.arrived", "'01' is not"),
        ({"version": 1, "lanes": {"A": {"n": {"s": {"arrived": {"-1": 1}}}}}}, "lanes.A.n.s.arrived", "'-1' is not"),
        ({"version": 1, "lanes": {"A": {"n": {"s": {"arrived": {"999": 1}}}}}}, "lanes.A.n.s.arrived", "more than 730"),
        ({"version": 1, "lanes": {"A": {"n": {"s": {"arrived": {"1": 0}}}}}}, "lanes.A.n.s.arrived.1", "0 found"),
        ({"version": 1, "lanes": {"A": {"n": {"s": {"arrived": {"1": 1e3}}}}}}, "lanes.A.n.s.arrived.1", "1000.0"),
    ],
)
def test_a_fault_is_named_with_its_path(content: object, path: str, problem: str) -> None:
    with pytest.raises(TransitInvalid) as refused:
        read_document(json.dumps(content))
    assert refused.value.path == path
    assert problem in refused.value.problem


@pytest.mark.parametrize(
    "document",
    [
        "",
        "{",
        "nonsense",
        '{"version": NaN, "lanes": {}}',
        '{"version": 1, "version": 1, "lanes": {}}',
        '{"version": 1, "lanes": {"\\ud800": {}}}',
        "[" * 100_000,
        '{"version": ' + "9" * 5000 + "}",
        '{"version": 1, "lanes": {}}' + " " * 3_000_000,
    ],
    ids=["empty", "cut", "word", "nan", "twice", "half a character", "deep", "digits", "large"],
)
def test_what_is_not_a_document_is_refused(document: str) -> None:
    with pytest.raises(TransitInvalid) as refused:
        read_document(document)
    assert refused.value.path == "document"
    str(refused.value).encode()


pieces = st.none() | st.booleans() | st.floats() | st.text(max_size=5) | st.integers()
contents = st.recursive(
    pieces,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(("arrived", "1", "x", "lanes")), inner, max_size=3)
    ),
)


@given(contents)
def test_any_content_is_read_or_refused(content: object) -> None:
    with contextlib.suppress(TransitInvalid):
        read_document(json.dumps({"version": 1, "lanes": content}))
