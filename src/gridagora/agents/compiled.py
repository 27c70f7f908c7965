"""One way to compile a kernel: numba, cached on disk, typed for the checker as the Python function it is."""

from collections.abc import Callable
from typing import TypeVar, cast

from numba import njit

Function = TypeVar("Function", bound=Callable[..., object])


def compiled(function: Function) -> Function:
    """Compile a function with numba; the machine code is cached next to it."""
    return cast(Function, njit(cache=True)(function))
