"""What the command line says and which exit code it gives, with a run that costs nothing."""

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gridagora import cli
from gridagora.errors import Fault, GridAgoraError, InputError

KPIS = {
    "scenario": "sample",
    "cost_total_eur": 1234.5,
    "cost_total_baseline_eur": 1300.0,
    "self_sufficiency": 0.41,
    "vm_min_pu": float("nan"),
    "event_hash": "ab12",
}


class SampleRun:
    """Stands for a finished run; writes one file."""

    def __init__(self, *, finished: bool = True) -> None:
        self.kpis = KPIS
        self.finished = finished

    def write(self, directory: Path) -> None:
        directory.mkdir(parents=True)
        (directory / "kpis.json").write_text("{}")


@pytest.fixture
def use_run(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[..., Any]], None]:
    """Return a function that puts another run function in place."""
    from gridagora.studies import run as study

    return lambda run: monkeypatch.setattr(study, "run", run)


def call(*words: object) -> int:
    with pytest.raises(SystemExit) as end:
        cli.main([str(word) for word in words])
    return int(end.value.code or 0)


def test_run_passes_settings_on(use_run, tmp_path, capsys) -> None:
    seen: dict[str, Any] = {}

    def run(scenario, **options):
        seen.update(options, scenario=scenario)
        return SampleRun()

    use_run(run)
    words = [
        "--set",
        "market.mechanism=vickrey",
        "--set",
        "name=a=b",
        "--set",
        "agents.margin=0.1",
        "--ems",
        "optimal",
        "--seed",
        "3",
    ]
    assert call("run", "village", "-o", tmp_path / "out", *words) == 0
    assert seen["scenario"] == "village"
    assert seen["seed"] == 3
    assert seen["overrides"] == {
        "market.mechanism": "vickrey",
        "name": "a=b",
        "agents.margin": 0.1,
        "agents.ems": "optimal",
    }


def test_run_ends_with_key_figures_hash_and_report(use_run, tmp_path, capsys) -> None:
    use_run(lambda scenario, **options: SampleRun())
    assert call("run", "village", "-o", tmp_path / "out") == 0
    lines = capsys.readouterr().out.splitlines()
    assert any("1,234.50" in line and "1,300.00" in line for line in lines)
    assert any("41.0%" in line for line in lines)
    assert any("Traded locally [kWh]" in line for line in lines), "units are no markup"
    assert any("Voltage, lowest" in line and " - " in line for line in lines), "NaN is shown as a dash"
    assert "Event hash: ab12" in lines[-2]
    assert lines[-1].endswith(str(tmp_path / "out" / "report.html"))


def test_quiet_prints_the_report_path_alone(use_run, tmp_path, capsys) -> None:
    use_run(lambda scenario, **options: SampleRun())
    assert call("run", "village", "-o", tmp_path / "out", "--quiet") == 0
    assert capsys.readouterr() == (f"{tmp_path / 'out' / 'report.html'}\n", "")


def test_first_interrupt_keeps_what_is_finished(use_run, tmp_path, capsys) -> None:
    def run(scenario, *, progress, stop, **options):
        progress(1, 10, "market")
        assert not stop()
        signal.raise_signal(signal.SIGINT)
        assert stop()
        return SampleRun(finished=False)

    use_run(run)
    assert call("run", "village", "-o", tmp_path / "out") == 130
    assert (tmp_path / "out" / "kpis.json").exists()
    assert "holds the sessions that were finished" in capsys.readouterr().err


def test_second_interrupt_stops_at_once_and_writes_nothing(use_run, tmp_path, capsys) -> None:
    def run(scenario, *, progress, stop, **options):
        progress(1, 10, "market")
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        return SampleRun()

    use_run(run)
    assert call("run", "village", "-o", tmp_path / "out") == 130
    assert list(tmp_path.iterdir()) == []
    assert "Nothing was written" in capsys.readouterr().err


def test_interrupt_while_reading_input_stops_at_once(use_run, tmp_path) -> None:
    use_run(lambda scenario, **options: signal.raise_signal(signal.SIGINT))
    assert call("run", "village", "-o", tmp_path / "out") == 130
    assert list(tmp_path.iterdir()) == []


def test_interrupt_handler_is_put_back(use_run, tmp_path) -> None:
    before = signal.getsignal(signal.SIGINT)
    use_run(lambda scenario, **options: SampleRun())
    call("run", "village", "-o", tmp_path / "out")
    assert signal.getsignal(signal.SIGINT) is before


def test_all_faults_are_told_with_exit_code_2(use_run, tmp_path, capsys) -> None:
    faults = [
        Fault(source="a.yaml", place="line 3, seed", value="x", reason="is no number", fix="write 1"),
        Fault(source="b.csv", place="row 7", value=[1], reason="is [bold]twice[/bold]", fix="remove it"),
    ]

    def run(scenario, **options):
        raise InputError(faults)

    use_run(run)
    assert call("run", "village", "-o", tmp_path / "out") == 2
    told = " ".join(capsys.readouterr().err.split())
    assert "2 faults" in told
    for fault in faults:
        for part in (fault.source, fault.reason.split()[0], fault.fix.split()[0], repr(fault.value)):
            assert part in told
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("width", ["60", "200"])
def test_long_values_are_folded_and_never_cut(use_run, tmp_path, capsys, monkeypatch, width) -> None:
    value = "a-very-long-value-" * 8
    monkeypatch.setenv("COLUMNS", width)

    def run(scenario, **options):
        raise InputError([Fault(source="s", place="p", value=value, reason="r", fix="f")])

    use_run(run)
    call("run", "village", "-o", tmp_path / "out")
    rows = capsys.readouterr().err.splitlines()
    assert "".join("".join(rows).split()).count("-") >= value.count("-")


@pytest.mark.parametrize("error", [GridAgoraError("no answer"), PermissionError("no answer")])
def test_expected_errors_are_one_line_with_exit_code_1(use_run, tmp_path, capsys, error) -> None:
    def run(scenario, **options):
        raise error

    use_run(run)
    assert call("run", "village", "-o", tmp_path / "out") == 1
    assert capsys.readouterr().err.splitlines() == ["Error: no answer"]


def test_a_defect_shows_its_traceback_only_with_debug(use_run, tmp_path, capsys) -> None:
    def run(scenario, **options):
        raise ZeroDivisionError("sample defect")

    use_run(run)
    words = ["run", "village", "-o", str(tmp_path / "out")]
    assert call(*words) == 1
    told = capsys.readouterr().err
    assert "ZeroDivisionError: sample defect" in told
    assert "Traceback" not in told
    assert "--debug" in told
    with pytest.raises(ZeroDivisionError, match="sample defect"):
        cli.main([*words, "--debug"])


def test_settings_without_a_value_are_all_told(tmp_path, capsys) -> None:
    assert (
        call("run", "village", "-o", tmp_path / "out", "--set", "one", "--set", "=two", "--set", "a=b") == 2
    )
    told = capsys.readouterr().err
    assert "2 faults" in told


def test_a_folder_of_other_files_is_not_replaced(use_run, tmp_path, capsys) -> None:
    (tmp_path / "thesis.md").write_text("years of work")
    assert call("run", "village", "-o", tmp_path) == 2
    assert (tmp_path / "thesis.md").read_text() == "years of work"


def test_bench_outside_a_checkout_says_where_to_go(monkeypatch, capsys, tmp_path) -> None:
    monkeypatch.setattr(cli, "__file__", str(tmp_path / "a" / "b" / "cli.py"))
    assert call("bench") == 1
    assert "make bench" in capsys.readouterr().err
