"""A short run of the fuzzer on every target. It starts with the corpus."""

import subprocess
import sys
from pathlib import Path

import pytest
from support import ROOT

CORPUS = ROOT / "fuzz" / "corpus"


def test_every_target_has_a_corpus() -> None:
    text = (ROOT / "fuzz" / "targets.py").read_text()
    named = text.partition("TARGETS: dict")[2]
    for folder in CORPUS.iterdir():
        assert f'"{folder.name}":' in named
        assert any(folder.iterdir())
    assert named.count('": ') == len(list(CORPUS.iterdir()))


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="atheris has wheels for Linux")
@pytest.mark.parametrize("name", sorted(path.name for path in CORPUS.iterdir()))
def test_fuzzer_finds_no_input_that_breaks_the_target(name: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "fuzz", name, "--runs", "1000"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
