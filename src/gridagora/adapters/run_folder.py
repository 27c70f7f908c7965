"""The folder of a finished run, read back: what bills and proofs are made from."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from gridagora.errors import Fault, InputError, check_faults

if TYPE_CHECKING:
    import pandas as pd

NEEDED = {
    "trades": (
        "period",
        "start",
        "buyer",
        "seller",
        "quantity_wh",
        "price_micro_per_kwh",
        "seller_price_micro_per_kwh",
        "amount_micro",
    ),
    "invoices": ("day", "participant", "energy_charge", "energy_credit", "total"),
    "journal": ("entry", "period", "account", "amount_micro", "memo"),
    "prices": ("period", "start"),
}
"""Tables that bills and proofs need, and columns of them."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class RunFolder:
    """A finished run.

    Parameters
    ----------
    name : of the scenario
    currency : ISO code
    event_hash : hash of its last event
    trades, invoices, journal : its tables (docs/reference/tables-and-kpis.md)
    day : local date of each period, ``2016-06-01``
    """

    name: str
    currency: str
    event_hash: bytes
    trades: "pd.DataFrame"
    invoices: "pd.DataFrame"
    journal: "pd.DataFrame"
    day: "pd.Series[str]"

    @property
    def days(self) -> list[str]:
        """Local days of the run in their order."""
        return list(dict.fromkeys(self.day.tolist()))

    def by_days(self) -> Iterator[tuple[str, "RunFolder"]]:
        """Yield each local day with the rows of its tables."""
        return self._parts(10)

    def by_months(self) -> Iterator[tuple[str, "RunFolder"]]:
        """Yield each month, ``2016-06``, with the rows of its tables."""
        return self._parts(7)

    def _parts(self, letters: int) -> Iterator[tuple[str, "RunFolder"]]:
        """Cut the tables by the beginnings of dates; one part at a time, as a year of trades is large."""
        rows = {
            "trades": self.day.reindex(self.trades["period"]).str[:letters].to_numpy(),
            "journal": self.day.reindex(self.journal["period"]).str[:letters].to_numpy(),
            "invoices": self.invoices["day"].astype(str).str[:letters].to_numpy(),
        }
        groups = {name: getattr(self, name).groupby(part, sort=False).indices for name, part in rows.items()}
        for part in dict.fromkeys(self.day.str[:letters].tolist()):
            tables = {name: getattr(self, name).iloc[group.get(part, [])] for name, group in groups.items()}
            yield part, replace(self, **tables)

    @property
    def participants(self) -> list[str]:
        """All that have an account of their own, in the order of the accounts."""
        accounts = [str(account) for account in self.journal["account"].cat.categories]
        return [name.removeprefix("participant:") for name in accounts if name.startswith("participant:")]


def read_run_folder(folder: str | Path) -> RunFolder:
    """Read the tables of a run that ``gridagora run -o`` wrote.

    Raises
    ------
    InputError
        with every file or column that is missing or cannot be read.
    """
    place = Path(folder)
    if not place.is_dir():
        fix = "name a folder that `gridagora run -o` wrote"
        fault = Fault(source="run", place=str(place), value=place.name, reason="is no folder", fix=fix)
        raise InputError([fault])
    tables, faults = _tables(place)
    facts, more = _facts(place)
    check_faults([*faults, *more])
    import pandas as pd

    start = pd.to_datetime(tables["prices"]["start"]).dt.tz_localize("UTC").dt.tz_convert(facts["timezone"])
    return RunFolder(
        name=facts["scenario"],
        currency=facts["currency"],
        event_hash=bytes.fromhex(facts["event_hash"]),
        trades=tables["trades"],
        invoices=tables["invoices"],
        journal=tables["journal"].astype({"account": "category", "memo": "category"}),
        day=pd.Series(start.dt.strftime("%Y-%m-%d").to_numpy(), index=tables["prices"]["period"]),
    )


def _tables(place: Path) -> tuple[dict[str, "pd.DataFrame"], list[Fault]]:
    """Read the tables; tell every one that is not there or lacks a column."""
    import pandas as pd
    from pyarrow import ArrowInvalid

    tables: dict[str, pd.DataFrame] = {}
    faults = []
    for name, columns in NEEDED.items():
        file = place / f"{name}.parquet"
        try:
            tables[name] = pd.read_parquet(file)
        except (OSError, ArrowInvalid) as error:
            reason = "is missing" if not file.exists() else f"cannot be read ({error})"
            faults.append(_fault(file, file.name, reason))
            continue
        missing = [column for column in columns if column not in tables[name].columns]
        faults += [
            _fault(file, column, "is no column of it; the run is of an older version") for column in missing
        ]
    return tables, faults


def _facts(place: Path) -> tuple[dict[str, str], list[Fault]]:
    """Read name, currency, event hash and time zone."""
    from gridagora.scenario.spec import ScenarioSpec
    from gridagora.scenario.yaml_text import read_yaml

    faults, facts = [], {}
    file = place / "kpis.json"
    try:
        kpis = json.loads(file.read_text(encoding="utf-8"))
        facts = {name: str(kpis[name]) for name in ("scenario", "currency", "event_hash")}
        bytes.fromhex(facts["event_hash"])
    except OSError:
        faults.append(_fault(file, file.name, "is missing"))
    except (ValueError, KeyError, TypeError) as error:
        faults.append(_fault(file, str(error), "is not what a run writes"))
    scenario = place / "scenario.yaml"
    try:
        document = read_yaml(scenario.read_text(encoding="utf-8"), str(scenario))
        faults += document.faults
        default = ScenarioSpec.model_fields["timezone"].default
        data = document.data if isinstance(document.data, dict) else {}
        facts["timezone"] = str(data.get("timezone", default))
    except (OSError, UnicodeDecodeError):
        faults.append(_fault(scenario, scenario.name, "is missing or no text"))
    return facts, faults


def _fault(file: Path, value: str, reason: str) -> Fault:
    fix = "write the run again with `gridagora run -o`"
    return Fault(source=str(file.parent), place=file.name, value=value, reason=reason, fix=fix)
