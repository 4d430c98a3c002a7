"""The endpoints' description as OpenAPI 3.1, from the models that check every request."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, Literal

from pydantic import BaseModel, TypeAdapter

_TEXT_IDS = ("project_id", "session_id")


@dataclass(frozen=True)
class Endpoint:
    path: str  # below /api/v1
    summary: str
    query: type[BaseModel]
    answer: Any  # a type that pydantic knows
    call: Callable[..., Any]
    method: str = "GET"
    body: type[BaseModel] | None = None


def describe(endpoints: Sequence[Endpoint]) -> dict[str, Any]:
    models: list[tuple[int, Literal["serialization", "validation"], TypeAdapter[Any]]] = []
    for number, endpoint in enumerate(endpoints):
        models.append((number, "serialization", TypeAdapter(endpoint.answer)))
        if endpoint.body:
            models.append((number, "validation", TypeAdapter(endpoint.body)))
    schemas, shared = TypeAdapter.json_schemas(models, ref_template="#/components/schemas/{model}")
    paths: dict[str, Any] = {}
    for number, endpoint in enumerate(endpoints):
        operation: dict[str, Any] = {
            "summary": endpoint.summary,
            "parameters": _parameters(endpoint),
            "responses": {
                "200": {"description": "OK", "content": _as_json(schemas[number, "serialization"])},
                "default": {"description": "{error: {code, message}}"},
            },
        }
        if endpoint.body:
            content = _as_json(schemas[number, "validation"])
            operation["requestBody"] = {"required": True, "content": content}
        path = endpoint.path.replace(":path", "")  # an id of another program may have a slash
        paths.setdefault("/api/v1" + path, {})[endpoint.method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {"title": "Fleet's gateway", "version": version("fleet")},
        "paths": paths,
        "components": {
            "schemas": shared.get("$defs", {}),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"token": []}],
    }


def _parameters(endpoint: Endpoint) -> list[dict[str, Any]]:
    # A query's fields are plain: none refers to another model.
    fields = endpoint.query.model_json_schema().get("properties", {})
    in_query = [
        {"name": name, "in": "query", "required": field.is_required(), "schema": fields[name]}
        for name, field in endpoint.query.model_fields.items()
    ]
    in_path = [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": {"type": "string" if name in _TEXT_IDS else "integer"},
        }
        for name in re.findall(r"{(\w+)", endpoint.path)
    ]
    return in_query + in_path


def _as_json(schema: Any) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}
