"""The page about extending the live market is followed, line by line, on a copy of the program."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "how-to" / "extend-live.md"


def blocks(kind):
    """Return the code blocks of a kind with the file that their first line names."""
    text = PAGE.read_text(encoding="utf-8")
    found = re.findall(rf"^```{kind}\n(?:#|---) (\S+)\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)
    assert len(found) == text.count(f"```{kind}\n")
    return found


def followed(folder):
    """Copy the program and make the changes of the page."""
    ignored = shutil.ignore_patterns("*.nbc", "*.nbi")
    shutil.copytree(ROOT / "src" / "gridagora", folder / "gridagora", ignore=ignored)
    for name, text in blocks("py"):
        assert not (folder / name).exists(), f"{name} is there already"
        (folder / name).write_text(text, encoding="utf-8")
    for name, change in blocks("diff"):
        lines = change.splitlines(keepends=True)
        old = "".join(line[1:] for line in lines if line[0] in " -").removesuffix("\n")
        new = "".join(line[1:] for line in lines if line[0] in " +").removesuffix("\n")
        text = (folder / name).read_text(encoding="utf-8")
        assert text.count(old) == 1, f"{name} does not have this once:\n{old}"
        (folder / name).write_text(text.replace(old, new), encoding="utf-8")


def test_who_follows_the_page_gets_what_it_says(tmp_path):
    followed(tmp_path)
    done = subprocess.run(
        [sys.executable, "try_it.py"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    (shown,) = re.findall(r"```text\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert done.stdout == shown
