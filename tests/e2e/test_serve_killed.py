"""A served market that is killed while it is bid in, cleared and settled: nothing acknowledged is lost."""

import pytest
from benchmarks.kills import campaign


def test_nothing_acknowledged_is_lost_when_the_server_is_killed(tmp_path):
    tally = campaign(f"sqlite:///{tmp_path}/market.db", 4, chance=1)
    assert tally.kills == 4
    assert tally.books.bids > 100


@pytest.mark.slow
def test_killed_two_hundred_times(tmp_path):
    tally = campaign(f"sqlite:///{tmp_path}/market.db", 200, chance=2)
    assert min(tally.phases[name] for name in ("bid", "clearing", "settling", "payment", "disk")) > 5
    assert min(tally.books.closed, tally.books.settled) > 100


@pytest.mark.slow
def test_killed_on_postgresql(new_postgresql):
    tally = campaign(new_postgresql, 40, chance=3)
    assert min(tally.books.closed, tally.books.settled) > 20
