"""The API's endpoints about sessions, and hiding one that waits for a person."""

from starlette.requests import Request

from commander.gateway import messages
from commander.gateway.context import Context, text_of
from commander.gateway.openapi import Endpoint
from commander.gateway.queries import NoQuery
from fleet_lib import clock
from fleet_lib.rules import DISMISSED
from fleet_lib.store.hiding import hide


def dismiss(context: Context, request: Request, query: NoQuery) -> messages.Hidden:
    return _hidden(context, request, DISMISSED)


def snooze(context: Context, request: Request, wish: messages.SnoozeWish) -> messages.Hidden:
    return _hidden(context, request, clock.ahead(wish.seconds))


def show(context: Context, request: Request, query: NoQuery) -> messages.Hidden:
    return _hidden(context, request, clock.now())


def _hidden(context: Context, request: Request, until: str) -> messages.Hidden:
    session_id = text_of(request, "session")
    with context.writing() as connection:
        hide(connection, session_id, until)
    context.changed()
    return messages.Hidden(session_id=session_id, hidden_until=until)


ENDPOINTS = [
    Endpoint(
        "/sessions/{session_id}/dismiss",
        "Hide a session that waits for a person until its next event",
        NoQuery,
        messages.Hidden,
        dismiss,
        "POST",
    ),
    Endpoint(
        "/sessions/{session_id}/snooze",
        "Hide a session that waits for a person for some seconds",
        NoQuery,
        messages.Hidden,
        snooze,
        "POST",
        messages.SnoozeWish,
    ),
    Endpoint(
        "/sessions/{session_id}/show",
        "Show a hidden session again",
        NoQuery,
        messages.Hidden,
        show,
        "POST",
    ),
]
