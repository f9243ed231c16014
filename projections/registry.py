"""Every read model there is, in the order in which they are brought up to date."""

from __future__ import annotations

from projections.directory import Directory
from projections.exchange_rates import ExchangeRates
from projections.forecast import Forecast
from projections.opportunities import Opportunities
from projections.projection import Projection

READ_MODELS: tuple[Projection, ...] = (Directory(), Opportunities(), ExchangeRates(), Forecast())
