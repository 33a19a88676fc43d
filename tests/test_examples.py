"""examples/ keep their word: each runs as it stands and shows what it says."""

import re
import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).parents[1] / "examples"


def output(name, folder):
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / name)],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert list(folder.iterdir()) == []
    return done.stdout


def test_agent_memory(tmp_path):
    before, after = output("agent_memory.py", tmp_path).split("without what bob said")
    assert "[turn-004] ada: Olav Berg teaches at the school in Levanger" in before
    assert "bob: I met Olav Berg" in before and "bob:" not in after


def test_compare_presets(tmp_path):
    shares = re.findall(
        r"^(\w+) +([\d.]+) %$", output("compare_presets.py", tmp_path), re.MULTILINE
    )
    assert [name for name, _ in shares] == ["bm25", "dense", "walk", "default"]
    by_name = {name: float(share) for name, share in shares}
    assert by_name["default"] > by_name["dense"]


def test_own_embedder(tmp_path):
    assert output("own_embedder.py", tmp_path).startswith("1 Limmat ")


def test_every_example_is_run_and_listed():
    names = {path.name for path in EXAMPLES.glob("*.py")}
    tests = Path(__file__).read_text("utf-8")
    listed = (EXAMPLES / "README.md").read_text("utf-8")
    missing = [name for name in names if f'output("{name}"' not in tests or name not in listed]
    assert missing == []
