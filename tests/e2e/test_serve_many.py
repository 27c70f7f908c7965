"""Twenty people of every role at one market on two services, of which the one that writes is killed."""

import pytest
from benchmarks.soak import soak


@pytest.mark.slow
def test_people_of_every_role_go_on_when_the_service_that_writes_is_killed(new_postgresql):
    found = soak(new_postgresql, kills=2, every_s=5.0)
    assert max(found.take_overs) < 30.0
    assert not found.seen.statuses.keys() & {500, 501, 502, 504}
    assert min(len(found.seen.bids), len(found.seen.deposits)) > 20
