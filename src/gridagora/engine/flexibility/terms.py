"""Terms of a study's flexibility market, and its long-term auction: who may sell, what is reserved when."""

import numpy as np

from gridagora.model.bids import Bids
from gridagora.model.columns import Ints
from gridagora.model.flexibility_market import ConnectionPoint, FlexMarketTerms
from gridagora.model.flexibility_study import FlexRules, ReservationRules
from gridagora.model.study import Study
from gridagora.units import to_micro


def market_terms(study: Study, rules: FlexRules) -> FlexMarketTerms:
    """Return the terms: each home that trades is a point, the one product is named by its direction."""
    points = tuple(
        ConnectionPoint(
            participant=home.participant,
            bus=home.bus,
            import_kw=home.import_limit_kw,
            export_kw=home.export_limit_kw,
        )
        for home in study.homes
        if not home.passive
    )
    return FlexMarketTerms(
        points=points,
        buyers=(rules.buyer,),
        products=((rules.product.direction, rules.product),),
        start=int(study.axis.start.astype("datetime64[s]").astype(np.int64)),
        first=0,
        periods=study.axis.periods,
        period_hours=study.axis.hours,
        settlement=(rules.settlement,),
        activation_payment=rules.payment,
        penalty_micro_per_kwh=int(to_micro(rules.penalty_per_kwh)),
        tolerance_kw=rules.tolerance_kw,
        gate_closure_periods=rules.gate_closure_periods,
    )


def reservation_periods(study: Study, rules: ReservationRules) -> Ints:
    """Return the periods of the study that begin in the window of each local day."""
    minute = study.axis.local_minutes
    inside = (minute >= rules.first_minute) & (minute < rules.last_minute)
    return np.flatnonzero(inside).astype(np.int64)


def reservation_demand(study: Study, rules: FlexRules, reservation: ReservationRules) -> Bids:
    """Return the operator's long-term bid: the same power in every period, at its highest fee."""
    periods = reservation_periods(study, reservation)
    return Bids(
        side=np.ones(len(periods)),
        price=np.full(len(periods), reservation.fee_cap),
        quantity=np.full(len(periods), reservation.need_kw),
        participant=np.full(len(periods), rules.buyer),
        period=periods,
    )
