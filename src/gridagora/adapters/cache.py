"""A small cache of arrays on disk, for input that is slow to read and seldom changes: grids, profiles.

One entry is one uncompressed ``.npz`` file.  It is written beside its place and moved there in one step, so a
reader never sees half a file; an entry that cannot be read is built again.
"""

import hashlib
import os
import re
import tempfile
import warnings
import zipfile
from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.format import write_array
from numpy.typing import NDArray

Arrays = dict[str, NDArray[Any]]

CACHE_VARIABLE = "GRIDAGORA_CACHE"
"""Environment variable that moves the cache; unset: the user's cache directory."""

_CONTENT_KEY = "cache_key"


def cache_directory() -> Path:
    """Return the directory of cached arrays: ``$GRIDAGORA_CACHE``, else the user's cache directory."""
    chosen = os.environ.get(CACHE_VARIABLE)
    if chosen:
        return Path(chosen)
    from platformdirs import user_cache_path

    return user_cache_path("gridagora")


def versioned_key(*parts: object, packages: Iterable[str] = ()) -> str:
    """Join parts and the installed versions of packages to a cache key, so that an update invalidates it.

    Examples
    --------
    >>> versioned_key("grid", "1-LV-rural1--0-sw")
    'grid/1-LV-rural1--0-sw'
    """
    return "/".join([*(str(part) for part in parts), *(f"{name}-{version(name)}" for name in packages)])


def cached_arrays(key: str, build: Callable[[], Mapping[str, NDArray[Any]]]) -> Arrays:
    """Return the arrays stored under ``key``; when there are none, build and store them.

    Parameters
    ----------
    key : names the content and the versions of all that it was made with (see `versioned_key`)
    build : called on a miss; returns arrays of numbers, booleans or fixed-width strings (no objects)

    Raises
    ------
    TypeError
        When a built array holds Python objects.

    Examples
    --------
    >>> for _ in range(2):
    ...     cached_arrays("example", lambda: {"power_kw": np.array([1.0, 2.0])})["power_kw"].tolist()
    [1.0, 2.0]
    [1.0, 2.0]
    """
    path = cache_directory() / _file_name(key)
    stored = _read(path, key)
    if stored is not None:
        return stored
    built = {name: np.asarray(array) for name, array in build().items()}
    objects = sorted(name for name, array in built.items() if array.dtype.hasobject)
    if objects:
        raise TypeError(f"arrays to cache hold Python objects: {', '.join(objects)}")
    try:
        _write(path, key, built)
    except OSError as error:
        warnings.warn(
            f"grid cache {path.parent} cannot be written ({error}); set {CACHE_VARIABLE}", stacklevel=2
        )
    return built


def _file_name(key: str) -> str:
    """Return a file name that a person recognises and no two keys share."""
    readable = re.sub(r"[^A-Za-z0-9.+-]+", "_", key)[:80]
    return f"{readable}-{hashlib.sha256(key.encode()).hexdigest()[:16]}.npz"


def _read(path: Path, key: str) -> Arrays | None:
    """Read an entry; None when it is missing, damaged or of another key."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile):
        return None
    if str(arrays.pop(_CONTENT_KEY, "")) != key:
        return None
    return arrays


def _write(path: Path, key: str, arrays: Arrays) -> None:
    """Write an entry beside its place, then move it there in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".building-", suffix=".npz")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file, zipfile.ZipFile(file, "w") as archive:
            for entry, array in {**arrays, _CONTENT_KEY: np.asarray(key)}.items():
                with archive.open(f"{entry}.npy", "w", force_zip64=True) as member:
                    write_array(member, array, allow_pickle=False)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
