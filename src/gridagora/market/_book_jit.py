"""How the order book is compiled."""

from collections.abc import Callable
from typing import TypeVar, cast

from numba import njit

Function = TypeVar("Function", bound=Callable[..., object])


def compiled(function: Function) -> Function:
    """Compile a function and keep the machine code on disk.

    The kernel allocates nothing, so numba's reference counting is left out: it would cost four times
    the matching.
    """
    return cast("Function", njit(cache=True, _nrt=False)(function))


def inlined(function: Function) -> Function:
    """Compile a helper into its callers: handing over the state costs more than most helpers do."""
    return cast("Function", njit(cache=True, _nrt=False, forceinline=True)(function))
