"""A served market is killed again and again: ``python -m benchmarks.kills``; ``--help`` tells the options.

A small market with four homes runs at 4,800 times the real clock, a session in three quarters of a second.
While six clients bid, bid in bulk and by jobs, pay, send readings and look, the service gets the signal KILL:
one half of the times at a moment drawn by chance, the other half a moment after it has begun to start, clear,
settle, write and so on, each in turn.  It is started again, clients ask again under their keys what was not
answered, and some of what was, and the next round begins.

In the end everything is held against what was acknowledged: every bid is there once and as it was sent, every
payment once, every trade and settlement as it was told, each account is the sum of its postings, all accounts
together are 0, the chain of events is whole (`gridagora verify`) and the read tables are what the events make
(`gridagora replay`).  The exit code is 1 where that is not so.
"""

import argparse
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from benchmarks.books import Books, check_accounts, check_books
from benchmarks.served import GONE, new_schema, postgresql, seed
from benchmarks.traffic import Ledger, Traffic, ask_again
from benchmarks.watched import PHASES, Nursery, Watched

SPEED = 4_800
"""A session of an hour in 0.75 s."""

LIVES_S = (0.1, 1.5)
"""So long after its start a service is killed, drawn by chance."""

AIM_S = 3.0
"""A kill that waits for a phase waits so long at most."""

INTO_S = 0.006
"""And falls up to so long after the phase has begun."""

WARM_S = 120.0
"""The first session is settled after so long at most."""

NOTHING = "waiting"


@dataclass(kw_only=True, slots=True)
class Tally:
    """What a campaign did.

    Parameters
    ----------
    kills : how often the service was killed
    phases : how often in the middle of what; several where it had several things in hand
    unanswered : commands that were not answered and were asked again
    starts : seconds from the start of the process until it carried out commands
    seconds : that the campaign took
    books : what the market held in the end
    """

    kills: int = 0
    phases: Counter[str] = field(default_factory=Counter)
    unanswered: int = 0
    starts: list[float] = field(default_factory=list)
    seconds: float = 0.0
    books: Books | None = None


Report = Callable[[Tally], None]


def campaign(url: str, kills: int, *, chance: int = 0, report: Report = lambda _: None) -> Tally:
    """Kill a service on a new database again and again while it works; return what was found.

    Parameters
    ----------
    url : of an empty database
    kills : how often
    chance : seed of chance
    report : is called after each kill

    Raises
    ------
    AssertionError
        where something acknowledged was lost, or done twice.
    """
    began = time.monotonic()
    seed(url)
    ledger, rng, tally = Ledger(chance), random.Random(chance), Tally()
    with Nursery() as nursery, tempfile.TemporaryDirectory() as folder:
        server = Watched(url, nursery=nursery, folder=Path(folder), speed=SPEED)
        _warm(server, ledger)
        for turn in range(kills):
            aim = PHASES[turn // 2 % len(PHASES)] if turn % 2 else ""
            _one(server, ledger, tally, aim=aim, rng=rng)
            report(tally)
        with server:
            tally.unanswered += ask_again(server.port, ledger)
            check_accounts(server.port, ledger)
            server.stop()
    tally.books = check_books(url, ledger)
    tally.seconds = time.monotonic() - began
    return tally


def _warm(server: Watched, ledger: Ledger) -> None:
    """Let people work until a session is settled: what is compiled at its first use stays compiled."""
    with server:
        traffic = Traffic(server.port, ledger, "warm").start()
        end = time.monotonic() + WARM_S
        while not ledger.settlements and time.monotonic() < end:
            time.sleep(0.1)
        traffic.end()
        assert ledger.settlements, "no session was settled"
        server.stop()


def _one(server: Watched, ledger: Ledger, tally: Tally, *, aim: str, rng: random.Random) -> None:
    """Start the service, let people work, and kill it."""
    if aim == "start":
        server.launch()
        time.sleep(rng.uniform(0.0, tally.starts[-1] if tally.starts else 1.0))
        _kill(server, tally)
        return
    began = time.monotonic()
    server.start()
    tally.starts.append(time.monotonic() - began)
    try:
        tally.unanswered += ask_again(server.port, ledger)
        traffic = Traffic(server.port, ledger, tally.kills).start()
        try:
            if aim:
                _wait_for(server, aim, rng=rng)
            else:
                time.sleep(rng.uniform(*LIVES_S))
        finally:
            _kill(server, tally)
            traffic.end()
    except GONE:
        raise AssertionError(f"the service ended by itself: {server.said()}") from None


def _wait_for(server: Watched, phase: str, *, rng: random.Random) -> None:
    """Wait until the service is in a phase, and a moment longer."""
    time.sleep(rng.uniform(0.05, 0.3))  # people sign in
    end = time.monotonic() + AIM_S
    while not server.signs.has(phase) and time.monotonic() < end:
        time.sleep(0.0002)
    time.sleep(rng.uniform(0.0, INTO_S))


def _kill(server: Watched, tally: Tally) -> None:
    server.kill()
    tally.kills += 1
    tally.phases.update(server.signs.now() or (NOTHING,))


@contextmanager
def databases(kind: str) -> Iterator[Callable[[int], str]]:
    """Yield what returns the URL of the nth new database, on SQLite, PostgreSQL, or the one of a URL."""
    if kind == "sqlite":
        with tempfile.TemporaryDirectory() as folder:
            yield lambda number: f"sqlite:///{folder}/market-{number}.db"
        return
    with postgresql("" if kind == "postgresql" else kind) as url:
        yield lambda number: new_schema(url, f"kills_{number}_{time.time_ns()}")


def told(tally: Tally) -> str:
    """Return the figures of a campaign as text."""
    lines = [f"{tally.kills} kills, {tally.unanswered} commands unanswered and asked again"]
    lines.append("  in the middle of: " + ", ".join(f"{n} {name}" for name, n in tally.phases.most_common()))
    starts = sorted(tally.starts)
    if starts:
        lines.append(f"  from start to ready: {starts[len(starts) // 2]:.1f} s, at most {starts[-1]:.1f} s")
    if tally.books is not None:
        lines.append("  kept: " + ", ".join(f"{n:,} {name}" for name, n in asdict(tally.books).items()))
        lines.append(f"  nothing lost, nothing done twice; {tally.seconds:.0f} s")
    return "\n".join(lines)


def _progress(tally: Tally) -> None:
    if tally.kills % 10 == 0:
        print(f"  {tally.kills} kills", file=sys.stderr, flush=True)


def main() -> int:
    """Print what was found; return 0 where nothing was lost."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.kills", description="Kill a served market again and again."
    )
    kinds = "sqlite, postgresql (a server of its own), or the URL of a PostgreSQL database"
    parser.add_argument("--database", default="sqlite", metavar="KIND|URL", help=kinds)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument(
        "--markets", type=int, default=1, help="new markets one after the other, each with its share"
    )
    parser.add_argument("--seed", type=int, default=0, help="of chance")
    options = parser.parse_args()
    shares = [
        options.kills // options.markets + (n < options.kills % options.markets)
        for n in range(options.markets)
    ]
    with databases(options.database) as new:
        for number, share in enumerate(shares):
            try:
                tally = campaign(new(number), share, chance=options.seed + number, report=_progress)
            except AssertionError as error:
                print(f"LOST: {error}", file=sys.stderr)
                return 1
            print(told(tally), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
