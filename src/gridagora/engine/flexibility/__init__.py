"""The flexibility market in the engine: reserve, activate, adjust, deliver, pay."""
