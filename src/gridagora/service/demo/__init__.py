"""A village that lives on a live market: homes that bid and meters that report, for as long as it runs."""
