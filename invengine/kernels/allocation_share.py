"""Before a wave is planned: units that are kept for channels, and fair shares with what comes of them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from invengine.kernels.allocation_fair import (
    CLAIM_CHANNEL,
    CLAIM_CLASS,
    CLAIM_COLUMNS,
    CLAIM_TYPE,
    CLAIM_UNITS,
    share_sku,
)
from invengine.kernels.allocation_improve import place_orders
from invengine.kernels.allocation_place import clear_line, clear_order, missing_units
from invengine.kernels.allocation_wave import (
    AT_LOCATION,
    NOW_ORDER,
    NOW_WANTED,
    WAVE_TYPES,
    Room,
    Wave,
    take,
    units_left,
)
from invengine.kernels.layout_wave import (
    WAVE_BEYOND,
    WAVE_LEFT,
    WAVE_LINE_FIRST,
    WAVE_LINE_MAY_PART,
    WAVE_LINE_MAY_SPLIT,
    WAVE_LINE_OPTIONS,
    WAVE_LINE_SKU,
    WAVE_ORDER_CHANNEL,
    WAVE_ORDER_CLASS,
    WAVE_ORDER_FIRST,
    WAVE_ORDER_LINES,
    WAVE_ORDER_WHOLE,
)
from invengine.kernels.steps import kernel

_BLOCK = "int64[:, ::1]"
_ROW = "int64[::1]"


def by_sku(wave: Wave) -> Iterator[tuple[int, np.ndarray]]:
    """Every SKU that is wanted, with its lines."""
    sku = wave.lines[:, WAVE_LINE_SKU]
    lines = np.argsort(sku, kind="stable")
    starts = np.flatnonzero(np.diff(sku[lines], prepend=-1))
    for mine in np.split(lines, starts[1:]) if len(lines) else []:
        yield int(sku[mine[0]]), np.ascontiguousarray(mine)


class Sharing:
    """The lines of a SKU as they claim it, the locations they may use, and room for their shares."""

    def __init__(self, wave: Wave, mine: np.ndarray, n_channels: int, n_classes: int, n_locations: int) -> None:
        self.mine = mine
        order = wave.now[mine, NOW_ORDER]
        kinds: dict[bytes, int] = {}
        self.claims = np.empty((len(mine), CLAIM_COLUMNS), np.int64)
        self.claims[:, CLAIM_CLASS] = wave.orders[order, WAVE_ORDER_CLASS]
        self.claims[:, CLAIM_CHANNEL] = wave.orders[order, WAVE_ORDER_CHANNEL]
        starts, ends = wave.lines[mine, WAVE_LINE_FIRST], wave.lines[mine, WAVE_LINE_OPTIONS]
        for i, (start, count) in enumerate(zip(starts.tolist(), ends.tolist(), strict=True)):
            locations = wave.at[start : start + count, AT_LOCATION].tobytes()
            self.claims[i, CLAIM_TYPE] = kinds.setdefault(locations, len(kinds))
        self.may = np.zeros((len(kinds), n_locations), np.int64)
        for locations, kind in kinds.items():
            self.may[kind, np.frombuffer(locations, np.int64)] = 1
        self.wants = np.zeros((n_channels, n_classes, len(kinds)), np.int64)
        self.quotas = np.zeros(len(mine), np.int64)

    def divide(self, units: np.ndarray, stock: np.ndarray, minimum: np.ndarray) -> np.ndarray:
        """Fill `quotas` with fair shares of `stock`, each line claiming its `units`; returns where from, by type."""
        return self._share(units, stock, minimum, np.zeros(0, np.int64))

    def keep(self, units: np.ndarray, stock: np.ndarray, minimum: np.ndarray, rank: np.ndarray) -> np.ndarray:
        """From where units of the minimum of each channel could come: from locations that come first in the rank."""
        return self._share(units, stock, minimum, rank)

    def _share(self, units: np.ndarray, stock: np.ndarray, minimum: np.ndarray, rank: np.ndarray) -> np.ndarray:
        claims = self.claims
        claims[:, CLAIM_UNITS] = units * self.may[claims[:, CLAIM_TYPE]].any(axis=1)
        self.wants[:] = 0
        where = (claims[:, CLAIM_CHANNEL], claims[:, CLAIM_CLASS], claims[:, CLAIM_TYPE])
        np.add.at(self.wants, where, claims[:, CLAIM_UNITS])
        self.quotas[:] = 0
        flow = np.empty((len(minimum) if len(rank) else len(self.may), len(stock)), np.int64)
        at_most = np.minimum(stock, claims[:, CLAIM_UNITS].sum())
        share_sku(claims, self.wants, self.may, at_most, np.ascontiguousarray(minimum), rank, self.quotas, flow)
        return flow


def _stand_back(wave: Wave, quotas: np.ndarray, claims: np.ndarray) -> np.ndarray:
    """Lines that have to be whole, and whose shares are not, no longer claim; if it is their order, none of its lines.

    Which lines these are, of those that claimed.
    """
    is_short = quotas < wave.now[:, NOW_WANTED]
    order = np.repeat(np.arange(len(wave.orders)), wave.orders[:, WAVE_ORDER_LINES])
    all_back = np.zeros(len(wave.orders), bool)
    all_back[order[is_short]] = True
    all_back &= wave.orders[:, WAVE_ORDER_WHOLE] == 1
    back = (claims > 0) & (all_back[order] | (is_short & (wave.lines[:, WAVE_LINE_MAY_PART] == 0)))
    claims[back] = 0
    return np.asarray(back)


def divide_all(
    wave: Wave, available: np.ndarray, shares: np.ndarray, n_classes: int, quotas: np.ndarray, units: np.ndarray
) -> None:
    """Fill the quotas of all lines, and `units` with where they could come from.

    What has to be whole and has no whole share stands back; then the units are divided anew among the others, until
    everything that has to be whole and still claims has all it wants.
    """
    claims = wave.now[:, NOW_WANTED].copy()
    sharings = {sku: Sharing(wave, mine, len(shares), n_classes, available.shape[1]) for sku, mine in by_sku(wave)}
    flows: dict[int, np.ndarray] = {}
    changed = list(sharings)
    while changed:
        for sku in changed:
            mine = sharings[sku].mine
            flows[sku] = sharings[sku].divide(claims[mine], available[sku], shares[:, sku])
            quotas[mine] = sharings[sku].quotas
        changed = np.unique(wave.lines[_stand_back(wave, quotas, claims), WAVE_LINE_SKU]).tolist()
    units[:] = 0
    for sku, flow in flows.items():
        sharing = sharings[sku]
        place_quotas(wave.lines, wave.at, sharing.mine, sharing.claims, flow, quotas, units)


@kernel(f"void({_BLOCK}, {_BLOCK}, {_ROW}, {_BLOCK}, {_BLOCK}, {_ROW}, {_ROW})")
def place_quotas(lines, at, mine, claims, flow, quotas, units):
    """Add to `units` where the quotas of a SKU's lines come from: from one location where that has enough for the type.

    mine [m]: the lines     claims [m, CLAIM_COLUMNS]     flow [T, N]: units meant for each type; what is left of them
    """
    for i in range(len(mine)):
        option, kind = lines[mine[i], WAVE_LINE_FIRST], claims[i, CLAIM_TYPE]
        left = quotas[mine[i]]
        for least in range(1, -1, -1):  # whole from one location, then from any
            for r in range(option, option + lines[mine[i], WAVE_LINE_OPTIONS]):
                more = min(left, flow[kind, at[r, AT_LOCATION]])
                if more > 0 and (least == 0 or more == left):
                    units[r] += more
                    flow[kind, at[r, AT_LOCATION]] -= more
                    left -= more


@kernel(f"void({WAVE_TYPES}, {_BLOCK}, {_BLOCK}, {_ROW}, {_ROW}, {_ROW})")
def settle(orders, lines, places, options, at, now, left, beyond, turns, meant, units):
    """Take what `meant` says into `units`, order by order, as far as capacity lets it.

    What has to be whole or to come from one place, and would not, gives it back.
    """
    wave = Wave(orders, lines, places, options, at, now)
    for order in turns:
        whole, is_broken = orders[order, WAVE_ORDER_WHOLE] == 1, False
        first = orders[order, WAVE_ORDER_FIRST]
        for line in range(first, first + orders[order, WAVE_ORDER_LINES]):
            option, n_places = lines[line, WAVE_LINE_FIRST], 0
            for r in range(option, option + lines[line, WAVE_LINE_OPTIONS]):
                units[r] = min(meant[r], units_left(at, left, r))
                if units[r] > 0:
                    take(at, left, beyond, r, units[r])
                    n_places += 1
            is_short = missing_units(wave, units, line) > 0
            if is_short and lines[line, WAVE_LINE_MAY_PART] == 0:
                clear_line(wave, left, beyond, units, line)
            if n_places > 1 and lines[line, WAVE_LINE_MAY_SPLIT] == 0:
                clear_line(wave, left, beyond, units, line)
                is_short = True
            is_broken = is_broken or (whole and is_short)
        if is_broken:
            clear_order(wave, left, beyond, units, order)


def share(
    wave: Wave, available: np.ndarray, shares: np.ndarray, pools: np.ndarray, quotas: np.ndarray, units: np.ndarray,
    room: Room,
) -> None:  # fmt: skip
    """Divide all stock and place the shares; then what nobody could use of them goes to who still wants it.

    `quotas` is filled with what each line has in the end; no later step gives it less.
    """
    left, beyond = pools[WAVE_LEFT], pools[WAVE_BEYOND]
    n_classes = int(wave.orders[:, WAVE_ORDER_CLASS].max(initial=0)) + 1
    divide_all(wave, available, shares, n_classes, quotas, units)
    turns = np.argsort(wave.orders[:, WAVE_ORDER_CLASS], kind="stable")
    meant, no_prices = units.copy(), np.zeros_like(left)
    units[:] = 0
    wanted = wave.now[:, NOW_WANTED].copy()
    wave.now[:, NOW_WANTED] = quotas
    settle(*wave, left, beyond, turns, meant, units)
    place_orders(*wave, left, beyond, no_prices, units, turns, *room)
    wave.now[:, NOW_WANTED] = wanted
    place_orders(*wave, left, beyond, no_prices, units, turns, *room)
    line = np.repeat(np.arange(len(wave.lines)), wave.lines[:, WAVE_LINE_OPTIONS])
    quotas[:] = 0
    np.add.at(quotas, line, units)
    wave.now[:, NOW_WANTED] = quotas
