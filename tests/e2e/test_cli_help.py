"""The command line from outside: help, completion and bad usage, each in a process of its own."""

import os
import subprocess
import sys

import pytest

COMMANDS = ("run", "scenarios", "template", "auction", "compare", "invoices", "proof", "bench", "version")


def gridagora(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    program = "from gridagora.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", program, *words],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        check=False,
    )


def test_help_names_every_command() -> None:
    done = gridagora("--help")
    assert done.returncode == 0
    for command in COMMANDS:
        assert f"  {command} " in done.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_each_command_has_an_example(command: str) -> None:
    done = gridagora(command, "--help", COLUMNS="200")
    assert done.returncode == 0
    assert f"Example: gridagora {command}" in done.stdout


def test_version_names_what_decides_the_numbers() -> None:
    done = gridagora("version")
    assert done.stdout.startswith("gridagora 0.")
    assert "power-grid-model" in done.stdout


@pytest.mark.parametrize(
    "words", [("nothing",), ("run",), ("run", "village"), ("scenarios", "--no-such-option")]
)
def test_bad_usage_ends_with_exit_code_2_and_one_hint(words: tuple[str, ...]) -> None:
    done = gridagora(*words)
    assert done.returncode == 2
    assert "Usage:" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_script_is_printed(shell: str) -> None:
    done = gridagora(_GRIDAGORA_COMPLETE=f"source_{shell}")
    assert done.returncode == 0, done.stderr
    assert "_GRIDAGORA_COMPLETE" in done.stdout


def test_completion_knows_commands_and_scenarios() -> None:
    done = gridagora(_GRIDAGORA_COMPLETE="complete_bash", COMP_WORDS="gridagora sc", COMP_CWORD="1")
    assert done.stdout.split() == ["scenarios"]
    done = gridagora(_GRIDAGORA_COMPLETE="complete_bash", COMP_WORDS="gridagora run vil", COMP_CWORD="2")
    assert done.stdout.split() == ["village"]
