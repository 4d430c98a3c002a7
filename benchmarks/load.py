"""What else the machine does while it is measured."""

import os
import resource
import time

import psutil

QUIET_SHARE = 0.05  # of all cores, used by others: the system's own work takes about a third of it
_BEFORE_SECONDS = 2.0


class Load:
    """Watches from its beginning to `words()`."""

    def __init__(self) -> None:
        self.before = _others(_BEFORE_SECONDS)
        self._began = time.monotonic()
        self._busy, self._own = _busy(), _own()

    def during(self) -> float:
        """The share of all cores that other programs have used since the beginning."""
        seconds = (time.monotonic() - self._began) * (os.cpu_count() or 1)
        others = (_busy() - self._busy) - (_own() - self._own)
        return max(0.0, others / seconds)

    def words(self) -> str:
        """For the page's top."""
        during = self.during()
        if max(self.before, during) <= QUIET_SHARE:
            return f"The machine was otherwise idle: other programs used {during:.0%} of its cores."
        return (
            "**Measured beside other work**, so every time here is too long and some ratios are"
            f" wrong: other programs used {self.before:.0%} of the cores before and {during:.0%}"
            " during the measurement."
        )


def _others(seconds: float) -> float:
    """The share of all cores that was used while this process slept."""
    busy, began = _busy(), time.monotonic()
    time.sleep(seconds)
    return (_busy() - busy) / ((time.monotonic() - began) * (os.cpu_count() or 1))


def _busy() -> float:
    """CPU seconds of the whole machine."""
    times = psutil.cpu_times()
    idle = times.idle + getattr(times, "iowait", 0.0)
    return float(sum(times[:8]) - idle)  # the fields after `steal` are counted in the first


def _own() -> float:
    """CPU seconds of this process and of the children that it waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)
