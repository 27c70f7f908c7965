"""A second process that runs one function while this one goes on: a study's two halves on two cores.

The function is named as ``module:name``, its arguments and result are pickled through pipes.  The child is
told to stop by any byte on its standard input, or by its end, so it never outlives its parent.  A plain
child process is used instead of multiprocessing, which would run a user's script a second time.
"""

import contextlib
import os
import pickle
import select
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any

from gridagora.errors import GridAgoraError

_STDIN = 0
_PROGRAM = "from gridagora.adapters.worker import serve; serve()"


class WorkerError(GridAgoraError):
    """The second process ended without a result; the text tells what it printed last."""


class Worker:
    """A function at work in a child process.

    Parameters
    ----------
    function : ``module:name`` of a function that takes the arguments and ``stop``, a callable
    arguments : pickled and handed over by position

    Examples
    --------
    >>> with Worker("gridagora.adapters.worker:example", 20, 22) as worker:
    ...     worker.result()
    42
    """

    def __init__(self, function: str, *arguments: Any) -> None:
        self._process = subprocess.Popen(  # noqa: S603 - this interpreter, a fixed program
            [sys.executable, "-c", _PROGRAM],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C reaches the parent alone, which then asks the child to stop
        )
        self._send((function, arguments))

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *exc: object) -> None:
        self._process.kill()
        self._process.communicate()

    def stop(self) -> None:
        """Ask the child to stop early; its result is then what it has."""
        with contextlib.suppress(BrokenPipeError):
            self._send_bytes(b"x")

    def result(self) -> Any:
        """Wait for the function's result.

        Raises
        ------
        WorkerError
            when the child ended without one.
        """
        if self._process.stdout is None:
            raise WorkerError("the second process has no output")
        try:
            value = pickle.load(self._process.stdout)  # noqa: S301 - our own child's bytes
        except EOFError:
            raise WorkerError(f"the second process failed with exit code {self._process.wait()}") from None
        if isinstance(value, Exception):
            raise value
        return value

    def _send(self, value: object) -> None:
        data = pickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL)
        self._send_bytes(len(data).to_bytes(8, "big") + data)

    def _send_bytes(self, data: bytes) -> None:
        if self._process.stdin is not None:
            self._process.stdin.write(data)
            self._process.stdin.flush()


def serve() -> None:
    """Run in the child: read the call, do it, write its result or its error."""
    target = sys.stdout.buffer
    sys.stdout = sys.stderr  # nothing else may slip into the result
    size = int.from_bytes(_read(8), "big")
    name, arguments = pickle.loads(_read(size))  # noqa: S301 - our own parent's bytes
    module, _, function = name.partition(":")
    try:
        value = getattr(import_module(module), function)(*arguments, _asked_to_stop)
    except GridAgoraError as error:
        value = error
    pickle.dump(value, target, protocol=pickle.HIGHEST_PROTOCOL)
    target.flush()


def _read(size: int) -> bytes:
    """Read exactly ``size`` bytes, unbuffered: a byte that asks to stop must stay visible to `select`."""
    data = bytearray()
    while len(data) < size:
        part = os.read(_STDIN, size - len(data))
        if not part:
            raise SystemExit(1)  # the parent is gone
        data += part
    return bytes(data)


def _asked_to_stop() -> bool:
    return bool(select.select([_STDIN], [], [], 0)[0])


def example(a: int, b: int, stop: Callable[[], bool]) -> int:
    """Add two numbers unless asked to stop; shows the shape of a function that a `Worker` runs."""
    return 0 if stop() else a + b
