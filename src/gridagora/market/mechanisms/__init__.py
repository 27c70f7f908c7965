"""Auction mechanisms: one rule set, one function, one file."""
