"""Meter readings from outside: files, and messages over MQTT."""
