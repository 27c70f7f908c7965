"""The only composer: a state machine of market sessions, and the loop that drives it through a study."""
