"""Column numbers, status codes and sizes of waves, as `layout` has them for everything else."""

from __future__ import annotations

from typing import Final

# A wave: orders, int64 [O, WAVE_ORDER_COLUMNS]; lines and places of one order are adjacent, so are options of one line
WAVE_ORDER_CLASS: Final = 0  # of priority, 0 comes first
WAVE_ORDER_CHANNEL: Final = 1
WAVE_ORDER_WHOLE: Final = 2  # 1: all of it or nothing
WAVE_ORDER_FIRST: Final = 3  # its first line in `lines`
WAVE_ORDER_LINES: Final = 4  # how many it has
WAVE_ORDER_FIRST_PLACE: Final = 5  # its first line in `places`
WAVE_ORDER_PLACES: Final = 6  # how many it has
WAVE_ORDER_COLUMNS: Final = 7
# lines, int64 [L, WAVE_LINE_COLUMNS]
WAVE_LINE_SKU: Final = 0
WAVE_LINE_WANTED: Final = 1  # units
WAVE_LINE_WORTH: Final = 2  # ten-thousandths that it costs when a unit is missing
WAVE_LINE_MAY_SPLIT: Final = 3  # 1: units may come from several places; 0: from one
WAVE_LINE_MAY_PART: Final = 4  # 1: some units may be missing; 0: all or none
WAVE_LINE_FIRST: Final = 5  # its first line in `options`
WAVE_LINE_OPTIONS: Final = 6  # how many it has
WAVE_LINE_COLUMNS: Final = 7
# places, int64 [P, PLACE_COLUMNS]: a location from which a parcel for the order may come
PLACE_LOCATION: Final = 0
PLACE_PARCEL_COST: Final = 1  # once, when anything of the order comes from there
PLACE_COLUMNS: Final = 2
# options, int64 [R, OPTION_COLUMNS]: a place that units of a line may come from
OPTION_PLACE: Final = 0  # its line in `places`
OPTION_UNIT_COST: Final = 1  # of each unit
OPTION_LINE_COST: Final = 2  # once, when the line takes any units there
OPTION_COLUMNS: Final = 3
# state, int64 [WAVE_STATE_COLUMNS], and pools, int64 [WAVE_POOL_LAYERS, W, N]: where a wave is kept between calls
WAVE_STATUS: Final = 0  # 0 before the first call, then as below
WAVE_PHASE: Final = 1
WAVE_CLASS: Final = 2  # at hand; -1: all at once
WAVE_ROUND: Final = 3  # in the phase
WAVE_STEPS_DONE: Final = 4
WAVE_STEPS_MORE: Final = 5  # at most, until it is ready
WAVE_BEST: Final = 6  # of the class: the bound, then the cost of the plan
WAVE_PLANNED: Final = 7
WAVE_STATE_COLUMNS: Final = 8
WAVE_LEFT: Final = 0  # units left
WAVE_BEYOND: Final = 1  # units that a channel took besides those kept for it
WAVE_PRICES: Final = 2
WAVE_BEST_PRICES: Final = 3
WAVE_MOVES: Final = 4  # how far prices move
WAVE_SIDES: Final = 5  # where they moved last
WAVE_GIVEN: Final = 6  # units that were left when the class at hand began
WAVE_LENT: Final = 7  # WAVE_BEYOND then
WAVE_POOL_LAYERS: Final = 8
WAVE_RUNNING: Final = 1  # call again
WAVE_READY: Final = 2  # the plan is there
WAVE_TOO_LARGE: Final = 3  # units or costs that could leave int64; nothing was planned
WAVE_FILL: Final = 0  # modes: least cost, with what missing units are worth
WAVE_FAIR: Final = 1  # fair shares, then placed at the least cost
# out, int64 [P + 1, WAVE_OUT_COLUMNS]: of each class, and of the whole wave in the last line
WAVE_OBJECTIVE: Final = 0  # what was minimised: cost and worth of missing units; of fair shares the cost
WAVE_BOUND: Final = 1  # no plan has a lesser one; of fair shares only for the whole wave
WAVE_COST: Final = 2  # of parcels, lines and units
WAVE_MISSING_WORTH: Final = 3
WAVE_UNITS: Final = 4  # units that are placed
WAVE_MISSING: Final = 5  # and those that are not
WAVE_PARCELS: Final = 6
WAVE_OUT_COLUMNS: Final = 7
