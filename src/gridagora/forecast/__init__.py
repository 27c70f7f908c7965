"""Forecasts from what was known when they were issued."""

from gridagora.forecast.methods import Forecast, blended, forecast, naive, perfect, seasonal

__all__ = ["Forecast", "blended", "forecast", "naive", "perfect", "seasonal"]
