"""Kernels: numba over arrays, nothing else. Arrays in, arrays filled; no domain class, string, clock or exception.

Every kernel has its signature, so importing this package compiles them, or loads what an earlier start compiled.
Whoever calls has checked the arguments: numba reads past arrays and wraps on overflow without a word. What the columns
mean stands in `layout`; tests/kernels/reference.py has the definition of each kernel in plain Python.
"""

from __future__ import annotations

from pathlib import Path

from invengine.kernels.cache import kernel_cache

with kernel_cache(Path(__file__).parent) as CACHE_FOLDER:
    from invengine.kernels.ages import rules_begun
    from invengine.kernels.allocation import allocate_wave
    from invengine.kernels.availability import (
        available_kits,
        available_positions,
        available_rows,
        available_total,
        available_totals,
        rows_at_most,
        stock_levels,
    )
    from invengine.kernels.available_to_promise import available_to_promise, promisable_steps
    from invengine.kernels.baskets import choose_for_orders, choose_locations
    from invengine.kernels.demand import demand_lines
    from invengine.kernels.holds import advance_holds, rehash_holds
    from invengine.kernels.load import load_positions
    from invengine.kernels.log import apply_rows
    from invengine.kernels.names import find_name, find_names, insert_name, list_names, rehash_names
    from invengine.kernels.promise import date_baskets, date_sources
    from invengine.kernels.promise_latest import latest_orders
    from invengine.kernels.reservations import answer_reservations, pack_reservations, read_reservations
    from invengine.kernels.rows import changed_since, clear_safety, newer_slots, pack_rows, raise_safety, take_changed
    from invengine.kernels.scarcity import scarcity_prices
    from invengine.kernels.sourcing import source_basket
    from invengine.kernels.standing import date_standing
    from invengine.kernels.wire import read_handles, split_request
    from invengine.kernels.wire_answers import answer_availability, answer_queries, answer_sku

__all__ = [
    "advance_holds",
    "allocate_wave",
    "answer_availability",
    "answer_queries",
    "answer_reservations",
    "answer_sku",
    "apply_rows",
    "available_kits",
    "available_positions",
    "available_rows",
    "available_to_promise",
    "available_total",
    "available_totals",
    "changed_since",
    "choose_for_orders",
    "choose_locations",
    "clear_safety",
    "date_baskets",
    "date_sources",
    "date_standing",
    "demand_lines",
    "find_name",
    "find_names",
    "insert_name",
    "latest_orders",
    "list_names",
    "load_positions",
    "newer_slots",
    "pack_reservations",
    "pack_rows",
    "promisable_steps",
    "raise_safety",
    "read_handles",
    "read_reservations",
    "rehash_holds",
    "rehash_names",
    "rows_at_most",
    "rules_begun",
    "scarcity_prices",
    "source_basket",
    "split_request",
    "stock_levels",
    "take_changed",
]


def warm_up() -> None:
    """Has every kernel compiled or loaded; raises when one is not. Called before a server says SERVING.

    Importing this package has done the work; this is the check that nothing is left for the first request.
    """
    for name in __all__:
        kernel = globals()[name]
        if not getattr(kernel, "signatures", True):  # allocate_wave has none: it is made of kernels that have theirs
            raise RuntimeError(f"kernel {name} has no signature: it would be compiled by the first request")
