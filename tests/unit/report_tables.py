"""Tables of a made-up run: a street of homes with sun, batteries and a local pool."""

import numpy as np
import pandas as pd

from gridagora.model.study import GridLimits
from gridagora.reports.tables import UPSTREAM, RunTables

RETAIL, FEED_IN, HOURS = 0.30, 0.08, 0.25


def make_tables(
    homes=12, periods=672, *, start="2016-05-22T22:00:00", seed=7, broken=True, islanded=False, names=None
) -> RunTables:
    """Return a run of a street: `broken` lets limits break, `names` replaces the participants' ids."""
    rng = np.random.default_rng(seed)
    names = [f"home {k + 1}" for k in range(homes)] if names is None else list(names)
    starts = np.datetime64(start, "s") + np.arange(periods) * np.timedelta64(900, "s")
    clock = (np.arange(periods) * HOURS) % 24
    sun = np.clip(np.sin((clock - 6) / 12 * np.pi), 0, None)[:, None]
    pv_peak = np.where(rng.random(homes) < 0.5, rng.uniform(4, 10, homes), 0.0)
    if homes > 1:
        pv_peak[0], pv_peak[1] = 8.0, 0.0
    pv = pv_peak * sun * rng.uniform(0.4, 1.0, (periods, 1))
    evening = np.exp(-(((clock - 19) / 2.5) ** 2))[:, None]
    load = rng.gamma(2.0, 0.15, (periods, homes)) + evening * rng.uniform(0.5, 2.5, homes)
    battery = np.where(pv_peak > 0, 1.0, 0.0) * (np.clip(pv - load, 0, 2) * 0.5 - evening * 0.8)
    base = load - pv
    metered = load - pv + battery
    ints = np.arange(periods)

    def rows(array):
        return np.asarray(array).ravel()

    who = np.tile(names, periods)
    long = {"period": np.repeat(ints, homes), "start": np.repeat(starts, homes), "participant": who}
    schedules = pd.DataFrame(
        {
            **long,
            "load_kw": rows(load),
            "pv_kw": rows(pv),
            "curtailed_kw": 0.0,
            "battery_kw": rows(battery),
            "ev_kw": 0.0,
            "heat_pump_kw": 0.0,
            "cleared_kw": rows(metered),
            "metered_kw": rows(metered),
            "battery_kwh": 0.0,
            "ev_kwh": 0.0,
            "tank_kwh": 0.0,
            "baseline_kw": rows(base),
        }
    )
    bids, prices = _auction(long, metered, starts, rng=rng, islanded=islanded)
    flows = _flows(starts, metered.sum(axis=1), base.sum(axis=1), rating=14.0 * homes / 12 if broken else 1e4)
    elements = _elements(homes, flows)
    violations = _violations(flows, names)
    participants, invoices = _money(names, starts, metered, base, load, pv, pv_peak, prices)
    trades = pd.DataFrame(
        {
            "period": prices["period"],
            "start": prices["start"],
            "buyer": names[-1],
            "seller": names[0],
            "quantity_wh": (prices["local_volume_kwh"] * 1000).round().astype(int),
            "price_micro_per_kwh": (prices["price"].fillna(0) * 1e6).astype(int),
            "amount_micro": 0,
        }
    )
    journal = pd.DataFrame(
        {"entry": [0, 0], "period": 0, "account": ["a", "b"], "amount_micro": [1, -1], "memo": "energy"}
    )
    tables = RunTables(
        title="village (made up)",
        kpis={},
        bids=bids,
        prices=prices,
        trades=trades,
        schedules=schedules,
        flows=flows,
        elements=elements,
        violations=violations,
        invoices=invoices,
        participants=participants,
        journal=journal,
        scenario_yaml="name: village\ngrid: 1-LV-rural2--0-sw\nmarket: {mechanism: pay_as_cleared}\n",
        timezone="Europe/Berlin",
        limits=GridLimits(vm_min_pu=0.95, vm_max_pu=1.05) if broken else GridLimits(),
        versions={"gridagora": "0.1.0", "numpy": "2.4.0"},
    )
    tables.kpis.update(_kpis(tables))
    return tables


def _auction(long, metered, starts, *, rng, islanded):
    """One bid per home and period and the retailer's two; cleared at a price between the retailer's."""
    periods, homes = metered.shape
    energy = metered.ravel() * HOURS
    buy = energy > 0
    price = np.where(
        buy, rng.uniform(0.15, RETAIL, energy.size), rng.uniform(FEED_IN, 0.2, energy.size)
    ).round(4)
    home = pd.DataFrame(
        {**long, "side": np.where(buy, "buy", "sell"), "price": price, "quantity": np.abs(energy)}
    )
    ends = [
        pd.DataFrame(
            {
                "period": np.arange(periods),
                "start": starts,
                "participant": UPSTREAM,
                "side": side,
                "price": np.nan if islanded else value,
                "quantity": np.inf,
            }
        )
        for side, value in (("sell", RETAIL), ("buy", FEED_IN))
    ]
    demand = np.maximum(metered, 0).sum(axis=1) * HOURS
    supply = np.maximum(-metered, 0).sum(axis=1) * HOURS
    local = np.minimum(demand, supply)
    fraction = np.where(
        energy > 0,
        np.repeat(local / np.maximum(demand, 1e-9), homes),
        np.repeat(local / np.maximum(supply, 1e-9), homes),
    )
    home["accepted"] = home["quantity"] * (fraction if islanded else 1.0)
    ends[0]["accepted"] = 0.0 if islanded else demand - local
    ends[1]["accepted"] = 0.0 if islanded else supply - local
    bids = pd.concat([home, *ends], ignore_index=True).sort_values(
        ["period", "participant"], ignore_index=True
    )
    clearing = (
        np.where(demand > supply, RETAIL, FEED_IN) if not islanded else np.where(local > 0, 0.18, np.nan)
    )
    outside = np.zeros(periods) if islanded else 1.0
    prices = pd.DataFrame(
        {
            "period": np.arange(periods),
            "start": starts,
            "price": np.where((local > 0) & (local < 0.9 * supply), 0.5 * (clearing + 0.17), clearing),
            "volume_kwh": local if islanded else np.maximum(demand, supply),
            "local_volume_kwh": local,
            "retail": np.nan if islanded else RETAIL,
            "feed_in": np.nan if islanded else FEED_IN,
            "upstream_import_kwh": (demand - local) * outside,
            "upstream_export_kwh": (supply - local) * outside,
        }
    )
    return bids, prices


def _flows(starts, metered, base, *, rating):
    frame = pd.DataFrame({"period": np.arange(len(starts)), "start": starts})
    for suffix, kw in (("", metered), ("_baseline", base)):
        loading = 100 * np.abs(kw) / rating
        columns = {
            "converged": True,
            "import_kw": kw * 1.02,
            "losses_kw": 0.02 * np.abs(kw),
            "vm_min_pu": 1.0 - 0.0004 * np.maximum(loading, 0) * (kw > 0) - 0.002,
            "vm_min_bus": "bus 4",
            "vm_max_pu": 1.0 + 0.0004 * loading * (kw < 0) + 0.002,
            "vm_max_bus": "bus 5",
            "line_loading_percent": 0.8 * loading,
            "worst_line": "line 1",
            "transformer_loading_percent": loading,
            "worst_transformer": "T1",
            "reverse_flow": kw < 0,
            "unbalance_percent": np.nan,
        }
        for name, values in columns.items():
            frame[name + suffix] = values
    return frame


def _elements(homes, flows):
    """A street of buses below one transformer, with a branch to the left and one to the right."""
    count = homes + 1
    bus = [f"bus {k}" for k in range(count + 1)]
    x = [0.0, 0.0, *(float(k // 2 + 1) * (1 if k % 2 else -1) for k in range(count - 1))]
    y = [1.0, 0.6, *(0.6 - 0.15 * (k // 2 + 1) for k in range(count - 1))]
    rows = [("bus", name, "", "", k, k) for k, name in enumerate(bus)]
    rows.append(("transformer", "T1", bus[0], bus[1], 0, 1))
    for k in range(2, count + 1):
        before = 1 if k < 4 else k - 2
        rows.append(("line", f"line {k - 1}", bus[before], bus[k], before, k))
    frame = pd.DataFrame(rows, columns=["kind", "element", "from_bus", "to_bus", "a", "b"])
    frame["x"], frame["y"] = [x[k] for k in frame["a"]], [y[k] for k in frame["a"]]
    frame["x_to"], frame["y_to"] = [x[k] for k in frame["b"]], [y[k] for k in frame["b"]]
    for suffix in ("", "_baseline"):
        peak = float(flows[f"line_loading_percent{suffix}"].max())
        low = float(flows[f"vm_min_pu{suffix}"].min())
        share = np.linspace(0.3, 1.0, len(frame))[::-1]
        value = np.where(frame["kind"] == "bus", 1 - (1 - low) * share[::-1], peak * share)
        frame[f"worst_value{suffix}"] = np.where(
            frame["kind"] == "transformer", flows[f"transformer_loading_percent{suffix}"].max(), value
        )
        column = frame["kind"].map(
            {
                "bus": f"vm_min_pu{suffix}",
                "line": f"line_loading_percent{suffix}",
                "transformer": f"transformer_loading_percent{suffix}",
            }
        )
        frame[f"worst_period{suffix}"] = [
            int(flows[c].idxmin() if "vm" in c else flows[c].idxmax()) for c in column
        ]
        over = (flows[f"transformer_loading_percent{suffix}"] > 100).sum()
        frame[f"violation_periods{suffix}"] = np.where(frame["kind"] == "transformer", over, 0)
    return frame.drop(columns=["a", "b"])


def _violations(flows, names):
    parts = []
    for stage, suffix in (("cleared", ""), ("metered", ""), ("baseline", "_baseline")):
        over = flows[flows[f"transformer_loading_percent{suffix}"] > 100]
        parts.append(
            pd.DataFrame(
                {
                    "period": over["period"],
                    "start": over["start"],
                    "stage": stage,
                    "kind": "transformer_loading",
                    "element": "T1",
                    "value": over[f"transformer_loading_percent{suffix}"],
                    "limit": 100.0,
                    "participants": "; ".join(names[:3]),
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


def _money(names, starts, metered, base, load, pv, pv_peak, prices):
    """Bills at the pool's price (with) and at the retailer's two prices (without)."""
    periods, homes = metered.shape
    price = prices["price"].fillna(0).to_numpy()[:, None]
    energy = metered * HOURS
    with_market = np.maximum(energy, 0) * price - np.maximum(-energy, 0) * price
    without = np.maximum(base, 0) * HOURS * RETAIL - np.maximum(-base, 0) * HOURS * FEED_IN
    network = np.maximum(energy, 0) * 0.15
    cost = (with_market + network).sum(axis=0)
    cost_baseline = (without + np.maximum(base, 0) * HOURS * 0.15).sum(axis=0)
    consumption, production = load.sum(axis=0) * HOURS, pv.sum(axis=0) * HOURS
    imported, exported = np.maximum(energy, 0).sum(axis=0), np.maximum(-energy, 0).sum(axis=0)
    participants = pd.DataFrame(
        {
            "participant": names,
            "kind": "household",
            "bus": [f"bus {k + 2}" for k in range(homes)],
            "pv_peak_kw": pv_peak,
            "battery_kwh": np.where(pv_peak > 0, 8.0, 0.0),
            "ev": False,
            "heat_pump": False,
            "consumption_kwh": consumption,
            "production_kwh": production,
            "import_kwh": imported,
            "export_kwh": exported,
            "cost": cost,
            "cost_baseline": cost_baseline,
            "gain": cost_baseline - cost,
            "self_sufficiency": 1 - imported / consumption,
            "self_consumption": 1
            - np.divide(exported, production, out=np.full(homes, np.nan), where=production > 0),
        }
    )
    days = (np.arange(periods) // 96).astype(int)
    day_names = [str(starts[k * 96])[:10] for k in range(days.max() + 1)]

    def daily(values):
        return np.stack([np.bincount(days, weights=values[:, k]) for k in range(homes)], axis=1).ravel()

    invoices = pd.DataFrame(
        {
            "day": np.repeat(day_names, homes),
            "participant": np.tile(names, len(day_names)),
            "local_bought_kwh": daily(np.maximum(energy, 0)) / 3,
            "local_sold_kwh": daily(np.maximum(-energy, 0)) / 3,
            "retail_kwh": daily(np.maximum(energy, 0)) * 2 / 3,
            "feed_in_kwh": daily(np.maximum(-energy, 0)) * 2 / 3,
            "imbalance_kwh": 0.0,
            "energy_charge": daily(np.maximum(with_market, 0)),
            "energy_credit": daily(np.maximum(-with_market, 0)),
            "imbalance_charge": 0.0,
            "network_charge": daily(network),
            "taxes": 0.0,
            "standing": 0.0,
            "total": daily(with_market + network),
            "total_baseline": daily(without + np.maximum(base, 0) * HOURS * 0.15),
        }
    )
    invoices["gain"] = invoices["total_baseline"] - invoices["total"]
    return participants, invoices


def _kpis(tables):
    flows, people, hours = tables.flows, tables.participants, HOURS
    volume = float(tables.prices["local_volume_kwh"].sum())
    kpis = {
        "scenario": "village",
        "periods": len(flows),
        "periods_planned": len(flows),
        "participants": len(people),
        "mechanism": "pay_as_cleared",
        "ems": "rule_based",
        "forecast": "seasonal",
        "bidding": "truthful",
        "seed": 7,
        "currency": "EUR",
        "cost_total_eur": float(people["cost"].sum()),
        "cost_total_baseline_eur": float(people["cost_baseline"].sum()),
        "gain_total_eur": float(people["gain"].sum()),
        "participants_better_off": int((people["gain"] > 0).sum()),
        "local_volume_kwh": volume,
        "mean_price_eur_per_kwh": float(tables.prices["price"].mean()),
        "consumption_kwh": float(people["consumption_kwh"].sum()),
        "consumption_kwh_baseline": float(people["consumption_kwh"].sum()),
        "event_hash": "5f" * 32,
    }
    for suffix, stage in (("", "metered"), ("_baseline", "baseline")):
        column = flows.add_prefix("x").rename(columns=lambda c: c[1:])
        kpis |= {
            f"self_sufficiency{suffix}": 0.41 if not suffix else 0.33,
            f"self_consumption{suffix}": 0.72 if not suffix else 0.55,
            f"losses_kwh{suffix}": float(column[f"losses_kw{suffix}"].sum() * hours),
            f"transformer_loading_max_percent{suffix}": float(
                column[f"transformer_loading_percent{suffix}"].max()
            ),
            f"line_loading_max_percent{suffix}": float(column[f"line_loading_percent{suffix}"].max()),
            f"vm_min_pu{suffix}": float(column[f"vm_min_pu{suffix}"].min()),
            f"vm_max_pu{suffix}": float(column[f"vm_max_pu{suffix}"].max()),
            f"reverse_flow_hours{suffix}": float(column[f"reverse_flow{suffix}"].sum() * hours),
            f"peak_import_kw{suffix}": float(column[f"import_kw{suffix}"].max()),
            f"peak_export_kw{suffix}": float(-column[f"import_kw{suffix}"].min()),
            f"curtailed_kwh{suffix}": 0.0,
            f"energy_not_served_kwh{suffix}": 0.0,
            f"violation_periods{suffix}": int(
                tables.violations.loc[tables.violations["stage"] == stage, "period"].nunique()
            ),
        }
    return kpis
