"""Sentry's published specification, if the developer has it, validates requests and responses as well.

`MITA_SENTRY_OPENAPI` names the file (JSON or YAML) of Sentry's OpenAPI, `MITA_SENTRY_TYPED` that of a stricter one. They
are not part of this repository; without them the typed models of `models.py` are what requests are held against.
"""

from __future__ import annotations

import json
import os
import re
from functools import cache
from pathlib import Path
from typing import Any

from openapi_schema_validator import OAS30Validator

OPENAPI = os.environ.get("MITA_SENTRY_OPENAPI", "")
TYPED = os.environ.get("MITA_SENTRY_TYPED", "")
WHY_NOT = "MITA_SENTRY_OPENAPI does not name Sentry's OpenAPI: only our own models are asked"


class Specification:
    """An OpenAPI 3.0 document."""

    def __init__(self, file: Path) -> None:
        text = file.read_text("utf-8")
        if file.suffix == ".json":
            self.document = json.loads(text)
        else:
            import yaml

            self.document = yaml.safe_load(text)

    def operation(self, method: str, path: str) -> tuple[str, dict[str, Any]] | None:
        """Return the path and the operation object of a request."""
        for template, operations in self.document["paths"].items():
            pattern = re.sub(r"\\{[^}]+\\}", "[^/]+", re.escape(template))
            if re.fullmatch(pattern, path) and method.lower() in operations:
                return template, operations[method.lower()]
        return None

    def errors(self, schema: Any, value: Any) -> list[str]:
        """Return the problems of a value."""
        # With the components, so that references resolve.
        validator = OAS30Validator({**schema, "components": self.document.get("components", {})})
        return [
            f"{'.'.join(map(str, one.path))}: {one.message[:300]}" for one in validator.iter_errors(value)
        ]

    def wrong_request(self, method: str, path: str, query: dict[str, str], body: Any) -> list[str]:
        """Return the problems of a request; unknown operations are not validated."""
        found = self.operation(method, path)
        if found is None:
            return []
        _, operation = found
        known = {one.get("name") for one in operation.get("parameters", []) if "name" in one}
        wrong = [f"no parameter {name}" for name in query if name not in known | {"cursor"}]
        schema = _json_of(operation.get("requestBody", {}))
        if schema is not None:
            wrong += self.errors(schema, body)
        return wrong

    def wrong_answer(self, method: str, path: str, status: int, body: Any) -> list[str]:
        """Return the problems of a response."""
        found = self.operation(method, path)
        if found is None:
            return []
        schema = _json_of(found[1].get("responses", {}).get(str(status), {}))
        return [] if schema is None or body is None else self.errors(schema, body)


@cache
def published() -> Specification | None:
    """Sentry's published document."""
    return Specification(Path(OPENAPI)) if OPENAPI else None


@cache
def typed() -> Specification | None:
    """The stricter document."""
    return Specification(Path(TYPED)) if TYPED else None


def _json_of(content: dict[str, Any]) -> Any:
    return content.get("content", {}).get("application/json", {}).get("schema")
