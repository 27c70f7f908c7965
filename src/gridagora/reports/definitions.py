"""What every key figure means, and how a run's mechanism, forecasts and planning work."""

KPI_DEFINITIONS = {
    "scenario": "Name of the scenario.",
    "periods": "Delivery periods that were run.",
    "periods_planned": "Delivery periods of the scenario; more than were run if the run was stopped.",
    "participants": "Homes and other connections that take part, without the retailer.",
    "mechanism": "Rule by which the local pool clears.",
    "ems": "How homes plan their devices.",
    "forecast": "What homes know of load and sun when they plan.",
    "bidding": "How homes turn plans into bids.",
    "seed": "Seed of everything drawn by chance; equal seeds give equal bytes.",
    "currency": "Currency of all money.",
    "cost_total_{cur}": "Bills of all participants: energy, imbalance, network, taxes and standing charges.",
    "gain_total_{cur}": (
        "Bills without a market less bills with it; positive means that participants pay less."
    ),
    "participants_better_off": "Participants with a lower bill than without a market.",
    "participants_worse_off": "Participants with a higher bill than without a market.",
    "local_volume_kwh": "Energy sold from participant to participant.",
    "mean_price_{cur}_per_kwh": (
        "Price of the pool, weighted by the energy traded in each period; with zones the mean of all trades."
    ),
    "imbalance_kwh": (
        "Metered energy that differs from what was traded, summed over participants and periods."
    ),
    "consumption_kwh": "Energy used by loads, vehicles and heat pumps, without battery charging.",
    "production_kwh": "Solar energy produced, after curtailment.",
    "import_kwh": "Net import of all homes together, summed over the periods that import; before losses.",
    "export_kwh": "Net export of all homes together, summed over the periods that export; before losses.",
    "self_sufficiency": (
        "Share of consumption covered inside the feeder in the same period: 1 - import / consumption."
    ),
    "self_consumption": (
        "Share of production used inside the feeder in the same period: 1 - export / production."
    ),
    "curtailed_kwh": "Solar energy that was available and not used.",
    "energy_not_served_kwh": (
        "Load that could not be supplied: of an islanded feeder or zone, cut off by a network market, or, in "
        "a flexibility study, beyond the connection capacity of a home."
    ),
    "losses_kwh": "Losses of lines and transformers, from the power flow of the metered schedules.",
    "transformer_loading_max_percent": (
        "Highest loading of a transformer in any period, percent of its rating."
    ),
    "line_loading_max_percent": "Highest loading of a line in any period, percent of rated current.",
    "vm_min_pu": "Lowest voltage at any bus in any period, per unit of the bus.",
    "vm_max_pu": "Highest voltage at any bus in any period, per unit of the bus.",
    "unbalance_max_percent": (
        "Largest phase deviation from the phase average over that average; three-phase runs only."
    ),
    "peak_import_kw": "Highest power drawn from the upstream grid, losses included.",
    "peak_export_kw": "Highest power fed back into the upstream grid.",
    "reverse_flow_hours": "Time in which the feeder feeds back into the upstream grid.",
    "violation_periods": "Periods in which at least one limit is broken by the metered schedules.",
    "violation_periods_cleared": (
        "Periods in which the schedules as cleared, before delivery, would break a limit."
    ),
    "violation_periods_copper_plate": (
        "Periods in which the same bids, cleared in a pool that does not know the wires, would break a limit."
    ),
    "network_cleared_periods": "Periods cleared on the network because one pool would break a limit.",
    "network_unavoidable_periods": (
        "Periods of them in which no accepted bids can keep all limits, by the linear program."
    ),
    "network_open_periods": "Periods of them in which the power flow still breaks a limit after all rounds.",
    "network_rounds_max": "Most clearings of a period, each on the network at the schedule before.",
    "network_held_periods": (
        "Periods in which all homes were held to what they sold, because the schedule comes near a limit."
    ),
    "safety_cost_{cur}": (
        "Price of safety: value of what the pool without wires would accept, by the bids' own prices, less "
        "the value of what was accepted."
    ),
    "safety_bought_less_kwh": (
        "Energy that homes bought less than in the pool without wires, in those periods; most comes later."
    ),
    "safety_sold_less_kwh": "Energy that homes sold less than in the pool without wires, in those periods.",
    "safety_shed_kwh": "Of what was bought less, bids at the value of lost load: load without supply.",
    "congestion_rent_{cur}": (
        "What nodal prices collect and do not pay out, less the losses in them; left with the operator."
    ),
    "priced_losses_{cur}": "What the operator pays for the losses that nodal prices contain.",
    "zones": "Zones of the grid, the bulk grid among them.",
    "zone_trades": "Trades that parties asked for in zones, shortages among them.",
    "trades_refused": "Of them those that a controller or the grid operator refused.",
    "refused_kwh": "Energy of refused trades.",
    "refused_supplied_kwh": "Energy that the grid operator supplied otherwise in place of refused trades.",
    "approvals": "Steps of all trades through the controllers, each with a decision and its reason.",
    "welfare_zones_{cur}": (
        "Value of what the zones matched, by the bids' own prices, before their controllers decide."
    ),
    "welfare_joint_{cur}": "Value of one joint clearing of all zones over the same gates.",
    "welfare_gap_{cur}": "What clearing zone by zone costs: the joint value less that of the zones.",
    "welfare_gap_share": "That gap as a share of the joint value.",
    "traded_inside_kwh": "Approved trades whose buyer and seller stand in the same zone.",
    "traded_between_zones_kwh": "Approved trades between homes of two zones.",
    "traded_bulk_kwh": "Approved trades with the retailer, who stands in the bulk grid, both ways.",
    "island_periods": "Periods in which at least one zone was cut off from the bulk grid.",
    "lost_load_cost_{cur}": "Load that was not served, at the value of lost load.",
    "not_converged_periods": (
        "Periods in which the power flow found no solution; their grid values are left out."
    ),
    "flex_strategy": "How the grid operator bids for flexibility.",
    "flex_payment": "Rule by which activation auctions are paid.",
    "flex_settlement": "Rule by which delivered flexibility is settled.",
    "flex_hours_overloaded_before": (
        "Time in which a line or transformer is above the threshold without the flexibility market."
    ),
    "flex_hours_overloaded_after": "The same with the flexibility market.",
    "flex_hours_cured": "Time above the threshold before and with no element above it after.",
    "flex_share_cured": "Part of the time above the threshold that is cured.",
    "flex_hours_newly_overloaded": (
        "Time above the threshold after and not before: energy that came back (rebound)."
    ),
    "flex_unmet_needs": (
        "Needs that stay although all that was offered is taken, by the grid model; flex_unmet tells which "
        "of them joint dispatch of all devices would leave too."
    ),
    "flex_sold_kwh": (
        "Flexibility sold in activation auctions, kW x h; for limits it is counted from the connection "
        "capacity, so much of it was not going to be used."
    ),
    "flex_metered_less_kwh": (
        "Energy by which sellers metered less than without a market while they had sold (for a floor: "
        "exported less)."
    ),
    "flex_deficiency_kwh": "Ordered flexibility that was not delivered, beyond the tolerance.",
    "flex_cost_{cur}": "What the grid operator paid for flexibility in all, refunds taken off.",
    "flex_sellers_cost_{cur}": "What the accepted offers of activation auctions cost by their own prices.",
    "flex_sellers_gain_{cur}": "What sellers received for flexibility, less that cost.",
    "flex_budget_balance_{cur}": (
        "What the operator paid, less what sellers received: below 0 the market pays out more than it takes "
        "in (VCG), and somebody else must bear it."
    ),
    "event_hash": "Hash of the last event of the run; equal for equal scenarios and seeds.",
}
"""Definition of each key figure; ``{cur}`` stands for the currency."""

MECHANISMS = {
    "capacity_limit": (
        "Local flexibility market: the grid operator buys limits on what a connection may draw or feed in, "
        "cleared at the highest welfare; energy is bought from and sold to the retailer."
    ),
    "pay_as_cleared": (
        "Uniform price: all bids of a period are cleared at once, and everyone trades at the price of the "
        "marginal bid (the midpoint where a true interval is left)."
    ),
    "pay_as_bid": (
        "All bids of a period are cleared at once; each matched pair trades at prices from its own bids, so "
        "the price drawn here is the mean of a period's trades."
    ),
    "vickrey": (
        "Vickrey-Clarke-Groves: the best allocation; everyone pays or gets what their presence costs or "
        "spares the others. The price drawn here is the mean of a period's trades."
    ),
    "network": (
        "Uniform price where the wires carry the cleared schedule; where the power flow breaks a limit, the "
        "highest welfare that the grid allows, and a price at each bus: energy, losses, congestion, voltage. "
        "The price drawn here is that at the source."
    ),
    "zonal": (
        "Zones: each covers itself first at a uniform price, then trades with those beside it, then with the "
        "bulk grid, as far as its gate lets through; local controllers decide on every trade. The price "
        "drawn here is that of the bulk grid."
    ),
    "trade_reduction": (
        "McAfee (1992): the least valuable trade is given up where needed, so that truthful bids are best "
        "for everyone and the market needs no subsidy."
    ),
}

FORECASTS = {
    "perfect": "Homes know the future: an upper bound, not a practice.",
    "naive": "The last known value is expected to stay.",
    "seasonal": (
        "The value of the same time on an earlier day is expected, as known when the forecast is issued."
    ),
    "blended": (
        "The value of the same time on an earlier day is expected, moved by the last forecast error, which "
        "fades with a half-life of an hour."
    ),
}

EMS = {
    "rule_based": (
        "Rule-based self-consumption: the battery takes surplus and gives it back when there is a deficit; "
        "no price is looked at."
    ),
    "optimal": (
        "Linear programme over a rolling horizon: battery, vehicle, heat pump and curtailment are planned "
        "for the lowest expected bill."
    ),
}

BIDDING = {
    "truthful": "Bids are at the marginal value of the planned schedule.",
    "zero_intelligence": "Prices are drawn by chance between the retailer's two prices.",
    "fixed_margin": "Truthful bids with a fixed relative mark-up.",
}

STRATEGIES = {
    "impact": (
        "Impact-based: each kW is worth the cost that it spares if the forecast comes true; the dearest step "
        "comes first."
    ),
    "probability": (
        "Probability-based: each step is worth its impact times the chance of that loading; steps are taken "
        "in their order, whatever their price."
    ),
    "rebound_aware": (
        "As impact-based, and it also buys limits in the hours to which the cut energy may come back."
    ),
}

FLEX_PAYMENTS = {
    "uniform": "Everyone in a period trades at the price at which supply meets demand.",
    "pay_as_bid": "Sellers get the prices of their own bids, and the operator pays for them.",
    "vcg": "Everyone gets what their presence is worth to the others; the market operator covers the rest.",
    "vcg_one_sided": "Sellers are paid as under VCG, and the operator pays their sum.",
    "shapley": "Everyone gets their mean contribution over all orders in which players could join.",
}

CHOICES = {
    "mechanism": MECHANISMS,
    "forecast": FORECASTS,
    "ems": EMS,
    "bidding": BIDDING,
    "flex_strategy": STRATEGIES,
    "flex_payment": FLEX_PAYMENTS,
}
"""Explanations of the key figures that name a choice."""


def definition(name: str, currency: str) -> str:
    """Return what a key figure means; a ``_baseline`` figure is told as such; "" where none is kept.

    >>> definition("curtailed_kwh_baseline", "EUR")
    'Solar energy that was available and not used. Here of the feeder without a market.'
    """
    generic = name.replace(f"_{currency.lower()}", "_{cur}")
    plain = generic.replace("_baseline", "")
    text = KPI_DEFINITIONS.get(plain, "")
    return f"{text} Here of the feeder without a market." if text and plain != generic else text
