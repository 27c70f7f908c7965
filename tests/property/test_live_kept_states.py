"""Whatever is asked of a live market: it goes on from a kept state as it would have gone on without."""

import sys
from pathlib import Path

from hypothesis import settings
from hypothesis.stateful import rule

sys.path.append(str(Path(__file__).parents[1] / "unit"))
from test_live_machine import Market
from test_live_states import folded

from gridagora.adapters.sql.states import decode_state, encode_state
from gridagora.engine.live.copying import copy_state


class Kept(Market):
    """The market of `test_live_machine`, which is closed and brought back, or copied, at any moment."""

    @rule()
    def is_brought_back(self):
        events = self.live.events
        body, _ = encode_state(self.live.state, folded(events)[1])
        self.live.state, _ = decode_state(body, lambda asked: {seq: events[seq - 1] for seq in asked})

    @rule()
    def is_copied(self):
        self.live.state = copy_state(self.live.state)

    def teardown(self):
        """The state is that of all events, to the byte."""
        if hasattr(self, "live"):
            whole, held = folded(self.live.events)
            assert encode_state(self.live.state, held) == encode_state(whole, held)


TestKept = Kept.TestCase
TestKept.settings = settings(deadline=None, max_examples=20, stateful_step_count=25)
