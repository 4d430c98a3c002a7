"""What jobs may cost: the budget of one job and the budget of a day."""

import sqlite3

from fleet_lib.config import Config
from fleet_lib.errors import BadInput
from fleet_lib.jobs.request import JobRequest
from fleet_lib.store.job_runs import JobRunRepo, start_of_day

LEAST_BUDGET_USD = 0.01  # with less, no job is started


def left_today(connection: sqlite3.Connection, settings: Config) -> float:
    """US dollars that jobs started today may still cost."""
    return settings.jobs.max_usd_per_day - JobRunRepo(connection).spent_since(start_of_day())


def used_up_today(settings: Config) -> str:
    """Why no more jobs are started today."""
    return (
        f"the daily budget of ${settings.jobs.max_usd_per_day:.2f} for jobs is used up;"
        " raise it with `fleet config set jobs.max_usd_per_day`"
    )


def check_max_usd(request: JobRequest, settings: Config) -> None:
    """Raises BadInput if a request asks for more than one job may cost."""
    if request.max_usd and request.max_usd > settings.jobs.max_usd:
        raise BadInput(
            f"${request.max_usd:.2f} is more than one job may cost (${settings.jobs.max_usd:.2f});"
            " raise the limit with `fleet config set jobs.max_usd`"
        )


def budget_of(request: JobRequest, settings: Config, left_usd: float) -> float:
    """US dollars that a job may cost, of what is left today."""
    limit = settings.jobs.max_usd
    return min(request.max_usd or limit, limit, left_usd)
