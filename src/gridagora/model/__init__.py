"""Frozen values of the domain: no IO, no clock, no chance, and no import of ours but units and errors."""
