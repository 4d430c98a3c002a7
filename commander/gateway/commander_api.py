"""The API's endpoints about the gateway itself, its logins, and the Commander."""

from dataclasses import dataclass
from importlib.metadata import version

from starlette.requests import Request

from commander.gateway import messages
from commander.gateway.context import Context
from commander.gateway.openapi import Endpoint
from commander.gateway.queries import NoQuery, PreludeQuery
from fleet_lib.errors import BadInput
from fleet_lib.store.conversations import Conversation, ConversationRepo
from fleet_lib.store.migrate import latest_version
from fleet_lib.store.outbox import OutboxRepo
from fleet_lib.views.preview import prelude_preview

dataclass(init=False, repr=False, eq=False)(Conversation)  # so that pydantic knows its fields


def health(context: Context, request: Request, query: NoQuery) -> messages.Health:
    with context.reading() as connection:
        return messages.Health(
            version=version("fleet"),
            schema_version=latest_version(),
            last_event_id=OutboxRepo(connection).latest_id(),
            clients=context.clients(),
            jobs=context.queue.most(),
        )


def log_in(context: Context, request: Request, given: messages.LoginCode) -> messages.Session:
    if session := context.logins.exchange(given.code):
        return messages.Session(bearer=session)
    raise BadInput("this link was used already, or it is too old")


def link(context: Context, request: Request, wish: messages.LinkWish) -> messages.Link:
    return messages.Link(link=context.address.link(context.logins.new_code(), wish.at))


def conversations(context: Context, request: Request, query: NoQuery) -> list[Conversation]:
    with context.reading() as connection:
        return ConversationRepo(connection).get_all()


def prelude(context: Context, request: Request, query: PreludeQuery) -> messages.Prelude:
    return messages.Prelude(**prelude_preview(context.home, with_recap=query.recap))


ENDPOINTS = [
    Endpoint("/health", "Health check", NoQuery, messages.Health, health),
    Endpoint(
        "/conversations",
        "The Commander's conversation",
        NoQuery,
        list[Conversation],
        conversations,
    ),
    Endpoint(
        "/session",
        "A session for the code of a link, under the page's own host name",
        NoQuery,
        messages.Session,
        log_in,
        "POST",
        messages.LoginCode,
    ),
    Endpoint(
        "/links",
        "Another link for a browser; only for the token",
        NoQuery,
        messages.Link,
        link,
        "POST",
        messages.LinkWish,
    ),
    Endpoint(
        "/prelude",
        "The text that the Commander's next prompt would be given",
        PreludeQuery,
        messages.Prelude,
        prelude,
    ),
]
