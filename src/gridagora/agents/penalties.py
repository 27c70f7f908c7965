"""What it costs a plan not to serve: far above any price, a car before heat before load."""

EV_PENALTY = 10.0
"""Currency per kWh that a vehicle lacks when it leaves."""
HEAT_PENALTY = 10.0
"""Currency per kWh of heat that is missing."""
LOAD_PENALTY = 100.0
"""Currency per kWh of load shed at the import limit."""
