"""The API's endpoints about projects: the overview, the roster, one project."""

from dataclasses import dataclass
from typing import Any

from starlette.requests import Request

from commander.gateway import usage_api
from commander.gateway.context import Context, text_of
from commander.gateway.openapi import Endpoint
from commander.gateway.queries import NoQuery, RosterQuery
from fleet_lib.errors import NotFound
from fleet_lib.records import as_dict
from fleet_lib.store.projects import Project, ProjectRepo
from fleet_lib.store.relay import RelayRepo
from fleet_lib.views import overview
from fleet_lib.views.places import web_address
from fleet_lib.views.projects import project_names
from fleet_lib.views.roster import roster
from fleet_lib.views.sessions import open_sessions
from fleet_lib.views.usage import in_words, today


class NamedProject(Project):
    name: str  # the repository's, or the id if several projects share that name


class ProjectPage(NamedProject):
    web: str | None  # where the repository is on the web


for record in (Project, NamedProject, ProjectPage):
    dataclass(init=False, repr=False, eq=False)(record)  # so that pydantic knows its fields


def show_overview(context: Context, request: Request, query: NoQuery) -> dict[str, Any]:
    with context.reading() as connection:
        usage_api.look_up_prices(connection, context.home)
        report = overview.overview(connection, context.home)
        used = today(connection)
        return report | {
            "sessions": open_sessions(connection),
            "usage_today": in_words(used) if used else None,
        }


def show_roster(context: Context, request: Request, query: RosterQuery) -> dict[str, Any]:
    with context.reading() as connection:
        usage_api.look_up_prices(connection, context.home)
        used = today(connection)
        machine = RelayRepo(connection).machine_filter(query.machine)
        return roster(connection, context.home, quiet=query.quiet, machine=machine) | {
            "usage_today": in_words(used) if used else None,
            "may_submit_jobs": context.queue.most(),
        }


def projects(context: Context, request: Request, query: NoQuery) -> list[NamedProject]:
    with context.reading() as connection:
        names = project_names(connection)
        return [
            NamedProject(**as_dict(project), name=names[project.project_id])
            for project in ProjectRepo(connection).get_all()
        ]


def project(context: Context, request: Request, query: NoQuery) -> ProjectPage:
    project_id = text_of(request, "project")
    with context.reading() as connection:
        found = ProjectRepo(connection).get(project_id)
        if found is None:
            raise NotFound(f"there is no project {project_id[:80]}")
        name = project_names(connection)[found.project_id]
        return ProjectPage(**as_dict(found), name=name, web=web_address(found.git_remote))


ENDPOINTS = [
    Endpoint(
        "/overview",
        "Sessions that need you or are left open, and each project's latest briefing",
        NoQuery,
        dict[str, Any],
        show_overview,
    ),
    Endpoint(
        "/roster",
        "The projects with the sessions that need you, are left open, work or have not ended, and"
        " so many `quiet` projects, the latest ones",
        RosterQuery,
        dict[str, Any],
        show_roster,
    ),
    Endpoint("/projects", "All projects", NoQuery, list[NamedProject], projects),
    Endpoint("/projects/{project_id:path}", "One project", NoQuery, ProjectPage, project),
]
