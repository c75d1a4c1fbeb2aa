"""The examples run as they stand, against a real aka."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from support import PATIENCE_S, Aka

FOLDER = Path(__file__).resolve().parent.parent
EXAMPLES = re.findall(r"^```python\n(.*?)^```$", (FOLDER / "README.md").read_text(), re.M | re.S)


def run(aka: Aka, *command: str) -> str:
    done = subprocess.run(
        [sys.executable, *command], capture_output=True, text=True, timeout=2 * PATIENCE_S, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_there_are_examples() -> None:
    assert len(EXAMPLES) == 5


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_an_example_of_the_readme_runs(aka: Aka, tmp_path: Path, number: int) -> None:
    text = EXAMPLES[number]
    assert "127.0.0.1:50051" in text
    file = tmp_path / "example.py"
    # A busy machine may take longer than the default timeout.
    text = re.sub(r"Client\((\[?\"127.0.0.1:50051\"\]?)\)", r"Client(\1, timeout_ms=20_000)", text)
    assert "timeout_ms" in text
    file.write_text(text.replace("127.0.0.1:50051", aka.address))
    output = run(aka, str(file))
    assert "not known" not in output


def test_the_benchmark_runs(aka: Aka) -> None:
    output = run(aka, str(FOLDER / "examples/benchmark.py"), aka.address, "0.2")
    assert len(re.findall(r"ids/s", output)) == 8
