"""Tables and key figures of a flexibility market, on a made-up run whose events are known."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from flex_records import BUYER, NAMES, PENALTY, SIZES, STRATEGIES, make_flows, make_record

from gridagora.errors import InvariantError
from gridagora.model.flexibility_events import (
    FlexAuctionCleared,
    FlexMarketOpened,
    FlexOrderTaken,
    FlexSettled,
)
from gridagora.reports.tables import FLEX_TABLE_NAMES, TABLE_NAMES
from gridagora.studies.run import FILES, WIDE_TABLES, Run
from gridagora.units import MICRO

RULES = ["shapley", "vcg", "vcg_one_sided", "uniform", "pay_as_bid"]


@pytest.fixture(scope="module")
def run():
    return Run(make_record(), scenario_yaml="name: streets\n")


def rows(frame, **wanted):
    for name, value in wanted.items():
        frame = frame[frame[name] == value]
    return frame


def events(run, strategy, kind):
    found = next(s for s in run.record.flexibility.strategies if s.name == strategy)
    return [e for e in found.events if isinstance(e, kind)]


# ---- what became of the overloads -----


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_strategies_count_the_rows_of_hours(run, strategy):
    row = rows(run.flex_strategies, strategy=strategy).iloc[0]
    states = rows(run.flex_hours, strategy=strategy)["state"].value_counts()
    assert row["cured_h"] == states.get("cured", 0)
    assert row["newly_overloaded_h"] == states.get("newly overloaded", 0)
    assert row["overloaded_before_h"] == states.drop("newly overloaded", errors="ignore").sum()
    assert row["overloaded_after_h"] == states.drop("cured", errors="ignore").sum()
    assert row["share_cured"] == pytest.approx(row["cured_h"] / row["overloaded_before_h"])


def test_the_settled_strategy_comes_first_and_alone_is_marked(run):
    assert run.flex_strategies["strategy"].tolist() == list(STRATEGIES)
    assert run.flex_strategies["settled"].tolist() == [True, False, False]


def test_hours_hold_the_loadings_of_both_power_flows(run):
    after = {s.name: s.flows.loading_percent for s in run.record.flexibility.strategies}
    place = {"L1": 0, "T1": 1}
    for row in run.flex_hours.itertuples():
        before = run.record.flows_baseline.loading_percent[row.period, place[row.element]]
        assert row.loading_before_percent == before
        assert row.loading_after_percent == after[row.strategy][row.period, place[row.element]]
        assert max(row.loading_before_percent, row.loading_after_percent) > 95
    assert run.flex_hours["start"].iloc[0] == pd.Timestamp("2012-01-01") + pd.Timedelta(
        hours=int(run.flex_hours["period"].iloc[0])
    )


def with_flows(record, **changes):
    first, *others = record.flexibility.strategies
    changed = dataclasses.replace(first, **changes)
    flexibility = dataclasses.replace(record.flexibility, strategies=(changed, *others))
    return Run(dataclasses.replace(record, flexibility=flexibility), scenario_yaml="")


def test_an_hour_whose_power_flow_has_no_solution_is_not_cured(run):
    record = run.record
    worst = int(record.flows_baseline.loading_percent[:, 1].argmax())
    kw = record.flexibility.strategies[0].metered_wh / 1000
    blind = with_flows(record, flows=make_flows(kw, unsolved=(worst,)))
    row = blind.flex_strategies.iloc[0]
    assert row["cured_h"] == run.flex_strategies.iloc[0]["cured_h"] - 1
    assert row["overloaded_after_h"] == 1
    found = rows(blind.flex_hours, strategy=STRATEGIES[0], period=worst)
    assert found["state"].tolist() == ["not known"]
    assert np.isfinite(row["loading_max_after_percent"])


def test_an_hour_counts_once_however_many_elements_are_above(run):
    record = run.record
    flows = record.flows_baseline
    doubled = flows.loading_percent.copy()
    doubled[:, 0] = doubled[:, 1]
    both = dataclasses.replace(record, flows_baseline=dataclasses.replace(flows, loading_percent=doubled))
    found = Run(both, scenario_yaml="")
    before = run.flex_strategies.iloc[0]["overloaded_before_h"]
    assert found.flex_strategies.iloc[0]["overloaded_before_h"] == before
    assert len(rows(found.flex_hours, strategy=STRATEGIES[0])) == 2 * before


def test_metered_less_is_what_meters_of_sellers_show(run):
    record, strategy = run.record, run.record.flexibility.strategies[0]
    sold = rows(run.flex_orders, strategy=strategy.name)
    places = [NAMES.index(name) for name in sold["participant"]]
    change = (record.baseline_metered_wh - strategy.metered_wh)[sold["period"], places]
    assert run.flex_strategies.iloc[0]["metered_less_kwh"] == pytest.approx(change.sum() / 1000)


# ---- auctions and orders -----


def test_auctions_sum_their_bids(run):
    bids = run.flex_bids.assign(buys=run.flex_bids["side"] == "buy")
    keys = ["strategy", "auction", "period"]
    asked = bids[bids["buys"]].groupby(keys)["quantity_kw"].sum()
    offered = bids[~bids["buys"]].groupby(keys)["quantity_kw"].sum()
    sold = bids[~bids["buys"]].groupby(keys)["accepted_kw"].sum()
    found = run.flex_auctions.set_index(keys)
    for name, expected in (("asked_kw", asked), ("offered_kw", offered), ("sold_kw", sold)):
        np.testing.assert_allclose(found[name], expected.reindex(found.index))
    assert set(found["horizon"]) == {"reservation", "activation"}
    assert set(run.flex_bids["participant"]) == {BUYER, *NAMES}


def test_auctions_tell_what_the_operator_paid_and_by_which_rule(run):
    for strategy, rule in zip(STRATEGIES, ("uniform", "uniform", "pay_as_bid"), strict=True):
        found = rows(run.flex_auctions, strategy=strategy, horizon="activation")
        paid = sum(e.paid_micro[:, -1].sum() for e in events(run, strategy, FlexAuctionCleared))
        reserved = rows(run.flex_auctions, strategy=strategy, horizon="reservation")["paid"].sum()
        assert found["paid"].sum() + reserved == pytest.approx(-paid / MICRO)
        assert set(found["payment_rule"]) == {rule}
        assert set(found["ordered"]) == {strategy == "probability"}


def test_orders_hold_limits_below_the_capacity(run):
    capacity = run.flex_orders["participant"].map({name: 2 * kw for name, kw in SIZES.items()})
    np.testing.assert_allclose(run.flex_orders["limit_kw"], capacity - run.flex_orders["ordered_kw"])


def test_deliveries_tell_who_missed_and_what_it_cost(run):
    missed = run.flex_deliveries[run.flex_deliveries["deficiency_kwh"] > 0]
    assert set(missed["strategy"]) == {"impact"}
    assert set(missed["participant"]) == {"R15"}
    np.testing.assert_allclose(missed["deficiency_kwh"], 1.5)
    np.testing.assert_allclose(missed["penalty"], 1.5 * PENALTY / MICRO, rtol=1e-3)
    np.testing.assert_allclose(
        missed["received"], missed["due"] - missed["claw_back"] - missed["penalty"], atol=1e-9
    )


def test_a_trade_of_the_continuous_market_is_one_row(run):
    row = run.flex_trades.iloc[0]
    assert len(run.flex_trades) == sum(len(events(run, s, FlexOrderTaken)) for s in STRATEGIES) == 1
    assert (row["buyer"], row["seller"], row["periods"], row["amount"]) == (
        BUYER,
        "R11",
        2,
        pytest.approx(0.9),
    )


def test_contracts_tell_reserved_called_released_offered_and_fees(run):
    found = run.flex_contracts
    assert found["period"].tolist() == [17, 18, 19]
    assert found["reserved_kw"].tolist() == [5.0] * 3
    assert found["called_kw"].tolist() == [5.0, 4.0, 0.0]
    assert found["released_kw"].tolist() == [0.0, 0.0, 5.0]
    offered = rows(run.flex_bids, strategy=STRATEGIES[0], horizon="activation", participant="R1", period=18)
    assert found["offered_kw"].iloc[1] == pytest.approx(offered["quantity_kw"].sum())
    np.testing.assert_allclose(found["fee"], 0.1)
    np.testing.assert_allclose(found["withheld"], 0.01)


def test_unmet_needs_are_told(run):
    row = run.flex_unmet.iloc[0]
    assert (row["strategy"], row["element"], row["loading_percent"]) == ("impact", "T1", 97.4)
    assert (row["least_kw"], row["least_percent"], row["proven"]) == (3.0, 96.1, True)


# ---- payments by every rule -----


def test_facts_of_the_payment_tables(run):
    """Seed 003 tables 3-6 and 3-9: Shapley payment = phi - w, they sum to 0, VCG does not."""
    found = run.flex_payments
    np.testing.assert_allclose(found["shapley"], found["shapley_value"] + found["cost_or_utility"])
    sums = found.groupby(["strategy", "day"])[["shapley", "vcg", "shapley_value", "cost_or_utility"]].sum()
    np.testing.assert_allclose(sums["shapley"], 0.0, atol=1e-6)
    assert (sums["vcg"] > 1.0).any()
    np.testing.assert_allclose(sums["shapley_value"], -sums["cost_or_utility"], atol=1e-6)  # phi sums to v(N)
    assert (
        found.groupby(["strategy", "day"])["participant"].agg(list).map(lambda n: n == [BUYER, *NAMES]).all()
    )


def test_payments_by_the_settled_rule_are_those_that_auctions_paid(run):
    for strategy, rule in (("impact", "uniform"), ("probability", "pay_as_bid")):
        paid = rows(run.flex_payments, strategy=strategy, participant=BUYER)[rule].sum()
        assert -paid == pytest.approx(rows(run.flex_auctions, strategy=strategy)["paid"].sum(), abs=1e-4)


def test_ordered_demand_has_no_uniform_price(run):
    found = rows(run.flex_payments, strategy="probability")
    assert found["uniform"].isna().all()
    assert set(rows(run.flex_rules, strategy="probability")["rule"]) == set(RULES) - {"uniform"}


def test_rules_tell_balance_excess_and_what_held(run):
    found = run.flex_rules
    vcg = rows(found, rule="vcg")
    paid = run.flex_payments.groupby(["strategy", "day"], sort=False)["vcg"].sum()
    np.testing.assert_allclose(vcg["budget_balance"], -paid, atol=1e-6)
    assert rows(found, rule="shapley")["budget_balanced"].all()
    assert set(vcg["strategy_proof"]) == {"no false bid paid"}
    assert rows(found, rule="shapley")["individually_rational"].all()
    lost = found[~found["individually_rational"]]
    assert set(lost["rule"]) == {"vcg_one_sided"}  # its buyer may pay more than its utility
    assert set(found.loc[found["settled"], "rule"]) == {"uniform", "pay_as_bid"}


def test_blocks_are_paid_by_every_rule_and_no_false_bid_is_tried(run):
    strategy = run.record.flexibility.strategies[1]
    event = next(e for e in strategy.events if isinstance(e, FlexAuctionCleared))
    first = (event.period == event.period[0]) & ((event.side > 0) | np.isin(event.participant, (0, 1)))
    whole = (event.side < 0) & (event.step == 1)
    columns = ("participant", "period", "side", "step", "price", "quantity_kw", "obligated", "accepted_kw")
    cut = {name: getattr(event, name)[first] for name in columns}
    group = np.where(whole, [f"block {code}" for code in event.participant], "")[first]
    opened = next(e for e in strategy.events if isinstance(e, FlexMarketOpened))
    blocks = dataclasses.replace(strategy, events=(opened, dataclasses.replace(event, group=group, **cut)))
    found = Run(
        dataclasses.replace(
            run.record, flexibility=dataclasses.replace(run.record.flexibility, strategies=(blocks,))
        ),
        scenario_yaml="",
    )
    rules = found.flex_rules
    assert "uniform" not in set(rules["rule"])
    assert set(rules["strategy_proof"]) == {"not tested"}
    assert rules.loc[rules["rule"] == "shapley", "budget_balanced"].all()
    assert rules.loc[rules["rule"] == "vcg", "individually_rational"].all()


# ---- bills, accounts, key figures -----


def test_receipts_are_in_bills_participants_and_journal(run):
    settled = events(run, STRATEGIES[0], FlexSettled)[0]
    expected = settled.due_micro - settled.claw_back_micro - settled.penalty_micro
    expected = (expected.sum(axis=0) + settled.fee_micro - settled.withheld_micro).sum(axis=1) / MICRO
    people = run.participants.set_index("participant")
    np.testing.assert_allclose(people["flex_received"], expected)
    np.testing.assert_allclose(people["cost_baseline"] - people["cost"], people["gain"])
    bills = run.invoices.groupby("participant", observed=True)[["flexibility", "total", "gain"]].sum()
    np.testing.assert_allclose(bills["flexibility"], people["flex_received"])
    np.testing.assert_allclose(bills["total"], people["cost"])
    np.testing.assert_allclose(bills["gain"], people["gain"], atol=1e-9)
    journal = run.journal.astype({"account": str, "memo": str})
    booked = journal[journal["memo"].str.startswith("flex")].groupby("account")["amount_micro"].sum()
    assert booked[f"participant:{BUYER}"] == settled.payment_micro.sum()
    np.testing.assert_allclose([booked[f"participant:{n}"] / MICRO for n in NAMES], expected)
    assert (run.journal.groupby("entry")["amount_micro"].sum() == 0).all()


def test_invoice_total_is_the_sum_of_its_lines(run):
    found = run.invoices
    charges = ["energy_charge", "imbalance_charge", "network_charge", "taxes", "standing"]
    total = found[charges].sum(axis=1) - found["energy_credit"] - found["flexibility"]
    np.testing.assert_allclose(found["total"], total, atol=1e-9)


def test_key_figures_are_those_of_the_settled_strategy(run):
    row, kpis = run.flex_strategies.iloc[0], run.kpis
    assert kpis["flex_hours_cured"] == row["cured_h"]
    assert kpis["flex_share_cured"] == row["share_cured"]
    assert kpis["flex_cost_eur"] == pytest.approx(row["operator_cost"])
    received = run.participants["flex_received"].sum()
    assert kpis["flex_sellers_gain_eur"] == pytest.approx(received - row["sellers_cost"])
    assert kpis["flex_budget_balance_eur"] == pytest.approx(row["operator_cost"] - received, abs=1e-9)
    assert kpis["flex_sold_kwh"] == pytest.approx(
        rows(run.flex_orders, strategy=STRATEGIES[0])["cleared_kw"].sum()
    )
    assert "mean_price_eur_per_kwh" not in kpis


def test_without_a_pool_its_tables_are_empty_and_whole(run):
    assert len(run.bids) == len(run.trades) == 0
    assert list(run.bids.columns)[:3] == ["period", "start", "participant"]
    assert len(run.prices) == run.record.periods
    assert run.prices["price"].isna().all()


# ---- the folder -----


def test_only_a_run_with_a_flexibility_market_writes_its_tables(run, tmp_path):
    folder = run.write(tmp_path / "run")
    written = {path.name for path in folder.iterdir()}
    assert {f"{name}.parquet" for name in (*TABLE_NAMES, *WIDE_TABLES, *FLEX_TABLE_NAMES)} <= written <= FILES
    again = pd.read_parquet(folder / "flex_payments.parquet")
    pd.testing.assert_frame_equal(again, run.flex_payments, check_dtype=False)
    plain = Run(dataclasses.replace(run.record, flexibility=None), scenario_yaml="")
    assert not set(plain.table_names) & set(FLEX_TABLE_NAMES)
    assert "flexibility" not in plain.invoices.columns
    with pytest.raises(InvariantError, match="no flexibility market"):
        _ = plain.flex_strategies


def test_a_market_in_which_nothing_happened_has_whole_tables(run):
    silent = []
    for strategy in run.record.flexibility.strategies:
        kept = tuple(e for e in strategy.events if isinstance(e, FlexMarketOpened))
        none = dataclasses.replace(
            strategy.unmet,
            period=np.zeros(0, np.int64),
            element=(),
            needed_kw=np.zeros(0),
            offered_kw=np.zeros(0),
            loading_percent=np.zeros(0),
            least_kw=np.zeros(0),
            least_percent=np.zeros(0),
        )
        silent.append(dataclasses.replace(strategy, events=kept, unmet=none))
    flexibility = dataclasses.replace(run.record.flexibility, strategies=tuple(silent))
    found = Run(dataclasses.replace(run.record, flexibility=flexibility), scenario_yaml="")
    for name in (
        "flex_auctions",
        "flex_bids",
        "flex_payments",
        "flex_rules",
        "flex_orders",
        "flex_deliveries",
        "flex_trades",
        "flex_contracts",
        "flex_unmet",
    ):
        table = getattr(found, name)
        assert len(table) == 0, name
        assert list(table.columns) == list(getattr(run, name).columns)
        assert table.dtypes.tolist() == getattr(run, name).dtypes.tolist()
    assert found.participants["flex_received"].tolist() == [0.0] * 6


def test_a_stopped_run_keeps_to_its_periods(run):
    record = run.record
    cut = 48

    def short(flows):
        arrays = {n: getattr(flows, n)[:cut] for n in flows.__slots__ if n != "transformers"}
        return dataclasses.replace(flows, **arrays)

    strategies = tuple(
        dataclasses.replace(s, metered_wh=s.metered_wh[:cut], flows=short(s.flows))
        for s in record.flexibility.strategies
    )
    stopped = Run(
        dataclasses.replace(
            record,
            periods=cut,
            flows=strategies[0].flows,
            flows_baseline=short(record.flows_baseline),
            baseline_metered_wh=record.baseline_metered_wh[:cut],
            flexibility=dataclasses.replace(record.flexibility, strategies=strategies),
        ),
        scenario_yaml="",
    )
    for name in FLEX_TABLE_NAMES:
        table = getattr(stopped, name)
        assert "period" not in table.columns or (table["period"] < cut).all(), name
    assert set(stopped.flex_payments["day"]) <= {"2012-01-01", "2012-01-02"}
