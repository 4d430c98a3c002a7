"""Coverage-guided fuzzing of everything that reads what others wrote.

    python -m fuzz [TARGET …] [--runs 100000] [--seed N]

Each target runs in a process of its own. It begins with fuzz/corpus/TARGET (examples, and whatever once broke
something) and with the captured payloads and transcripts of tests/payloads. An input that breaks a target is
written to fuzz/found and named; move it into the corpus when it is fixed. Needs atheris.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

FOLDER = Path(__file__).resolve().parent


def main() -> int:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("targets", nargs="*", metavar="TARGET")
    options.add_argument("--runs", type=int, default=100_000)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--inside", help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.inside:
        return _fuzz(given.inside, given.runs, given.seed)
    names = given.targets or sorted(path.name for path in (FOLDER / "corpus").iterdir())
    broken = 0
    for name in names:
        began = time.monotonic()
        command = [sys.executable, "-m", "fuzz", "--inside", name]
        command += ["--runs", str(given.runs), "--seed", str(given.seed)]
        done = subprocess.run(
            command, cwd=FOLDER.parent, capture_output=True, text=True, check=False
        )
        word = "ok" if done.returncode == 0 else "BROKEN"
        print(
            f"{word:7} {name:11} {given.runs} inputs, {time.monotonic() - began:.0f} s", flush=True
        )
        if done.returncode:
            broken += 1
            print("\n".join((done.stdout + done.stderr).splitlines()[-25:]), flush=True)
    return 1 if broken else 0


def _fuzz(name: str, runs: int, seed: int) -> int:
    import atheris

    with atheris.instrument_imports(include=["fleet_lib", "commander"]):
        from fuzz import targets

    target = targets.TARGETS[name]

    def once(data: bytes) -> None:
        began = time.process_time()
        target(data)
        took = time.process_time() - began
        assert took < 1, f"{took:.1f} s for {len(data)} bytes"

    found = FOLDER / "found"
    found.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as grown:
        for number, example in enumerate(_examples(name)):
            once(example.read_bytes())
            shutil.copy(example, Path(grown) / str(number))
        arguments = [sys.argv[0], f"-runs={runs}", f"-seed={seed}", "-max_len=4096", "-timeout=20"]
        arguments += ["-rss_limit_mb=3000", f"-artifact_prefix={found}/{name}-", "-verbosity=0"]
        atheris.Setup([*arguments, grown], once)
        atheris.Fuzz()
    return 0


def _examples(name: str) -> list[Path]:
    """What a target begins with: its corpus, and what real clients wrote of that kind."""
    captured = {"payload": "*/*.json", "transcript": "*/transcript*.jsonl"}.get(name)
    payloads = FOLDER.parent / "tests" / "payloads"
    examples = list((FOLDER / "corpus" / name).iterdir())
    return sorted(examples + (list(payloads.glob(captured)) if captured else []))


if __name__ == "__main__":
    sys.exit(main())
