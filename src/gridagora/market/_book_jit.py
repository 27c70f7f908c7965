"""How the order book is compiled."""

from collections.abc import Callable
from typing import Any, TypeVar, cast

from numba import njit

from gridagora.model._jit import kept

# The kernel allocates nothing, so numba's reference counting is left out; with it a message costs four times
# as much.  The option is private to numba: should a later version drop it, the import fails at once.
UNCOUNTED: dict[str, Any] = {"_nrt": False}

Function = TypeVar("Function", bound=Callable[..., object])


def compiled(function: Function) -> Function:
    """Compile a function and keep the machine code on disk."""
    return cast("Function", kept(njit(**UNCOUNTED)(function)))


def inlined(function: Function) -> Function:
    """Compile a helper into its callers: handing over the state costs more than most helpers do."""
    return cast("Function", kept(njit(forceinline=True, **UNCOUNTED)(function)))
