"""A plan for a wave: orders placed one by one, and placed anew as long as that saves."""

from __future__ import annotations

from invengine.kernels.allocation_place import clear_order, cost_of, lift, put_back, serve
from invengine.kernels.allocation_wave import ROOM_TYPES, WAVE_TYPES, Room, Wave
from invengine.kernels.steps import kernel

_BLOCK = "int64[:, ::1]"
_ROW = "int64[::1]"


@kernel(
    f"int64({WAVE_TYPES}, {_BLOCK}, {_BLOCK}, {_BLOCK}, {_ROW}, {_ROW}, {ROOM_TYPES})",
)
def place_orders(
    orders, lines, places, options, at, now, left, beyond, prices, units, turns,
    cost, skip, line, parcel, best, here, served, choice, opened, before,
):  # fmt: skip
    """Place orders anew, one after another, each where it pays least by the prices; a plan is kept if none is better.

    turns [n]: the orders. Returns what they then cost by these prices, with what missing units are worth.
    """
    wave = Wave(orders, lines, places, options, at, now)
    room = Room(cost, skip, line, parcel, best, here, served, choice, opened, before)
    total = 0
    for order in turns:
        was = cost_of(wave, units, prices, order, room.open)
        lift(wave, left, beyond, units, order, room.before)
        is_now = serve(wave, left, beyond, prices, units, order, room)
        if is_now >= was:
            clear_order(wave, left, beyond, units, order)
            put_back(wave, left, beyond, units, order, room.before)
            is_now = was
        total += is_now
    return total
