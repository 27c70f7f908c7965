"""Forecasts from what was known when they were issued, and quantiles around them."""

from gridagora.forecast.methods import Forecast, blended, forecast, naive, perfect, seasonal
from gridagora.forecast.quantiles import QuantileForecast, seasonal_errors, with_quantiles

__all__ = [
    "Forecast",
    "QuantileForecast",
    "blended",
    "forecast",
    "naive",
    "perfect",
    "seasonal",
    "seasonal_errors",
    "with_quantiles",
]
