"""Times whole processes in one interleaved run: A B C A B C …, so that a machine that slows down slows
all of them. Figures are ratios of medians against the first command."""

import statistics
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field


@dataclass
class Command:
    name: str
    arguments: Sequence[str]
    stdin: bytes = b""
    environment: dict[str, str] = field(default_factory=dict)
    before_each: Callable[[], None] = lambda: None
    limit: float | None = None  # DESIGN section 11, as a ratio
    seconds: list[float] = field(default_factory=list)


def run(commands: Sequence[Command], rounds: int, warmup: int = 3) -> None:
    for number in range(rounds + warmup):
        for command in commands:
            command.before_each()
            begun = time.perf_counter()
            subprocess.run(
                command.arguments,
                input=command.stdin,
                env=command.environment,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                check=True,
            )
            if number >= warmup:
                command.seconds.append(time.perf_counter() - begun)


def table(commands: Sequence[Command]) -> str:
    """Markdown: median milliseconds, quartiles, ratio to the first command, and the limit."""
    base = statistics.median(commands[0].seconds)
    lines = ["| what | median ms | quartiles | ratio | limit |", "|---|---|---|---|---|"]
    for command in commands:
        low, middle, high = (1000 * q for q in statistics.quantiles(command.seconds, n=4))
        limit = f"{command.limit:.1f}" if command.limit else ""
        ratio = statistics.median(command.seconds) / base
        lines.append(
            f"| {command.name} | {middle:.1f} | {low:.1f} to {high:.1f} | {ratio:.2f} | {limit} |"
        )
    return "\n".join(lines)
