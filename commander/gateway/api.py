"""The HTTP API under /api/v1: how a request becomes a call and its result an answer. The endpoints
are in a module for each noun; a request that reads opens the database read-only for itself."""

import json
import sqlite3
from typing import Any

from pydantic import TypeAdapter, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from commander.gateway import (
    briefing_api,
    commander_api,
    event_api,
    job_api,
    messages,
    project_api,
    session_api,
    usage_api,
)
from commander.gateway.context import Context
from commander.gateway.openapi import Endpoint, describe
from fleet_lib import log
from fleet_lib.errors import BadInput, FleetError, NotFound
from fleet_lib.redact import redact

ENDPOINTS = [
    *project_api.ENDPOINTS,
    *session_api.ENDPOINTS,
    *briefing_api.ENDPOINTS,
    *event_api.ENDPOINTS,
    *usage_api.ENDPOINTS,
    *job_api.ENDPOINTS,
    *commander_api.ENDPOINTS,
]


def routes(context: Context) -> list[Route]:
    found = [_route(context, endpoint) for endpoint in ENDPOINTS]
    return [*found, Route("/openapi.json", _openapi)]


async def no_such_page(request: Request, error: Exception) -> Response:
    """The answer to an address that no route has, or a method that its route does not have."""
    status = getattr(error, "status_code", 404)
    return _error(
        status, "not_found" if status == 404 else "refused", str(getattr(error, "detail", ""))
    )


def _route(context: Context, endpoint: Endpoint) -> Route:
    adapter: TypeAdapter[Any] = TypeAdapter(endpoint.answer)

    async def answer(request: Request) -> Response:
        try:
            given = endpoint.query.model_validate(dict(request.query_params))
            if endpoint.body:
                given = endpoint.body.model_validate_json(await request.body())
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            place = ".".join(str(part) for part in first["loc"])
            return _error(422, "bad_request", f"{place}: {first['msg']}")
        except ClientDisconnect:  # the guard cuts a body that is too large
            return _error(413, "too_large", "the body is too large")
        try:
            result = await run_in_threadpool(endpoint.call, context, request, given)
            body = _json(adapter, result)
        except NotFound as error:
            return _error(404, "not_found", str(error))
        except BadInput as error:
            return _error(400, "refused", str(error))
        except (FleetError, sqlite3.Error, OSError) as error:
            return _error(503, "unavailable", str(error))
        except Exception as error:
            reason = f"{request.url.path} failed: {type(error).__name__}: {error}"
            log.write(context.home, "gateway", redact(reason))
            return _error(500, "internal", messages.INTERNAL_ERROR)
        return Response(body, media_type="application/json")

    return Route(endpoint.path, answer, methods=[endpoint.method])


async def _openapi(request: Request) -> Response:
    return JSONResponse(describe(ENDPOINTS))


def _json(adapter: TypeAdapter[Any], result: Any) -> bytes:
    try:
        return adapter.dump_json(result, warnings=False)
    except ValueError:  # another program stored bytes, or half a character
        plain = adapter.dump_python(result, warnings=False)
        return json.dumps(plain, default=messages.text_of).encode()


def _error(status: int, code: str, message: str) -> JSONResponse:
    return JSONResponse({"error": {"code": code, "message": message}}, status)
