"""Stories of several carriers: what a converter may take and what it gives is one condition per output."""

import numpy as np
import pandas as pd
import pytest

from gridagora.errors import InfeasibleMarket
from gridagora.market.mechanisms.network import network_auction
from gridagora.market.network_result import NetworkResult
from gridagora.model.bids import Bids
from gridagora.model.dependencies import Dependency, Rolling
from gridagora.model.linear_network import LinearNetwork

ROWS = [
    # side, price, quantity, carrier, participant
    ("sell", 0.04, 100.0, "gas", "gas grid"),
    ("buy", 0.0, 30.0, "gas", "chp"),
    ("sell", 0.0, 9.0, "electricity", "chp"),
    ("sell", 0.0, 15.0, "heat", "chp"),
    ("sell", 0.30, 50.0, "electricity", "power grid"),
    ("buy", 0.50, 20.0, "electricity", "homes"),
    ("buy", 0.12, 4.0, "heat", "homes"),
    ("buy", 0.0, 10.0, "heat", "chiller"),
    ("sell", 0.0, 7.0, "cooling", "chiller"),
    ("buy", 0.2, 5.0, "cooling", "offices"),
]


def district(rows=ROWS):
    side, price, quantity, carrier, participant = zip(*rows, strict=True)
    return Bids(
        side=list(side),
        price=list(price),
        quantity=list(quantity),
        carrier=list(carrier),
        participant=list(participant),
    )


CONVERTERS = (
    Dependency.sum_of([1, 2], "=", 0.0, coefficients=[0.3, -1.0]),
    Dependency.sum_of([1, 3], "=", 0.0, coefficients=[0.5, -1.0]),
    Dependency.sum_of([7, 8], "=", 0.0, coefficients=[0.7, -1.0]),
)


def cleared(**options) -> NetworkResult:
    return network_auction(district(), dependencies=CONVERTERS, **options)


def test_a_chp_and_an_absorption_chiller_supply_three_carriers():
    result = cleared()
    taken = dict(zip(range(len(ROWS)), result.accepted, strict=True))
    # heat is wanted for 4 directly and for 5 / 0.7 of cooling, so the plant burns twice as much gas
    heat = 4 + 5 / 0.7
    assert taken[3] == pytest.approx(heat)
    assert taken[1] == pytest.approx(2 * heat)
    assert taken[2] == pytest.approx(0.6 * heat)
    assert taken[8] == pytest.approx(5)
    # 1 kWh of heat costs 2 of gas and brings 0.6 of electricity, at the price of the power grid
    prices = result.prices.loc[0]
    assert prices["gas", "price"] == pytest.approx(0.04)
    assert prices["electricity", "price"] == pytest.approx(0.30)
    assert prices["heat", "price"] == pytest.approx(2 * 0.04 - 0.6 * 0.30)
    assert prices["cooling", "price"] == pytest.approx(prices["heat", "price"] / 0.7)
    assert result.payments["chp"] == pytest.approx(0.0)
    assert result.budget_balance == pytest.approx(0.0, abs=1e-12)


def test_cooling_through_a_pipe_that_is_too_narrow():
    pipe = pd.DataFrame({"from": ["plant"], "to": ["town"], "capacity_kw": [2.0]})
    node = np.full(len(ROWS), "plant")
    node[9] = "town"
    bids = district()
    bids = Bids(
        side=bids.side,
        price=bids.price,
        quantity=bids.quantity,
        carrier=bids.carrier,
        participant=bids.participant,
        node=node,
    )
    carriers = {"electricity": None, "gas": None, "heat": None, "cooling": LinearNetwork.from_table(pipe)}
    result = network_auction(bids, carriers=carriers, dependencies=CONVERTERS, period_hours=0.25)
    # 2 kW for a quarter of an hour
    assert result.accepted[9] == pytest.approx(0.5)
    assert result.prices.loc[0, ("cooling", "town")] == pytest.approx(0.2)
    assert result.binding["name"].tolist() == ["plant-town"]
    assert result.rent["congestion"] == pytest.approx(result.budget_balance)
    assert result.flows.loc[0, ("cooling", "plant-town")] == pytest.approx(2.0)


def test_only_binding_periods_are_paid():
    bids = Bids(
        side=["buy", "sell"] * 3,
        price=[0.3, 0.1] * 3,
        quantity=[1.0] * 6,
        period=[4, 4, 5, 5, 6, 6],
        participant=["ann", "bob"] * 3,
    )
    for network in (None, LinearNetwork.single()):
        result = network_auction(bids, network=network, horizon=Rolling(first_binding=2))
        assert result.payments.round(9).to_dict() == {"ann": -0.4, "bob": 0.4}
        assert result.accepted.tolist() == [1.0] * 6
        assert set(result.trades["period"]) == {4, 5}


def test_tables_have_their_periods_and_nodes():
    result = cleared()
    assert list(result.prices.columns.names) == ["carrier", "node"]
    assert set(result.price_parts) == {"energy", "loss", "congestion", "voltage"}
    assert result.slack.shape == result.losses.shape == (1, 4)
    assert result.voltages.empty
    assert result.paradoxical.empty
    trades = result.trades
    assert set(trades["buyer"]) | set(trades["seller"]) == {*district().participant.tolist(), "market"}
    assert (trades["quantity"] > 0).all()


def burning(least):
    """Return a plant that is paid to make heat, homes behind a lossy pipe that want little of it."""
    pipe = pd.DataFrame({"from": ["plant"], "to": ["homes"], "capacity_kw": [9.0], "loss_share": [0.1]})
    bids = Bids(
        side=["sell", "buy"],
        price=[-1.0, 0.5],
        quantity=[20.0, 4.5],
        node=["plant", "homes"],
        carrier=["heat", "heat"],
    )
    dependencies = [Dependency.sum_of([0], ">=", least)] if least else None
    return network_auction(bids, carriers={"heat": pipe}, dependencies=dependencies)


def test_a_pipe_carries_heat_one_way_at_a_time_even_where_waste_pays():
    result = burning(least=0.0)
    assert result.accepted == pytest.approx([5.0, 4.5])
    assert result.losses.loc[0, "heat"] == pytest.approx(0.5)
    assert result.flows.loc[0].tolist() == pytest.approx([5.0])
    assert result.prices.loc[0].tolist() == pytest.approx([-1.0, -1.0 / 0.9])
    assert result.binding.empty


def test_what_only_waste_could_meet_has_no_answer():
    with pytest.raises(InfeasibleMarket) as error:
        burning(least=5.5)
    assert error.value.conflict == ("dependency 0: SUM 1 y0 >= 5.5",)


def test_a_node_that_no_one_can_reach_has_the_price_of_its_own_bids():
    line = pd.DataFrame({"from": ["a"], "to": ["b"], "capacity_kw": [8.0], "loss_share": [0.05]})
    network = LinearNetwork.from_table(line, export_kw=0.0)
    bids = Bids(
        side=["buy", "sell", "sell"], price=[3.0, 2.0, -1.0], quantity=[2.5, 4.0, 4.0], node=["a", "a", "b"]
    )
    result = network_auction(bids, network=network)
    assert result.accepted.tolist() == pytest.approx([2.5, 2.5, 0.0])
    assert result.prices.loc[0].tolist() == pytest.approx([2.0, -1.0])
