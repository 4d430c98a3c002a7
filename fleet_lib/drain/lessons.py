"""What a reader had to import, to compile and to ask git, so that the next one need not: each is
forked from the drainer, and what it learned would end with it. A drainer that lingers learns it when
it is woken; one that ends after a single turn does not pay for that."""

import contextlib
import sys

from fleet_lib import lazy
from fleet_lib.turn import remembered

_Lesson = tuple[list[str], list[int], remembered.Answers]  # modules, numbers of lazy expressions


class Lessons:
    """In the drainer."""

    def __init__(self) -> None:
        self._modules: dict[str, None] = {}
        self._expressions: set[int] = set()

    def note(self, lesson: _Lesson) -> None:
        modules, expressions, answers = lesson
        remembered.learn(answers)
        self._modules |= dict.fromkeys(modules)
        self._expressions |= set(expressions)

    def learn(self) -> None:
        """Import and compile what was noted."""
        for name in self._modules:
            with contextlib.suppress(ImportError):
                __import__(name)
        lazy.compile_now(self._expressions)
        self._modules, self._expressions = {}, set()


class Pupil:
    """In a reader, made when it begins."""

    def __init__(self) -> None:
        self._modules = len(sys.modules)
        self._expressions = lazy.number()
        lazy.used.clear()

    def lesson(self) -> _Lesson:
        modules = list(sys.modules)[self._modules :]  # in the order in which they came
        expressions = [number for number in lazy.used if number < self._expressions]
        return modules, expressions, remembered.fresh
