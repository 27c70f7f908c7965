"""A market on the real clock: commands in, events out, the state is their fold (`machine`)."""
