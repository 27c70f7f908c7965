"""The pages keep up with the program: links lead somewhere, references are complete, examples run."""

import re
from pathlib import Path
from typing import get_args

import pytest
from pydantic import BaseModel

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
REFERENCE = ROOT / "docs" / "reference"


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def slug(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", page.read_text(encoding="utf-8")):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), f"{name_of(page)} links to {target}, which is not there"
        if anchor:
            headings = re.findall(r"^#+ (.+)$", file.read_text(encoding="utf-8"), flags=re.MULTILINE)
            assert anchor in map(slug, headings), f"{name_of(page)} links to {target}: no such heading"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_page_can_be_reached_from_the_readme(page: Path) -> None:
    seen: set[Path] = set()
    todo = [ROOT / "README.md"]
    while todo:
        here = todo.pop()
        if here in seen or here.suffix != ".md" or not here.exists():
            continue
        seen.add(here)
        targets = re.findall(r"\]\(([^)#]+)", here.read_text(encoding="utf-8"))
        todo += [(here.parent / target).resolve() for target in targets if "://" not in target]
    assert page in seen


def scenario_keys(model: type[BaseModel], prefix: str = "") -> set[str]:
    """Return the dotted keys of the scenario file, with the sections' own names left out."""
    keys: set[str] = set()
    for name, field in model.model_fields.items():
        key = f"{prefix}{field.alias or name}"
        kinds = get_args(field.annotation) or (field.annotation,)  # a group may also be null
        groups = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)]
        if groups:
            keys |= scenario_keys(groups[0], f"{key}.")
        elif not field.exclude:
            keys.add(key)
    return keys


def test_reference_names_every_key_of_a_scenario_and_no_other() -> None:
    from gridagora.scenario.spec import ScenarioSpec

    text = (REFERENCE / "scenario.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]
    told = {key for row in rows for key in re.findall(r"`([a-z_.]+)`", row)}
    known = scenario_keys(ScenarioSpec)
    sections = {key.split(".")[0] for key in known}
    assert known - told == set(), "add these keys to docs/reference/scenario.md"
    assert {key for key in told if key.split(".")[0] in sections} - known == set(), "these keys do not exist"


def test_reference_names_every_participant_column() -> None:
    from gridagora.scenario.spec import ParticipantSpec

    text = (REFERENCE / "scenario.md").read_text(encoding="utf-8")
    missing = [name for name in ParticipantSpec.model_fields if f"`{name}`" not in text]
    assert missing == []


def test_reference_names_every_command_and_option() -> None:
    import typer.main

    from gridagora.cli import app

    text = (REFERENCE / "cli.md").read_text(encoding="utf-8")
    for name, command in typer.main.get_command(app).commands.items():
        assert f"gridagora {name}" in text
        for option in command.params:
            for word in option.opts:
                assert not word.startswith("--") or f"`{word}" in text, f"{name} {word} is not told"


def python_blocks(page: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), flags=re.DOTALL)


def test_readme_shows_one_example_of_ten_lines() -> None:
    blocks = python_blocks("README.md")
    assert len(blocks) == 1
    assert len(blocks[0].splitlines()) <= 10


@pytest.mark.parametrize("page", [name_of(page) for page in PAGES if python_blocks(name_of(page))])
def test_python_of_a_page_runs(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for block in python_blocks(page):
        exec(block, names)
    if page == "README.md":
        assert (tmp_path / "village.html").stat().st_size > 100_000


def test_zones_page_shows_what_it_prints(capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, object] = {}
    for block in python_blocks("docs/how-to/zones.md"):
        exec(block, names)
    printed = capsys.readouterr().out
    text = (ROOT / "docs/how-to/zones.md").read_text(encoding="utf-8")
    (shown,) = re.findall(r"```text\n(.*?)```", text, flags=re.DOTALL)
    assert shown in printed
    for result in re.findall(r"print\(.*\)  # (.+)", text):
        assert result in printed


def test_files_of_the_flexibility_study_are_a_scenario_that_runs(tmp_path: Path) -> None:
    import gridagora as ga
    from gridagora.bootstrap import prepare

    text = (ROOT / "docs/how-to/flexibility-study.md").read_text(encoding="utf-8")
    for kind, name in (("csv", "participants.csv"), ("yaml", "street.yaml")):
        (block,) = re.findall(rf"```{kind}\n(.*?)```", text, flags=re.DOTALL)
        (tmp_path / name).write_text(block, encoding="utf-8")
    study = prepare(tmp_path / "street.yaml", overrides={}).study
    assert study.flexibility is not None
    assert (study.flexibility.demand, study.flexibility.compare) == ("rebound_aware", ("impact",))
    assert [home.participant for home in study.homes] == ["elm", "farm", "home", "mill", "oak"]
    changes = {"flexibility.demand": "impact", "flexibility.payment": "vcg"}
    assert prepare(tmp_path / "street.yaml", overrides=changes).study.flexibility.payment == "vcg"
    assert prepare(tmp_path / "street.yaml", overrides={"flexibility": None}).study.flexibility is None
    run = ga.run(tmp_path / "street.yaml")
    settled = run.flex_strategies.iloc[0]
    assert settled.overloaded_before_h > 0
    assert (settled.overloaded_after_h, settled.newly_overloaded_h) == (0.0, 0.0)
    assert round(settled.loading_max_before_percent) == 83
    told = set(re.findall(r"`(flex_\w+)`", text))
    assert told == {name for name in dir(run) if name.startswith("flex_")}
