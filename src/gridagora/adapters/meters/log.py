"""A file that readings are added to: what was kept is on the disk before it is confirmed."""

import csv
import hashlib
import io
import os
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import numpy as np

from gridagora.errors import Fault, InputError, check_faults
from gridagora.model.metering import COLUMNS, MeterReadings

HEADER = ",".join(COLUMNS)
REFUSED_HEADER = "received,place,value,reason,fix"


def session_name(path: Path) -> str:
    """Return the name of the session that collects into a file: the same for the same file.

    >>> session_name(Path("a.csv")) == session_name(Path("./a.csv")), len(session_name(Path("a.csv")))
    (True, 22)
    """
    return "gridagora-" + hashlib.sha256(os.fsencode(path.resolve())).hexdigest()[:12]


class ReadingsLog:
    """Appends readings to a CSV file, and refusals to ``NAME-refused.csv`` beside it.

    A line that a crash cut off is removed when the file is opened again; its reading was never confirmed, so
    it comes once more.

    Parameters
    ----------
    path : file; readings are added to those that it has

    Raises
    ------
    InputError
        The file is there and holds something else, or cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._refused = path.with_name(f"{path.stem}-refused{path.suffix}")
        self._file = _open(path, HEADER)
        self._refusals: io.FileIO | None = None

    def __enter__(self) -> "ReadingsLog":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        if self._refusals is not None:
            self._refusals.close()

    @property
    def refused_path(self) -> Path:
        """Where refusals are told."""
        return self._refused

    def add(self, readings: MeterReadings, refused: Sequence[Fault], *, received: np.datetime64) -> None:
        """Add readings and refusals; they are on the disk when this returns."""
        if len(readings):
            _append(self._file, _lines(readings))
        if refused:
            if self._refusals is None:
                self._refusals = _open(self._refused, REFUSED_HEADER)
            text = io.StringIO()
            writer = csv.writer(text, lineterminator="\n")
            for fault in refused:
                writer.writerow([f"{received}Z", fault.place, fault.value, fault.reason, fault.fix])
            _append(self._refusals, text.getvalue())


def _lines(readings: MeterReadings) -> str:
    """Write readings as lines; names hold neither commas nor quotes."""
    columns = []
    for name in COLUMNS:
        values = getattr(readings, name)
        texts = values.astype(np.str_)
        columns.append((np.char.add(texts, "Z") if values.dtype.kind == "M" else texts).tolist())
    return "".join(",".join(row) + "\n" for row in zip(*columns, strict=True))


def _append(file: io.FileIO, text: str) -> None:
    """Write all of a text and wait for the disk."""
    data = memoryview(text.encode())
    while data:
        data = data[file.write(data) :]
    os.fsync(file.fileno())


def _open(path: Path, header: str) -> io.FileIO:
    """Open a file to add to, with its header, without a line that was cut off."""
    try:
        file = io.FileIO(path, "a+")
    except OSError as error:
        reason, fix = f"cannot be written: {error.strerror}", "name a file in a folder that is there"
        raise InputError([_fault(path, reason, fix)]) from error
    file.seek(0)
    there = file.read(len(header) + 1) or b""
    if there and there != f"{header}\n".encode():
        file.close()
        check_faults([_fault(path, "holds something else", "name a new file, or one of this program")])
    if there:
        file.truncate(_last_line_end(file))
    else:
        _append(file, f"{header}\n")
    return file


def _last_line_end(file: io.FileIO, block: int = 1 << 16) -> int:
    """Return where the last whole line ends."""
    end = file.seek(0, os.SEEK_END)
    while end > 0:
        begin = max(end - block, 0)
        file.seek(begin)
        at = (file.read(end - begin) or b"").rfind(b"\n")
        if at >= 0:
            return begin + at + 1
        end = begin
    return 0


def _fault(path: Path, reason: str, fix: str) -> Fault:
    return Fault(source="output", place=str(path), value=path.name, reason=reason, fix=fix)
