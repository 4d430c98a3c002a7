"""The API's endpoints about sessions, and hiding one that waits for a person."""

from typing import Any

from starlette.requests import Request

from commander.gateway import messages, usage_api
from commander.gateway.context import Context, text_of
from commander.gateway.openapi import Endpoint
from commander.gateway.queries import NoQuery, SessionPageQuery, SessionQuery
from fleet_lib import clock, wake
from fleet_lib.relay.sharing import stays_here
from fleet_lib.rules import DISMISSED
from fleet_lib.store.projects import ProjectRepo
from fleet_lib.store.relay import RelayRepo
from fleet_lib.store.sessions import SessionRepo
from fleet_lib.views.hiding import hide, waiting
from fleet_lib.views.ids import stored_id
from fleet_lib.views.places import places_of_files, way_to
from fleet_lib.views.projects import NamesOnDemand
from fleet_lib.views.session_list import session_list
from fleet_lib.views.session_page import session_page
from fleet_lib.views.usage import in_words, session_in_words
from fleet_lib.views.whereabouts import living_client


def sessions(context: Context, request: Request, query: SessionQuery) -> list[dict[str, Any]]:
    before = (query.before, query.before_id) if query.before else None
    with context.reading() as connection:
        machine = RelayRepo(connection).machine_filter(query.machine)
        return session_list(
            connection,
            NamesOnDemand(connection),
            project_id=query.project_id,
            state=query.state,
            since=query.since,
            machine=machine,
            before=before,
            limit=query.limit,
        )


def session(context: Context, request: Request, query: SessionPageQuery) -> dict[str, Any]:
    session_id = text_of(request, "session")
    with context.reading() as connection:
        usage_api.look_up_prices(connection, context.home)
        session_id = stored_id(connection, session_id)
        page = session_page(connection, NamesOnDemand(connection), session_id, limit=query.turns)
        for turn in page["turns"]:
            turn["usage"] = in_words(turn["usage"]) if turn["usage"] else None
        used = page["usage"]
        stored = SessionRepo(connection).get(session_id)
        client = living_client(connection, session_id) if stored else None
        commits = [turn["head_commit"] for turn in page["turns"] if turn["head_commit"]]
        places = places_of_files(
            connection,
            session_id,
            ProjectRepo(connection).get(page["project_id"]),
            commits[-1] if commits else None,
            page["files"],
        )
        return page | {
            "usage": session_in_words(used) if used else None,
            "places": places,
            "where": client.in_words() if client else None,
            "resume": way_to(connection, stored, is_open=client is not None) if stored else None,
        }


def dismiss(context: Context, request: Request, query: NoQuery) -> messages.Hidden:
    return _hidden(context, request, DISMISSED)


def snooze(context: Context, request: Request, wish: messages.SnoozeWish) -> messages.Hidden:
    return _hidden(context, request, clock.ahead(wish.seconds))


def show(context: Context, request: Request, query: NoQuery) -> messages.Hidden:
    return _hidden(context, request, None)


def _hidden(context: Context, request: Request, until: str | None) -> messages.Hidden:
    session_id = text_of(request, "session")
    with context.reading() as connection:
        session = waiting(connection, stored_id(connection, session_id))
    with context.writing() as connection:
        hide(connection, session, until)
        stays = stays_here(connection, context.home, [session.session_id])
    context.changed()
    wake.start_relay(context.home)
    return messages.Hidden(session_id=session_id, hidden_until=until, stays_here=stays)


ENDPOINTS = [
    Endpoint(
        "/sessions",
        "Sessions: those that have not ended first, then the ended ones, newest first. `before` and"
        " `before_id` are the last_at and session_id of the last one of the page before",
        SessionQuery,
        list[dict[str, Any]],
        sessions,
    ),
    Endpoint(
        "/sessions/{session_id:path}",
        "One session with its newest `turns`",
        SessionPageQuery,
        dict[str, Any],
        session,
    ),
    Endpoint(
        "/sessions/{session_id:path}/dismiss",
        "Hide a session that waits for a person until its next event",
        NoQuery,
        messages.Hidden,
        dismiss,
        "POST",
    ),
    Endpoint(
        "/sessions/{session_id:path}/snooze",
        "Hide a session that waits for a person for some seconds",
        NoQuery,
        messages.Hidden,
        snooze,
        "POST",
        messages.SnoozeWish,
    ),
    Endpoint(
        "/sessions/{session_id:path}/show",
        "Show a hidden session again",
        NoQuery,
        messages.Hidden,
        show,
        "POST",
    ),
]
