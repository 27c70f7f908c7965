"""How kernels are compiled, and kept on disk so that processes that start together do not mix them up."""

import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar, cast

from numba import njit
from numba.core import caching

_Cache: Any = caching.FunctionCache

Function = TypeVar("Function", bound=Callable[..., Any])


class LockedCache(_Cache):  # type: ignore[misc]  # numba's caches have no types
    """Numba's cache of machine code on disk, one process at a time.

    Two processes that save different signatures of one function at once choose the same file name in numba's
    own cache; one of them is then read back as the other, and runs wrong code.
    """

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Return the kept code of a signature, or None."""
        with self._alone():
            return super().load_overload(sig, target_context)

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep the code of a signature."""
        with self._alone():
            super().save_overload(sig, data)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        self._impl.locator.ensure_cache_path()
        path = Path(self.cache_path) / ".gridagora.lock"
        with path.open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def kept(dispatcher: Any) -> Any:
    """Return a compiled function that keeps its machine code on disk."""
    dispatcher._cache = LockedCache(dispatcher.py_func)
    return dispatcher


def compiled(function: Function) -> Function:
    """Compile a function and keep the machine code on disk; its type stays what is written."""
    return cast("Function", kept(njit(function)))
