"""Forecasts from what was known when they were issued."""

from gridagora.forecast.methods import Forecast, forecast, naive, perfect, seasonal

__all__ = ["Forecast", "forecast", "naive", "perfect", "seasonal"]
