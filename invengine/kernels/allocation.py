"""A wave planned: which of many open orders get which of the scarce units, from where; see docs/waves.md.

Class after class, the plan is found by prices: of each scarce unit, moved until as much is wanted as there is; they
prove what no plan can be better than. Then orders are placed by what they gain at these prices, and placed anew as long
as that saves. Fair shares are divided first (allocation_share), and placed likewise, all classes at once.

Unlike its parts this is no compiled kernel: what it does itself is a few lines for each round over all orders.
"""

from __future__ import annotations

import numpy as np

from invengine.kernels.allocation_contest import GIVE_WAY_MAX, by_position, contest_orders
from invengine.kernels.allocation_improve import place_orders
from invengine.kernels.allocation_keep import begin_keeping, give_back, keeping_of
from invengine.kernels.allocation_prices import begin_prices, choose_by_prices, price_round
from invengine.kernels.allocation_share import share
from invengine.kernels.allocation_shift import shift_units
from invengine.kernels.allocation_wave import (
    AT_LINE,
    FAR_COST,
    NOW_ORDER,
    NOW_WANTED,
    NOW_WORTH,
    PLENTY,
    Room,
    Wave,
    is_too_large,
    lay_out,
    make_room,
    with_wanted,
)
from invengine.kernels.layout import NO_LIMIT
from invengine.kernels.layout_wave import (
    OPTION_LINE_COST,
    OPTION_PLACE,
    OPTION_UNIT_COST,
    PLACE_PARCEL_COST,
    WAVE_BEST,
    WAVE_BEST_PRICES,
    WAVE_BEYOND,
    WAVE_BOUND,
    WAVE_CLASS,
    WAVE_COST,
    WAVE_FAIR,
    WAVE_FILL,
    WAVE_GIVEN,
    WAVE_LEFT,
    WAVE_LENT,
    WAVE_LINE_WANTED,
    WAVE_LINE_WORTH,
    WAVE_MISSING,
    WAVE_MISSING_WORTH,
    WAVE_OBJECTIVE,
    WAVE_ORDER_CLASS,
    WAVE_ORDER_PLACES,
    WAVE_PARCELS,
    WAVE_PHASE,
    WAVE_PLANNED,
    WAVE_PRICES,
    WAVE_READY,
    WAVE_ROUND,
    WAVE_RUNNING,
    WAVE_STATUS,
    WAVE_STEPS_DONE,
    WAVE_STEPS_MORE,
    WAVE_TOO_LARGE,
    WAVE_UNITS,
)

_SHARE, _PRICE, _IMPROVE = 0, 1, 2  # phases
_ALL = -1  # in place of a class
PASSES_MAX = 12  # times that the orders of a class are placed anew


def _whole_price(wave: Wave) -> float:
    """In place of the worth of a unit, for fair shares: more than all orders together cost that one step places anew.

    So nothing that a step can save makes up for a unit that is not placed. A float: whoever uses it checks its size.
    """
    order, option_cost = wave.now[wave.at[:, AT_LINE], NOW_ORDER], wave.options.astype(float)
    units = wave.now[wave.at[:, AT_LINE], NOW_WANTED]
    most = np.bincount(order, option_cost[:, OPTION_UNIT_COST] * units + option_cost[:, OPTION_LINE_COST])
    of_place = np.repeat(np.arange(len(wave.orders)), wave.orders[:, WAVE_ORDER_PLACES])
    parcels = np.bincount(of_place, wave.places[:, PLACE_PARCEL_COST].astype(float))
    return float((1 + GIVE_WAY_MAX) * (most.max(initial=0.0) + parcels.max(initial=0.0)) + 1)


def _dearest(wave: Wave) -> int:
    """The most that the first unit of a line can cost."""
    dearest = (wave.options[:, OPTION_UNIT_COST] + wave.options[:, OPTION_LINE_COST]).max(initial=0)
    return int(dearest + wave.places[:, PLACE_PARCEL_COST].max(initial=0))


class _Run:
    """One call: the arrays of the caller, and what is looked up in them."""

    def __init__(
        self, wave: Wave, shares: np.ndarray, rounds: int, state: np.ndarray, pools: np.ndarray, scale: np.ndarray
    ) -> None:
        self.wave, self.shares, self.rounds, self.state, self.pools = wave, shares, rounds, state, pools
        self.scale = scale
        self.room: Room = make_room(wave.orders)
        self.no_prices = np.zeros_like(pools[WAVE_LEFT])
        self.keeping = keeping_of(wave, shares, int(state[WAVE_CLASS]), self.no_prices.shape)

    def turns(self) -> np.ndarray:
        """The orders of the class at hand."""
        if self.state[WAVE_CLASS] == _ALL:
            return np.arange(len(self.wave.orders))
        return np.flatnonzero(self.wave.orders[:, WAVE_ORDER_CLASS] == self.state[WAVE_CLASS])

    def price(self) -> None:
        """One round of prices; the best bound and its prices are kept."""
        state, pools = self.state, self.pools
        if state[WAVE_ROUND] == 1:
            state[WAVE_BEST] = -FAR_COST
            begin_prices(self.wave, self.turns(), pools, self.scale, self.keeping)
        prices = pools[WAVE_PRICES].copy()
        bound = price_round(self.wave, self.turns(), pools, self.room, self.keeping)
        if bound > state[WAVE_BEST]:
            state[WAVE_BEST] = bound
            pools[WAVE_BEST_PRICES] = prices

    def improve(self, units: np.ndarray) -> bool:
        """Place the orders of the class at hand anew; whether that saved anything."""
        left, beyond = self.pools[WAVE_LEFT], self.pools[WAVE_BEYOND]
        self.contest(units, left, beyond)
        cost = place_orders(*self.wave, left, beyond, self.no_prices, units, self.turns(), *self.room)
        saves = bool(cost < self.state[WAVE_PLANNED])
        self.state[WAVE_PLANNED] = cost
        return saves

    def contest(self, units: np.ndarray, left: np.ndarray, beyond: np.ndarray) -> int:
        """Let the orders of the class at hand take units from each other where that saves; what it saved."""
        pools, turns = self.pools, self.turns()
        n_lines, n_places = len(self.room.line), len(self.room.parcel)
        orders, costs = (np.empty(1 + GIVE_WAY_MAX, np.int64) for _ in range(2))
        saved = np.empty((1 + GIVE_WAY_MAX, n_lines * n_places), np.int64)
        prices = pools[WAVE_BEST_PRICES] - pools[WAVE_BEST_PRICES] // 32
        targets, spare = np.empty(n_lines, np.int64), np.empty(n_places, np.int64)
        return int(
            contest_orders(
                *self.wave, pools[WAVE_GIVEN], left, beyond, prices, self.no_prices, units, turns,
                *by_position(self.wave, turns, left.shape), orders, saved, costs, targets, spare, *self.room,
            )
        )  # fmt: skip

    def shift(self, units: np.ndarray) -> bool:
        """Let single units change hands where that saves; whether any did. Fair shares are left as they are."""
        if self.state[WAVE_CLASS] == _ALL:
            return False
        turns, left = self.turns(), self.pools[WAVE_LEFT]
        holders = by_position(self.wave, turns, left.shape)
        is_even = np.zeros(len(left), np.int64)
        is_even[self.keeping.own] = self.keeping.is_even
        given, beyond = self.pools[WAVE_GIVEN], self.pools[WAVE_BEYOND]
        return bool(shift_units(*self.wave, given, left, beyond, is_even, units, turns, *holders) > 0)

    def place(self, units: np.ndarray) -> None:
        """A plan of the class at hand from its prices; kept unless there is one that costs less.

        At prices first, so that nobody takes what is worth more to another, and those first who gain most for their
        worth; then what is left without them.
        """
        pools, turns, now = self.pools, self.turns(), self.wave.now
        if len(self.keeping.own):
            begin_keeping(self.wave, self.shares, int(self.state[WAVE_CLASS]), pools, None, pools[WAVE_BEST_PRICES])
            pools[WAVE_GIVEN], pools[WAVE_LENT] = pools[WAVE_LEFT], pools[WAVE_BEYOND]
        gains, used = np.zeros(len(self.wave.orders), np.int64), np.zeros_like(pools[WAVE_LEFT])
        best_prices = pools[WAVE_BEST_PRICES]
        choose_by_prices(*self.wave, pools[WAVE_GIVEN], best_prices, turns, used, gains, *self.room)
        worth = np.bincount(now[:, NOW_ORDER], now[:, NOW_WANTED] * now[:, NOW_WORTH], len(gains))
        by_gain = turns[np.argsort(gains[turns] / np.maximum(worth[turns], 1), kind="stable")]
        self.state[WAVE_PLANNED] = FAR_COST
        self.improve(units)
        mine = np.isin(now[self.wave.at[:, AT_LINE], NOW_ORDER], turns)
        fresh, left, beyond = np.where(mine, 0, units), pools[WAVE_GIVEN].copy(), pools[WAVE_LENT].copy()
        for prices in (best_prices, self.no_prices):
            cost = place_orders(*self.wave, left, beyond, prices, fresh, by_gain, *self.room)
        if self.state[WAVE_CLASS] == _ALL:
            for _ in range(4):
                self.contest(fresh, left, beyond)
                cost = place_orders(*self.wave, left, beyond, self.no_prices, fresh, by_gain, *self.room)
        keeps_quotas = self.state[WAVE_CLASS] != _ALL or fresh.sum() == units.sum()
        if cost < self.state[WAVE_PLANNED] and keeps_quotas:
            units[:], pools[WAVE_LEFT], pools[WAVE_BEYOND], self.state[WAVE_PLANNED] = fresh, left, beyond, cost
        give_back(self.keeping, pools)

    def begin_class(self, klass: int, kept: np.ndarray | None = None) -> None:
        """What is left now is what this class has; kept [S]: for channels, None for what they did not take yet."""
        self.state[WAVE_CLASS], self.state[WAVE_PHASE], self.state[WAVE_ROUND] = klass, _PRICE, 0
        self.keeping = keeping_of(self.wave, self.shares, klass, self.no_prices.shape)
        begin_keeping(self.wave, self.shares, klass, self.pools, kept, self.no_prices)
        self.pools[WAVE_GIVEN] = self.pools[WAVE_LEFT]
        self.pools[WAVE_LENT] = self.pools[WAVE_BEYOND]

    def step(self, units: np.ndarray) -> bool:
        """One round; whether the class at hand is planned."""
        state = self.state
        state[WAVE_STEPS_DONE] += 1
        state[WAVE_STEPS_MORE] -= 1
        state[WAVE_ROUND] += 1
        if state[WAVE_PHASE] == _IMPROVE:
            saves = self.improve(units)
            saves = give_back(self.keeping, self.pools) or saves or self.shift(units)
            return not saves or state[WAVE_ROUND] >= PASSES_MAX
        self.price()
        if state[WAVE_ROUND] >= self.rounds:
            self.place(units)
            state[WAVE_PHASE], state[WAVE_ROUND] = _IMPROVE, 0
        return False


def _add_up(wave: Wave, units: np.ndarray, mode: int, out: np.ndarray) -> None:
    """Fill `out` with what the plan is in numbers, by class and in all; bounds are there already."""
    klass = wave.orders[:, WAVE_ORDER_CLASS]
    by_line, by_option = klass[wave.now[:, NOW_ORDER]], klass[wave.now[wave.at[:, AT_LINE], NOW_ORDER]]
    missing = wave.lines[:, WAVE_LINE_WANTED].copy()
    np.subtract.at(missing, wave.at[:, AT_LINE], units)
    used, first = np.unique(wave.options[units > 0, OPTION_PLACE], return_index=True)
    by_parcel = by_option[units > 0][first]
    cost = units * wave.options[:, OPTION_UNIT_COST] + (units > 0) * wave.options[:, OPTION_LINE_COST]
    for column, where, what in (
        (WAVE_COST, by_option, cost),
        (WAVE_COST, by_parcel, wave.places[used, PLACE_PARCEL_COST]),
        (WAVE_PARCELS, by_parcel, 1),
        (WAVE_UNITS, by_option, units),
        (WAVE_MISSING, by_line, missing),
        (WAVE_MISSING_WORTH, by_line, missing * wave.lines[:, WAVE_LINE_WORTH]),
    ):
        np.add.at(out[:, column], where, what)
    out[:-1, WAVE_OBJECTIVE] = out[:-1, WAVE_COST] + (out[:-1, WAVE_MISSING_WORTH] if mode == WAVE_FILL else 0)
    bound = out[-1, WAVE_BOUND]
    out[-1] = out[:-1].sum(axis=0)
    out[-1, WAVE_BOUND] += bound


def allocate_wave(
    orders: np.ndarray, lines: np.ndarray, places: np.ndarray, options: np.ndarray, available: np.ndarray,
    capacity: np.ndarray, shares: np.ndarray, mode: int, rounds: int, steps: int, state: np.ndarray,
    pools: np.ndarray, units: np.ndarray, quotas: np.ndarray, out: np.ndarray,
) -> None:  # fmt: skip
    """Plan a wave, a few steps at a time: fill `units` and `out`, `state` saying how far it is.

    O orders, L lines, P places, R options, K SKUs, N locations, C channels, G classes; all int64, see layout_wave.
    Costs and worth are ten-thousandths of the currency, 0 or more.
      orders     [O, WAVE_ORDER_COLUMNS]  class 0 to G - 1, channel 0 to C - 1; an order has one line or more
      lines      [L, WAVE_LINE_COLUMNS]   units wanted, 1 or more; in the order of their orders
      places     [P, PLACE_COLUMNS]       locations that may send a parcel for the order, each once; likewise
      options    [R, OPTION_COLUMNS]      places of its order that a line may come from, each once; in the order of the
                                          lines. What breaks a rule (capability, exclusion, a day) is not there
      available  [K, N]  units that the wave may take     capacity [N]  units that may leave, NO_LIMIT for any
      shares     [C, K]  units that are for the channel first, as far as its orders want and can have them; 0 for none
      mode       WAVE_FILL or WAVE_FAIR
      rounds     1 or more, of prices, for each class: more find a better plan and a better bound
      steps      how many rounds, of prices or of placing all orders, this call may do; 1 or more
      state      [WAVE_STATE_COLUMNS]     all 0 before the first call; call again as long as WAVE_STATUS is WAVE_RUNNING
      pools      [WAVE_POOL_LAYERS, K + S + 1, N]  room to work in, kept between calls; S: how many `shares` are above 0
      units      [R]     filled: units of each option
      quotas     [L]     filled: units that a line may have; of fair shares what it has
      out        [G + 1, WAVE_OUT_COLUMNS]  filled when WAVE_READY: of each class, then of the whole wave
    Between calls nothing but the last five arrays is kept; the others must be the same. A wave that is not ready has no
    plan. The same arguments give the same plan, however many steps a call does.
    """
    n_classes, is_fair, begins = len(out) - 1, mode == WAVE_FAIR, state[WAVE_STATUS] == 0
    if begins:
        state[:], units[:], pools[:], out[:], quotas[:] = 0, 0, 0, 0, lines[:, WAVE_LINE_WANTED]
    kept = np.zeros_like(shares) if is_fair else shares
    wave = lay_out(orders, lines, places, options, kept, quotas, lines[:, WAVE_LINE_WORTH])
    whole_price = _whole_price(with_wanted(wave, lines[:, WAVE_LINE_WANTED])) if is_fair else 0.0
    if begins and is_too_large(wave, whole_price):
        state[WAVE_STATUS], quotas[:] = WAVE_TOO_LARGE, 0
        return
    if is_fair:
        wave.now[:, NOW_WORTH] = int(whole_price)
    scale = np.full(len(lines), _dearest(wave) * 4) if is_fair else lines[:, WAVE_LINE_WORTH]
    run = _Run(wave, kept, rounds, state, pools, scale)
    if begins:
        pools[WAVE_LEFT, : len(available)] = available
        pools[WAVE_LEFT, -1] = np.where(capacity == NO_LIMIT, PLENTY, capacity)
        run.begin_class(_ALL if is_fair else 0, kept[kept > 0])
        if is_fair:
            share(wave, available, shares, pools, quotas, units, run.room)
        state[WAVE_STATUS] = WAVE_RUNNING
        state[WAVE_STEPS_MORE] = (rounds + PASSES_MAX) * (1 if is_fair else n_classes)
    for _ in range(steps):
        if state[WAVE_STATUS] != WAVE_RUNNING:
            break
        if run.step(units):
            klass = int(state[WAVE_CLASS])
            out[klass, WAVE_BOUND] = state[WAVE_BEST]
            if klass in (_ALL, n_classes - 1):
                state[WAVE_STATUS], state[WAVE_STEPS_MORE] = WAVE_READY, 0
                _add_up(wave, units, mode, out)
            else:
                run.begin_class(klass + 1)
