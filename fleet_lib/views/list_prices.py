"""List prices from the price library, genai-prices, which is slow to import: it is, when a model or
the library is new. What it says is stored for everything else, and only `fleet usage` and the
gateway ask here. Nothing here asks the network.
"""

import contextlib
import itertools
import re
import sqlite3
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fleet_lib import clock, paths
from fleet_lib.errors import DatabaseUnusable
from fleet_lib.store import db
from fleet_lib.store.usage import QUARTER_SECONDS
from fleet_lib.store.usage_rates import Kind, Prices, Rate, UsageRateRepo

if TYPE_CHECKING:
    import genai_prices

_LIBRARY = "genai_prices"
_MILLION = 1_000_000
_BEGINNING, _END = date(2000, 1, 1), 1 << 40  # _END: a quarter of an hour that never comes
# Bedrock's regions and versions, Vertex's and OpenRouter's forms of a model's name.
_BEFORE = re.compile(r"^(?:.*[/.])?(?=claude)")
_AFTER = re.compile(r"(?:\[\w+\])?(?:-v\d+(?::\d+)?)?$")
# A message of each tier. What one of its tokens costs is asked with a message of that size: a sum of
# messages would cost what one message of all their context costs.
_CONTEXTS = {0: 1000, 100_000: 150_000, 200_000: 500_000}


def current_rates(connection: sqlite3.Connection, home: str) -> list[Rate]:
    """The rates of all kinds that were used. Those that this library was not asked for yet are
    asked for and stored; if they cannot be stored, they are asked for again next time."""
    repo = UsageRateRepo(connection)
    kinds, rates = repo.kinds(), repo.rates()
    library = _library_version()
    known = {rate.kind_id for rate in rates if rate.library == library}
    if all(kind.kind_id in known for kind in kinds):
        return rates
    rates = [rate for kind in kinds for rate in _rates_of(kind, library)]
    with contextlib.suppress(sqlite3.Error, DatabaseUnusable, OSError):
        path = paths.database(home)
        with contextlib.closing(db.connect(path)) as writer, db.transaction(writer):
            UsageRateRepo(writer).save(rates)
    return rates


def _library_version() -> str:
    """The library's version, by the name of the folder that its installer made. To import it, or
    importlib.metadata, would take longer than the rest of the command."""
    for folder in sys.path:
        for found in Path(folder).glob(f"{_LIBRARY}-*.dist-info"):
            return found.stem.removeprefix(f"{_LIBRARY}-")
    return ""


def _rates_of(kind: Kind, library: str) -> Iterator[Rate]:
    """The kind's rates in the order of their time."""
    starts = sorted(_starts(kind))
    bounds = [0, *(_quarter(start) for start in starts[1:]), _END]
    for start, (begin, end) in zip(starts, itertools.pairwise(bounds), strict=True):
        usd = _usd(kind, start)
        yield Rate(kind.kind_id, begin, end, usd, library, clock.now())


def _starts(kind: Kind) -> set[date]:
    """The days on which a price of the kind began."""
    import genai_prices

    found = {_BEGINNING}
    try:
        model = _priced(kind, genai_prices.Usage(input_tokens=1), _BEGINNING).model
    except LookupError:
        return found
    prices = model.prices if isinstance(model.prices, list) else []
    variants = [each for each in model.price_variants or () if "speed" in each.when]
    for each in (*prices, *variants):
        start = getattr(each.constraint, "start_date", None)
        if start is not None:
            found.add(start)
    return found


def _usd(kind: Kind, day: date) -> Prices:
    import genai_prices

    context = _CONTEXTS[kind.tier]

    def price(**tokens: int) -> float:
        usage = genai_prices.Usage(input_tokens=context, **tokens)
        return float(_priced(kind, usage, day).total_price)

    try:
        plain, of_a_million = price(), _MILLION / context
        return Prices(
            input=plain * of_a_million,
            output=price(output_tokens=_MILLION) - plain,
            cache_read=price(cache_read_tokens=context) * of_a_million,
            cache_write_5m=price(cache_write_tokens=context) * of_a_million,
            cache_write_1h=price(cache_write_tokens=context, cache_write_1h_tokens=context)
            * of_a_million,
        )
    except LookupError:
        return Prices()


def _priced(kind: Kind, usage: "genai_prices.Usage", day: date) -> Any:
    """Raises LookupError for a model that the library does not know."""
    import genai_prices

    return genai_prices.calc_price(
        usage,
        _AFTER.sub("", _BEFORE.sub("", kind.model.lower())),
        provider_id="anthropic",
        genai_request_timestamp=datetime(day.year, day.month, day.day, tzinfo=UTC),
        price_context={"speed": kind.speed} if kind.speed == "fast" else None,
    )


def _quarter(day: date) -> int:
    """The first quarter of an hour of a day, which begins and ends in UTC as prices do."""
    return (day - date(1970, 1, 1)) // timedelta(seconds=QUARTER_SECONDS)
