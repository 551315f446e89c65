"""What kernels are tried with: names, log rows, selections, and both worlds fed with the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from hypothesis import strategies as st

from invengine import kernels
from invengine.domain.stock import UNITS_MAX, ConfidenceRule
from invengine.kernels.layout import (
    CAREFUL,
    CHANNEL,
    FLOOR_PARTS,
    FLOOR_UNITS,
    IGNORED_COLUMNS,
    INDEX,
    NOW,
    OWN_ONLY,
    PARTS_BITS,
    RANK,
    RULE,
    RULE_AGE,
    RULE_FEWER,
    RULE_NEXT,
    RULE_PARTS,
    RULE_UNITS,
    SAFETY_PARTS,
    SELECTION_COLUMNS,
    WHY_NOT,
)
from invengine.replica.columns import Columns
from invengine.replica.index import Locations
from tests.kernels import reference
from tests.kernels.reference import NOW_MS, WEB, Asked, Asker, Ignored

units = st.one_of(st.integers(0, 20), st.integers(0, UNITS_MAX), st.just(UNITS_MAX))
parts = st.one_of(st.just(0), st.integers(0, 10_000))
counted = st.one_of(st.just(0), st.integers(NOW_MS - 9_000, NOW_MS + 9), st.sampled_from((2**48, 10**17)))
seconds = st.one_of(st.integers(1, 30), st.integers(1, 300_000))

# few SKUs and locations, so that rows meet; some names are longer than an inline key, and alike
SKUS = (
    "A",
    "LAMP",
    "LAMP-1",
    "LAMP\u00e9",
    "S" * 24,
    "S" * 25,
    "S" * 64,
    "T" * 63 + "S",
    "x y",
    "8-LETTER",
    "16-LETTERS-NAME-",
)
LOCATIONS = ("AMS1", "BER", "L" * 64, "CDG-\u00fc", "m", "0", "ZZZ")
CHANNELS = ("web", "till", "C" * 64)
skus = st.sampled_from(SKUS)
locations = st.sampled_from(LOCATIONS)
channels = st.sampled_from(CHANNELS)


causes = st.sampled_from(("SET\terp\te1", "TRANSFER_OUT\tplanner\tt1\tAMS1"))
"""What an I row says behind its numbers; of a transfer, where its units left."""


@st.composite
def rows(draw: st.DrawFn, kinds: str = "PPPHHHFFFIRU") -> str:
    """One row of the log. A leg belongs to one position for ever, as in the store."""
    kind = draw(st.sampled_from(kinds))
    if kind == "P":
        sku, location = draw(skus), draw(locations)
        numbers = f"{draw(units)}\t{draw(units)}\t{draw(counted)}"
        return f"P\t{sku}\t{location}\t{numbers}\t1\t-1\tSALE\ttill\tx\t\tref\t1700000000000\t\n"
    if kind == "F":
        return f"F\t{draw(skus)}\t{draw(locations)}\t{draw(channels)}\t{draw(units)}\t\n"
    if kind == "H":
        leg, held = draw(st.integers(0, 12)), "0\t0\t0\t"
        if draw(st.booleans()):
            quantity = draw(units.filter(bool))
            fenced = draw(st.just(0) | st.integers(1, quantity))
            held = f"{quantity}\t{draw(seconds)}\t{fenced}\t{draw(channels) if fenced else ''}"
        return f"H\t{leg}\t{SKUS[leg % 5]}\t{LOCATIONS[leg % 4]}\t{held}\t\n"
    if kind == "I":
        return f"I\t{draw(skus)}\t{draw(locations)}\tPO-1\t20000\t{draw(units)}\t0\t{draw(causes)}\t\n"
    if kind == "U":
        return f"U\t{draw(skus)}\t{draw(locations)}\tdamaged\t{draw(units)}\t1\t0\t\n"
    return draw(
        st.sampled_from(
            (
                "R\tr1\t\tHELD\tweb\t1\t2\t\n",
                "R\tr1\tHELD\tCONFIRMED\tweb\t\t\t\n",
                "G\tr1\tHELD\tCONFIRMED\tweb\t\t\t\n",
                "T\tback 1\tOPEN\t7\ttill\tAMS1\t\t\n",
                "B\t65537\t3\tr1\tl1\tLAMP\tAMS1\tPO-1\tSLIPPED\t20000\t1700000000000\t\n",
            )
        )
    )


@dataclass
class Worlds:
    """The columns and their naive twin."""

    columns: Columns = field(default_factory=lambda: Columns(Locations()))
    state: reference.State = field(default_factory=reference.State)

    def apply(self, partition: int, revision: int, text: str) -> None:
        encoded = text.encode()
        passed = self.columns.apply(encoded, np.array([[partition, revision, 0, len(encoded)]], np.int64))
        before = len(self.state.passed)
        reference.apply_rows(self.state, partition, revision, text)
        assert self.state.passed[before:] == [row.decode() for _, row in passed]

    def advance(self, second: int) -> None:
        self.columns.advance(second)
        reference.advance_holds(self.state, second)

    def check(self) -> None:
        assert self.state.rows() == list(self.columns.all_positions())
        assert self.state.counted() == [
            row[SAFETY_PARTS] >> PARTS_BITS
            for number in range(self.columns.sku_count)
            for row in self.columns.rows(number).tolist()
        ]
        assert self.state.ring_fences() == list(self.columns.all_ring_fences())
        assert len(self.state.holds) == self.columns.hold_count

    def taken(self) -> tuple[list[str], list[str]]:
        """What each says has changed since it was asked last, in any order."""
        numbers, _ = self.columns.take_changed()
        names = [name.decode() for name in self.columns.index.names(self.columns.sku_count)]
        return sorted(reference.take_changed(self.state)), sorted(names[number] for number in numbers.tolist())


@st.composite
def worlds(draw: st.DrawFn) -> Worlds:
    """Both worlds after the same rows, at the same second."""
    both = Worlds()
    both.apply(0, 5, "".join(draw(st.lists(rows(), max_size=40))))
    both.advance(draw(seconds))
    for sku, location, safety_units, safety_parts in draw(
        st.lists(st.tuples(skus, st.none() | locations, units, parts), max_size=4)
    ):
        number = both.columns.find_sku(sku)
        if number >= 0:
            place = -1 if location is None else both.columns.locations.number(location)
            kernels.raise_safety(both.columns.positions, both.columns.skus, number, place, safety_units, safety_parts)
            reference.raise_safety(both.state, sku, location, safety_units, safety_parts)
    return both


@st.composite
def _ignored(draw: st.DrawFn) -> Ignored:
    units_held = draw(st.integers(0, 30))
    fenced: dict[str, int] = {}
    for channel in draw(st.lists(channels, max_size=3, unique=True)):
        fenced[channel] = draw(st.integers(0, units_held - sum(fenced.values())))
    return Ignored(units_held, fenced)


ignored_units = st.dictionaries(locations, _ignored(), max_size=3)
askers = st.builds(Asker, st.sampled_from((*CHANNELS, "nobody")), st.sampled_from((True, True, False)))
_rules = st.builds(
    ConfidenceRule,
    counted_before_ms=st.one_of(st.just(0), st.integers(1, 10_000)),
    fewer_than=st.one_of(st.just(0), units),
    units=units,
    parts=parts,
)
asked = st.builds(
    Asked,
    units=units,
    parts=parts,
    why_not=st.sampled_from((0, 0, 0, 1, 2, 3, 7)),
    rules=st.lists(_rules, max_size=3).map(tuple) | st.just(()),
)
selections = st.dictionaries(locations, asked, max_size=len(LOCATIONS))


@dataclass(frozen=True)
class Compiled:
    """A selection as the kernels want it."""

    block: npt.NDArray[np.int64]
    asked: tuple[str, ...]
    usable: tuple[str, ...]

    @property
    def names(self) -> npt.NDArray[np.uint8]:
        return np.frombuffer("".join(self.asked).encode(), np.uint8)

    @property
    def name_ends(self) -> npt.NDArray[np.int64]:
        return np.cumsum([len(name.encode()) for name in self.asked], dtype=np.int64)

    def ignored(self, by_location: Mapping[str, Ignored], asker: Asker) -> npt.NDArray[np.int64]:
        found = np.zeros((len(self.asked), IGNORED_COLUMNS), np.int64)
        for rank, name in enumerate(self.asked):
            free = by_location.get(name, Ignored())
            found[rank] = free.units, sum(free.fenced.values()), free.fenced.get(asker.channel, 0)
        return found


def compiled(selection: reference.Selection, columns: Columns, asker: Asker = WEB) -> Compiled:
    names = tuple(sorted(selection))
    usable = tuple(name for name in names if not selection[name].why_not)
    places = {name: columns.locations.number(name) for name in names}
    lines = len(columns.locations)
    block = np.zeros((lines + sum(len(one.rules) for one in selection.values()), SELECTION_COLUMNS), np.int64)
    block[:, RANK] = block[:, INDEX] = -1
    block[:, CHANNEL] = columns.channels.number(asker.channel)
    block[:, OWN_ONLY] = not asker.borrows
    block[:, CAREFUL] = not asker.borrows or len(block) > lines
    if len(block):
        block[0, NOW] = NOW_MS
    for rank, name in enumerate(names):
        row, wanted = places[name], selection[name]
        before = row
        for rule in wanted.rules:
            block[before, RULE] = lines
            block[lines, [RULE_UNITS, RULE_PARTS]] = rule.units, rule.parts
            block[lines, [RULE_AGE, RULE_FEWER, RULE_NEXT]] = rule.counted_before_ms, rule.fewer_than, 0
            before = lines
            lines += 1
        block[row, FLOOR_UNITS] = wanted.units
        block[row, FLOOR_PARTS] = wanted.parts
        block[row, RANK] = rank
        block[row, INDEX] = -1 if wanted.why_not else usable.index(name)
        block[row, WHY_NOT] = wanted.why_not
    return Compiled(block, names, usable)
