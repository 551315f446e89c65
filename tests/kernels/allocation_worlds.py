"""Waves to plan, with every rule on and off, what the kernel makes of them, and what a plan may not do."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from invengine import kernels
from invengine.kernels.layout import NO_LIMIT
from invengine.kernels.layout_wave import (
    OPTION_LINE_COST,
    OPTION_PLACE,
    OPTION_UNIT_COST,
    PLACE_LOCATION,
    PLACE_PARCEL_COST,
    WAVE_LINE_FIRST,
    WAVE_LINE_MAY_PART,
    WAVE_LINE_MAY_SPLIT,
    WAVE_LINE_OPTIONS,
    WAVE_LINE_SKU,
    WAVE_LINE_WANTED,
    WAVE_LINE_WORTH,
    WAVE_ORDER_CHANNEL,
    WAVE_ORDER_CLASS,
    WAVE_ORDER_LINES,
    WAVE_ORDER_WHOLE,
    WAVE_OUT_COLUMNS,
    WAVE_POOL_LAYERS,
    WAVE_RUNNING,
    WAVE_STATE_COLUMNS,
    WAVE_STATUS,
)


@dataclass(frozen=True)
class Line:
    """A line of an order: its options are (place of the order, unit cost, line cost)."""

    sku: int
    wanted: int
    worth: int
    options: tuple[tuple[int, int, int], ...]
    may_split: bool = True
    may_part: bool = True


@dataclass(frozen=True)
class Order:
    """An order: its places are (location, parcel cost)."""

    lines: tuple[Line, ...]
    places: tuple[tuple[int, int], ...]
    klass: int = 0
    channel: int = 0
    whole: bool = False


@dataclass(frozen=True)
class Wave:
    """The arguments of `kernels.allocate_wave`, in its words."""

    orders: np.ndarray
    lines: np.ndarray
    places: np.ndarray
    options: np.ndarray
    available: np.ndarray
    capacity: np.ndarray
    shares: np.ndarray

    @property
    def classes(self) -> int:
        return int(self.orders[:, WAVE_ORDER_CLASS].max(initial=0)) + 1

    @property
    def line_of(self) -> np.ndarray:
        """The line of each option."""
        return np.repeat(np.arange(len(self.lines)), self.lines[:, WAVE_LINE_OPTIONS])

    @property
    def order_of(self) -> np.ndarray:
        """The order of each line."""
        return np.repeat(np.arange(len(self.orders)), self.orders[:, WAVE_ORDER_LINES])

    @property
    def location_of(self) -> np.ndarray:
        """The location of each option."""
        return self.places[self.options[:, OPTION_PLACE], PLACE_LOCATION]

    def filled(self, units: np.ndarray) -> np.ndarray:
        """Units of each line."""
        return np.bincount(self.line_of, units, len(self.lines)).astype(np.int64)

    def cost(self, units: np.ndarray, klass: int | None = None) -> int:
        """What parcels, lines and units cost, of a class or all."""
        of_class = self.orders[self.order_of[self.line_of], WAVE_ORDER_CLASS] == klass
        units = units if klass is None else np.where(of_class, units, 0)
        parcels = self.places[np.unique(self.options[units > 0, OPTION_PLACE]), PLACE_PARCEL_COST].sum()
        once = self.options[units > 0, OPTION_LINE_COST].sum()
        return int(parcels + once + (units * self.options[:, OPTION_UNIT_COST]).sum())

    def missing_worth(self, units: np.ndarray, klass: int | None = None) -> int:
        """What missing units are worth, of a class or all."""
        missing = (self.lines[:, WAVE_LINE_WANTED] - self.filled(units)) * self.lines[:, WAVE_LINE_WORTH]
        of_class = self.orders[self.order_of, WAVE_ORDER_CLASS] == klass
        return int(missing.sum() if klass is None else missing[of_class].sum())

    def taken(self, units: np.ndarray) -> np.ndarray:
        """Units of each SKU [K] from each location [N]."""
        taken = np.zeros_like(self.available)
        np.add.at(taken, (self.lines[self.line_of, WAVE_LINE_SKU], self.location_of), units)
        return taken

    def broken_rules(self, units: np.ndarray) -> list[str]:
        """What a plan does that it may not."""
        filled, taken = self.filled(units), self.taken(units)
        whole = filled == self.lines[:, WAVE_LINE_WANTED]
        must_be_whole = self.lines[:, WAVE_LINE_MAY_PART] == 0
        sources = np.bincount(self.line_of, units > 0, len(self.lines))
        broken_orders = [
            order
            for order in np.flatnonzero(self.orders[:, WAVE_ORDER_WHOLE])
            if filled[self.order_of == order].any() and not whole[self.order_of == order].all()
        ]
        rules = {
            "less than nothing": (units < 0).any(),
            "more than wanted": (filled > self.lines[:, WAVE_LINE_WANTED]).any(),
            "more than there is": (taken > self.available).any(),
            "capacity": ((taken.sum(axis=0) > self.capacity) & (self.capacity != NO_LIMIT)).any(),
            "split": ((sources > 1) & (self.lines[:, WAVE_LINE_MAY_SPLIT] == 0)).any(),
            "part of a line": (must_be_whole & (filled > 0) & ~whole).any(),
            "part of an order": bool(broken_orders),
        }
        return [rule for rule, is_broken in rules.items() if is_broken]


def wave_of(
    orders: list[Order],
    available: list[list[int]] | np.ndarray,
    capacity: list[int] | None = None,
    shares: list[list[int]] | np.ndarray | None = None,
) -> Wave:
    """The arrays of some orders."""
    rows: tuple[list[tuple[int, ...]], ...] = ([], [], [], [])
    order_rows, line_rows, place_rows, option_rows = rows
    for order in orders:
        first_place = len(place_rows)
        order_rows.append(
            (
                order.klass, order.channel, order.whole, len(line_rows), len(order.lines), first_place,
                len(order.places),
            )
        )  # fmt: skip
        place_rows.extend(order.places)
        for line in order.lines:
            line_rows.append(
                (
                    line.sku, line.wanted, line.worth, line.may_split, line.may_part, len(option_rows),
                    len(line.options),
                )
            )  # fmt: skip
            option_rows.extend((first_place + place, unit, once) for place, unit, once in line.options)
    stock = np.array(available, np.int64)
    channels = max([order.channel for order in orders], default=0) + 1
    return Wave(
        *(
            np.array(some, np.int64).reshape(-1, columns)
            for some, columns in zip(rows, (7, 7, 2, 3), strict=True)
        ),
        stock,
        np.full(stock.shape[1], NO_LIMIT) if capacity is None else np.array(capacity, np.int64),
        np.zeros((channels, len(stock)), np.int64) if shares is None else np.array(shares, np.int64),
    )  # fmt: skip


@dataclass(frozen=True)
class Answer:
    """What the kernel filled."""

    units: np.ndarray
    quotas: np.ndarray
    out: np.ndarray
    status: int
    calls: int


def allocated(wave: Wave, mode: int, *, rounds: int = 60, steps: int = 1_000_000) -> Answer:
    """The kernel's answer, every number of which it has to write."""
    pools = len(wave.available) + 1 + int((wave.shares > 0).sum())
    state = np.zeros(WAVE_STATE_COLUMNS, np.int64)
    kept = np.full((WAVE_POOL_LAYERS, pools, wave.available.shape[1]), -9, np.int64)
    units, quotas = np.full(len(wave.options), -9, np.int64), np.full(len(wave.lines), -9, np.int64)
    out = np.full((wave.classes + 1, WAVE_OUT_COLUMNS), -9, np.int64)
    calls = 0
    while calls == 0 or state[WAVE_STATUS] == WAVE_RUNNING:
        kernels.allocate_wave(
            wave.orders, wave.lines, wave.places, wave.options, wave.available, wave.capacity, wave.shares, mode,
            rounds, steps, state, kept, units, quotas, out,
        )  # fmt: skip
        calls += 1
    return Answer(units, quotas, out, int(state[WAVE_STATUS]), calls)


def random_wave(seed: int, orders: int = 40, *, plain: bool = False, locations: int = 0) -> Wave:
    """A wave by its number: costs as shops have them, scarce stock, each rule in some of them, in plain ones none."""
    draw = np.random.default_rng(seed)
    skus, locations = int(draw.integers(1, max(orders // 3, 2))), locations or int(draw.integers(1, 9))
    on = {
        name: not plain and bool(draw.random() < 0.5) for name in ("classes", "whole", "part", "split", "line", "cap")
    }
    channels = 1 if plain else int(draw.integers(1, 4))
    worth = draw.integers(20_000, 1_000_000, skus)
    made = []
    wanted_of = np.zeros(skus)
    for _ in range(orders):
        places = np.flatnonzero(draw.random(locations) < 0.8)
        lines = []
        for sku in draw.integers(0, skus, min(int(draw.geometric(0.5)), 10)):
            wanted = int(draw.choice([1, 1, 1, 2, 3, 6]))
            wanted_of[sku] += wanted
            options = [
                (place, int(draw.integers(500, 9_000)), int(draw.integers(0, 9_000)) * on["line"])
                for place in range(len(places))
                if draw.random() < 0.8
            ]
            lines.append(
                Line(
                    int(sku), wanted, int(worth[sku] * draw.uniform(0.8, 1.2)), tuple(options),
                    bool(not on["split"] or draw.random() < 0.5), bool(not on["part"] or draw.random() < 0.6),
                )
            )  # fmt: skip
        made.append(
            Order(
                tuple(lines),
                tuple((int(n), int(draw.integers(30_000, 80_000))) for n in places),
                int(draw.integers(0, 3)) * on["classes"],
                int(draw.integers(0, channels)),
                bool(on["whole"] and draw.random() < 0.3),
            )
        )
    ratio = draw.choice([0.3, 0.7, 1.0, 2.0], (skus, 1))
    available = (wanted_of[:, None] * ratio * 2 / locations * draw.random((skus, locations))).astype(np.int64)
    capacity = (wanted_of.sum() / locations * draw.uniform(0.3, 1.5, locations)).astype(np.int64)
    capacity[draw.random(locations) < 0.3] = NO_LIMIT
    shares = (available.sum(axis=1) * draw.uniform(0, 0.5, (channels, skus))).astype(np.int64)
    shares[draw.random(shares.shape) < 0.5] = 0
    with_shares = not plain and draw.random() < 0.5
    return wave_of(made, available, capacity.tolist() if on["cap"] else None, shares if with_shares else None)


def lines_of(wave: Wave, sku: int) -> np.ndarray:
    """The lines of a SKU that may come from anywhere."""
    has = (wave.lines[:, WAVE_LINE_SKU] == sku) & (wave.lines[:, WAVE_LINE_OPTIONS] > 0)
    return np.flatnonzero(has)


def locations_of(wave: Wave, line: int) -> frozenset[int]:
    """Where a line may come from."""
    first = wave.lines[line, WAVE_LINE_FIRST]
    return frozenset(wave.location_of[first : first + wave.lines[line, WAVE_LINE_OPTIONS]].tolist())


def channel_of(wave: Wave, line: int) -> int:
    """The channel of a line's order."""
    return int(wave.orders[wave.order_of[line], WAVE_ORDER_CHANNEL])


def class_of(wave: Wave, line: int) -> int:
    """The class of a line's order."""
    return int(wave.orders[wave.order_of[line], WAVE_ORDER_CLASS])
