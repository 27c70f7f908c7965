"""Tables of zone markets: energy and decisions add up, whichever way they are counted."""

import dataclasses

import numpy as np
import pytest
from zone_records import CUT, DSO, HILL, HOMES, NORTH, PERIODS, ROOT, SESSION, TREE, make_record

from gridagora.errors import InvariantError
from gridagora.model.events import TradesDecided
from gridagora.reports.tables import TABLE_NAMES, ZONE_TABLE_NAMES
from gridagora.studies.run import Run
from gridagora.studies.zone_nodes import MOST, telling_periods

HOURS = 1.0


@pytest.fixture(scope="module")
def run():
    return Run(make_record(), scenario_yaml="")


def wide(run, column):
    return run.zone_periods[column].to_numpy().reshape(PERIODS, len(TREE.zones))


def test_a_run_with_zones_has_their_tables_and_others_do_not(run):
    assert set(run.table_names) >= {*TABLE_NAMES, *ZONE_TABLE_NAMES}
    other = Run(
        dataclasses.replace(run.record, study=dataclasses.replace(run.record.study, zones=None)),
        scenario_yaml="",
    )
    assert not set(other.table_names) & set(ZONE_TABLE_NAMES)
    assert other.tables.zones is None
    with pytest.raises(InvariantError, match="only studies with zones"):
        _ = other.zone_periods


def test_a_gate_carries_the_meters_of_all_homes_behind_it(run):
    metered = run.record.delivered("metered_wh") / 1000
    behind = [k for k, (_, _, zone, _) in enumerate(HOMES) if zone == HILL]
    assert wide(run, "gate_import_kw")[:, HILL] == pytest.approx(metered[:, behind].sum(axis=1))
    assert wide(run, "gate_import_kw")[:, ROOT] == pytest.approx(metered.sum(axis=1))


def test_what_is_decided_at_a_gate_is_what_was_matched_less_what_was_refused(run):
    trades = run.zone_trades
    matched, decided = wide(run, "gate_import_matched_kw"), wide(run, "gate_import_decided_kw")
    refused = trades[(trades.decision == "rejected") & (trades.kind != "supply")]
    out = refused[refused.seller_zone == "north"].groupby("period").quantity_kwh.sum()
    instead = trades[(trades.kind == "supply") & (trades.decision == "approved")]
    back = instead[instead.buyer_zone == "north"].groupby("period").quantity_kwh.sum()
    change = np.zeros(PERIODS)
    change[out.index] += out
    change[back.index] += back
    assert decided[:, NORTH] - matched[:, NORTH] == pytest.approx(change)


def test_energy_of_a_zone_adds_up_to_its_approved_trades(run):
    approved = run.zone_trades[run.zone_trades.decision == "approved"]
    zones = run.zones.set_index("zone")
    for at, name in enumerate(TREE.names):
        inside = {TREE.names[k] for k in range(len(TREE.names)) if TREE.names[at] in TREE.path(TREE.names[k])}
        buys = approved[approved.buyer_zone.isin(inside) & (approved.buyer != "upstream")]
        row = zones.loc[name]
        total = row.bought_inside_kwh + row.bought_siblings_kwh + row.bought_bulk_kwh
        assert total == pytest.approx(buys.quantity_kwh.sum())
        assert row.bought_bulk_kwh == pytest.approx(buys[buys.seller == "upstream"].quantity_kwh.sum())
        assert row.sold_inside_kwh == row.bought_inside_kwh
    assert zones.loc["bulk", "bought_siblings_kwh"] == 0 == zones.loc["bulk", "sold_siblings_kwh"]


def test_flows_between_zones_and_inside_them_are_all_that_was_approved(run):
    kpis, approved = run.kpis, run.zone_trades[run.zone_trades.decision == "approved"]
    parts = [kpis[f"traded_{where}_kwh"] for where in ("inside", "between_zones", "bulk")]
    assert sum(parts) == pytest.approx(approved.quantity_kwh.sum())
    apart = approved[approved.buyer_zone.astype(str) != approved.seller_zone.astype(str)]
    assert run.zone_flows.quantity_kwh.sum() == pytest.approx(apart.quantity_kwh.sum())
    assert run.zone_flows.amount.sum() == pytest.approx((apart.quantity_kwh * apart.price).sum())


def test_every_trade_has_its_whole_way_and_the_last_step_is_the_decision(run):
    trades, steps = run.zone_trades, run.approvals
    assert trades.trade.is_unique
    assert set(steps.trade) == set(trades.trade)
    last = steps.groupby("trade", observed=True).tail(1).set_index("trade")
    told = trades.set_index("trade").loc[last.index]
    assert (last.decision.astype(str) == told.decision.astype(str)).all()
    assert (last.by.astype(str) == told.decided_by.astype(str)).all()
    assert (last.step == told.last_step).all()
    first = steps[steps.step == 1]
    assert set(first.decision) == {"stated"}
    assert len(first) == (trades.kind != "supply").sum()
    assert run.kpis["approvals"] == len(steps)


def test_a_supply_stands_in_the_place_of_a_refused_trade(run):
    trades = run.zone_trades.set_index("trade")
    supplies = trades[trades.kind == "supply"]
    assert len(supplies) > 0
    for row in supplies.itertuples():
        before = trades.loc[row.follows]
        assert before.decision == "rejected"
        assert (before.buyer, before.period, before.quantity_kwh) == (row.buyer, row.period, row.quantity_kwh)
    assert (trades.follows[trades.kind != "supply"] == "").all()
    assert run.kpis["refused_supplied_kwh"] == pytest.approx(supplies.quantity_kwh.sum())


def test_refused_trades_count_for_buyer_and_seller_once(run):
    trades = run.zone_trades
    refused = trades[(trades.decision == "rejected") & (trades.kind != "supply")]
    zones = run.zones.set_index("zone")
    assert zones.loc["bulk", "refused_trades"] == len(refused) == run.kpis["trades_refused"]
    assert zones.loc["bulk", "refused_kwh"] == pytest.approx(run.kpis["refused_kwh"])
    north = refused[(refused.buyer_zone == "north") | (refused.seller_zone == "north")]
    assert zones.loc["north", "refused_trades"] == len(north)


def test_what_was_accepted_of_bids_is_what_the_controllers_left(run):
    stands = np.concatenate([e.accepted for e in run.record.events if isinstance(e, TradesDecided)])
    assert run.bids.accepted.to_numpy() == pytest.approx(stands / 1000)
    approved = run.zone_trades[run.zone_trades.decision == "approved"]
    assert run.bids[run.bids.side == "buy"].accepted.sum() == pytest.approx(approved.quantity_kwh.sum())
    assert run.trades.quantity_wh.sum() / 1000 == pytest.approx(approved.quantity_kwh.sum())


def test_an_island_is_told_with_what_it_could_not_serve(run):
    island = (run.zone_periods.island.to_numpy() == "hill").reshape(PERIODS, -1)
    assert np.flatnonzero(island[:, HILL]).tolist() == list(CUT)
    assert not np.delete(island, HILL, axis=1).any()
    lost = wide(run, "not_served_kwh")
    assert (lost[list(CUT), HILL] > 0).all()
    assert lost[:, ROOT] == pytest.approx(lost[:, HILL])
    assert wide(run, "gate_import_kw")[list(CUT), HILL] == pytest.approx(0.0, abs=2e-3)
    kpis = run.kpis
    assert kpis["island_periods"] == len(CUT)
    assert kpis["energy_not_served_kwh"] == pytest.approx(lost[:, HILL].sum())
    assert kpis["lost_load_cost_eur"] == pytest.approx(10 * kpis["energy_not_served_kwh"])
    used = wide(run, "consumption_kw") - wide(run, "production_kw") + wide(run, "battery_kw")
    assert used == pytest.approx(wide(run, "gate_import_kw"), abs=2e-3)


def test_the_welfare_gap_is_told_in_currency(run):
    table = run.zone_welfare
    assert table.gap.to_numpy() == pytest.approx(2e7 / 1e9)
    assert run.kpis["welfare_gap_eur"] == pytest.approx(table.gap.sum())
    assert run.kpis["welfare_gap_share"] == pytest.approx(table.gap.sum() / table.welfare_joint.sum())


def test_the_mean_price_is_that_of_all_trades(run):
    trades = run.zone_trades[run.zone_trades.decision == "approved"]
    mean = (trades.quantity_kwh * trades.price).sum() / trades.quantity_kwh.sum()
    assert run.kpis["mean_price_eur_per_kwh"] == pytest.approx(mean, abs=1e-6)


def test_prices_at_buses_stand_beside_those_of_their_zones(run):
    prices = run.nodal_prices
    parts = prices[["energy", "loss", "congestion", "voltage"]].sum(axis=1, min_count=4)
    assert np.allclose(parts, prices.price, equal_nan=True)
    noon = prices[prices.period == 12].set_index("bus")
    assert noon.loc["n1", "zone"] == "north"
    own = run.zone_periods[(run.zone_periods.period == 12) & (run.zone_periods.zone == "north")]
    assert noon.loc["n1", "zone_price"] == own.price.item()
    assert np.isnan(prices[(prices.period == 18) & (prices.bus == "h1")].price).all()


def test_a_period_without_prices_says_why(run):
    failed = run.nodal_periods.set_index("period").loc[3]
    assert failed.status == "not cleared"
    assert "voltage of h1" in failed.reason
    assert np.isnan(failed.price_lowest)


def test_of_many_hours_those_are_cleared_on_the_wires_whose_zones_differ_most(run):
    study, record = run.record.study, run.record
    zonal = [one.zonal for one in record.auctions()]
    assert telling_periods(study, zonal, count=PERIODS) == list(range(PERIODS))
    many = 100
    axis = dataclasses.replace(study.axis, periods=many)
    prices = np.full((many, len(TREE.zones)), 100)
    prices[30:40, DSO] = np.arange(200, 210)
    prices[5, NORTH] = -1
    long = dataclasses.replace(zonal[0], price=prices)
    found = telling_periods(dataclasses.replace(study, axis=axis), [long], count=many)
    assert len(found) == MOST
    assert set(range(30, 40)) <= set(found)


def test_elements_and_participants_name_their_zone(run):
    elements = run.elements.set_index("element")
    assert elements.loc["n2", "zone"] == "north"
    assert elements.loc["Tn", "gate_of"] == "north"
    assert elements.loc["Lh", "zone"] == "hill" == elements.loc["Lh", "gate_of"]
    assert elements.loc["Ln", "gate_of"] == ""
    assert run.participants.set_index("participant").loc["eva", "zone"] == "hill"


def test_a_stopped_run_has_the_sessions_that_were_finished(run):
    cut = dataclasses.replace(
        run.record,
        periods=2 * SESSION,
        events=run.record.events[:8],
        pictures=run.record.pictures[:2],
        baseline_money=type(run.record.baseline_money)(
            **{
                name: getattr(run.record.baseline_money, name)[: 2 * SESSION]
                for name in run.record.baseline_money.__dataclass_fields__
            }
        ),
    )
    part = Run(cut, scenario_yaml="")
    assert len(part.zone_periods) == 2 * SESSION * len(TREE.zones)
    assert part.zone_trades.period.max() == 2 * SESSION - 1
    assert len(part.zones) == len(TREE.zones)
