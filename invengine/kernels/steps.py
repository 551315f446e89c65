"""How kernels are made that go through many small functions for each number they answer.

Numba counts references to arrays whenever one is handed from function to function, with an atomic operation each time.
Where a loop does little more than look up, that is most of its time: dating a basket took 36 us with the counting and
takes 7 us without. The arrays belong to the caller, who keeps them for as long as the call lasts, so nothing is lost.
Numba's switch for it is an inner one (it has no name without an underscore), which is why it stands here only.

Parts are registered, not compiled by `njit` themselves: else each would be compiled once more for every constant that
is handed to it, for values that a variable has only until its loop is understood, and with a way in from Python.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numba
from numba import extending

Function = Callable[..., Any]
_njit: Final[Any] = numba.njit  # its types do not know the switch
_register: Final[Any] = extending.register_jitable


def step(function: Function) -> Function:
    """A part of kernels, put into each place that calls it. It makes no array."""
    made: Function = _njit(nogil=True, inline="always", _nrt=False)(function)
    return made


def part(function: Function) -> Function:
    """A part of kernels that is called as a function. It makes no array. From Python it is a plain function."""
    made: Function = _register(nogil=True, no_cfunc_wrapper=True, _nrt=False)(function)
    return made


def routine(function: Function) -> Function:
    """As `part`, but it may make arrays."""
    made: Function = _register(nogil=True, no_cfunc_wrapper=True)(function)
    return made


def stretch(function: Function) -> Function:
    """A stretch of one kernel, put into the one place that calls it. It may make arrays."""
    made: Function = _njit(nogil=True, inline="always")(function)
    return made


def kernel(signature: str) -> Callable[[Function], Any]:
    """A kernel of steps and parts, compiled for its signature. It makes no array and answers none."""

    def make(function: Function) -> Any:
        return _njit(signature, nogil=True, cache=True, _nrt=False)(function)

    return make
