"""A fake Sentry server with monitors, alerts, releases and faults; it validates every request."""

from __future__ import annotations

import itertools
import json
import random
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from pydantic import BaseModel, ValidationError

from sentry.api import models, specification

TOKEN = "sntryu_token-of-the-test"
_UNJUDGED = re.compile(r"/releases/|/projects/[^/]+/[^/]+/$")
"""Responses that are not validated: clients read only a few of their values."""
NOW = "2026-01-13T21:21:15.975384Z"

Json = Any


class RefusedError(Exception):
    """An error response."""

    def __init__(self, status: int, body: Json, headers: dict[str, str] | None = None) -> None:
        super().__init__(status)
        self.status = status
        self.body = body
        self.headers = headers or {}


@dataclass
class Asked:
    """A request."""

    method: str
    path: str
    query: dict[str, str]
    body: Json


@dataclass
class Fault:
    """How the next requests fail."""

    status: int
    """0: the connection is closed without a response."""
    method: str = ""
    path: str = ""
    headers: Callable[[], dict[str, str]] = dict
    times: int = 1
    body: Json = field(default_factory=lambda: {"detail": "of the test"})
    after: bool = False
    """Whether the request is carried out before the fault."""


class FakeSentry:
    """A server on 127.0.0.1.

    Args:
        monitors: Whether it has monitors and alerts; self-hosted servers before 26.7.0 lack them.
        page: Members of a page.
    """

    def __init__(self, *, monitors: bool = True, page: int = 2) -> None:
        self.has_monitors = monitors
        self.page = page
        self.org = "acme"
        self.projects = {"mita-backend": "11", "mita-mobile": "12"}
        self.teams = [
            _team(n, slug) for n, slug in enumerate(("finance", "security", "devops", "payments"), 501)
        ]
        self.integrations = [
            _slack("701", "acme"),
            _pagerduty("702", "acme", {"Finance Critical": 81, "Security Critical": 82}),
        ]
        self.detectors: dict[str, Json] = {}
        self.workflows: dict[str, Json] = {}
        self.releases: dict[str, Json] = {}
        self.commits: dict[str, list[Json]] = {}
        self.deploys: dict[str, list[Json]] = {}
        self.asked: list[Asked] = []
        self.faults: list[Fault] = []
        self.wrong: list[str] = []
        """Problems of requests and of this server's responses, found by models and specification."""
        self._ids = itertools.count(1000)
        self._lock = threading.RLock()
        self._random = random.Random(7)
        for slug, number in self.projects.items():
            self._add_detector({"name": "Error Monitor", "type": "error"}, number)
            self._add_detector(
                {"name": f"Foreign monitor of {slug}", "type": "metric_issue", "dataSources": [_source()]},
                number,
            )
        self.workflows["900"] = _foreign_workflow()
        self._start()

    # -- the server ---------------------------------------------------------------------------------
    def _start(self) -> None:
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args: Any) -> None:
                """Log nothing."""

            def _answer(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                content = self.rfile.read(length)
                parts = urlsplit(self.path)
                body = json.loads(content) if content else None
                asked = Asked(self.command, parts.path, dict(parse_qsl(parts.query)), body)
                try:
                    status, answer, headers = fake.answer(asked, self.headers.get("Authorization", ""))
                except Exception as error:  # noqa: BLE001 - a fault of this server's own: the test shall hear of it
                    fake.wrong.append(f"{asked.method} {asked.path}: {type(error).__name__}: {error}")
                    status, answer, headers = 599, None, {}
                if status == 0:
                    self.close_connection = True
                    return
                data = b"" if answer is None else json.dumps(answer).encode()
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = do_PUT = do_DELETE = _answer  # noqa: N815

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(60)

    @property
    def changes(self) -> list[tuple[str, str]]:
        """Method and path of every request that changes something."""
        return [(one.method, one.path.removeprefix("/api/0/")) for one in self.asked if one.method != "GET"]

    def answer(self, asked: Asked, authorization: str) -> tuple[int, Json, dict[str, str]]:
        with self._lock:
            self.asked.append(asked)
            for fault in self.faults:
                if fault.method in ("", asked.method) and fault.path in asked.path:
                    fault.times -= 1
                    if not fault.times:
                        self.faults.remove(fault)
                    if fault.after:
                        self._route(asked)
                    return fault.status, fault.body, fault.headers()
            if authorization != f"Bearer {TOKEN}":
                return 401, {"detail": "Invalid token"}, {}
            try:
                status, body, headers = self._route(asked)
            except RefusedError as refused:
                return refused.status, refused.body, refused.headers
            judge = specification.published()
            if judge is not None and not _UNJUDGED.search(asked.path):
                self.wrong += [
                    f"answer to {asked.method} {asked.path}: {one}"
                    for one in judge.wrong_answer(asked.method, asked.path, status, body)
                ]
            return status, body, headers

    # -- validation ------------------------------------------------------------------------------------
    def judge(self, asked: Asked, model: type[BaseModel] | None = None) -> None:
        """Validate a request with its model and the specifications."""
        wrong: list[str] = []
        if model is not None:
            try:
                model.model_validate(asked.body)
            except ValidationError as error:
                wrong += [f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()]
        judge = specification.published()
        if judge is not None:
            wrong += judge.wrong_request(asked.method, asked.path, asked.query, asked.body)
        strict = specification.typed()
        if strict is not None and asked.body is not None:
            wrong += strict.wrong_request(
                asked.method, asked.path.removeprefix("/api"), {}, _as_typed(asked.body)
            )
        self.wrong += [f"{asked.method} {asked.path}: {one}" for one in wrong]

    # -- routing ------------------------------------------------------------------------------------
    def _route(self, asked: Asked) -> tuple[int, Json, dict[str, str]]:
        path = asked.path.removeprefix("/api/0/")
        for pattern, handle in _ROUTES:
            found = re.fullmatch(pattern, path)
            if found is not None:
                values = [unquote(one) for one in found.groups()]
                if path.startswith(("organizations/", "projects/")) and values[0] != self.org:
                    raise RefusedError(404, {"detail": "The requested resource does not exist"})
                return handle(self, asked, *values[1:])
        raise RefusedError(404, {"detail": "The requested resource does not exist"})

    def _page(self, asked: Asked, members: list[Json]) -> tuple[int, Json, dict[str, str]]:
        self.judge(asked)
        start = int(asked.query.get("cursor", "0:0:0").split(":")[1])
        end = start + self.page
        more = "true" if end < len(members) else "false"
        url = f"{self.url}{asked.path}"
        link = (
            f'<{url}?&cursor=0:{max(0, start - self.page)}:1>; rel="previous"; results="{"true" if start else "false"}"; '
            f'cursor="0:{max(0, start - self.page)}:1", '
            f'<{url}?&cursor=0:{end}:0>; rel="next"; results="{more}"; cursor="0:{end}:0"'
        )
        return 200, members[start:end], {"Link": link}

    def project(self, asked: Asked, slug: str) -> tuple[int, Json, dict[str, str]]:
        if slug not in self.projects:
            raise RefusedError(404, {"detail": "The requested resource does not exist"})
        return 200, {"id": self.projects[slug], "slug": slug, "name": slug}, {}

    def list_teams(self, asked: Asked) -> tuple[int, Json, dict[str, str]]:
        return self._page(asked, self.teams)

    def list_integrations(self, asked: Asked) -> tuple[int, Json, dict[str, str]]:
        key = asked.query.get("providerKey")
        found = [one for one in self.integrations if key in (None, one["provider"]["key"])]
        if asked.query.get("includeConfig") != "true":
            found = [{**one, "configData": {}} for one in found]
        return self._page(asked, found)

    # -- monitors and alerts ------------------------------------------------------------------------
    def _needs_monitors(self) -> None:
        if not self.has_monitors:
            raise RefusedError(404, {"detail": "The requested resource does not exist"})

    def list_detectors(self, asked: Asked) -> tuple[int, Json, dict[str, str]]:
        self._needs_monitors()
        found = list(self.detectors.values())
        if "project" in asked.query:
            found = [one for one in found if one["projectId"] == asked.query["project"]]
        if asked.query.get("query", "").startswith("type:"):
            found = [one for one in found if one["type"] == asked.query["query"].removeprefix("type:")]
        return self._page(asked, [self._shuffled(one) for one in found])

    def add_detector(self, asked: Asked, slug: str) -> tuple[int, Json, dict[str, str]]:
        self._needs_monitors()
        self.judge(asked, models.Monitor)
        made = self._add_detector(_camel(asked.body), self.projects[slug])
        return 201, made, {}

    def _add_detector(self, body: Json, project_id: str) -> Json:
        number = str(next(self._ids))
        self.detectors[number] = self._returned_detector(number, body, project_id)
        return self.detectors[number]

    def _returned_detector(self, number: str, body: Json, project_id: str) -> Json:
        sources = body.get("dataSources")
        group = body.get("conditionGroup")
        return {
            "id": number, "projectId": project_id, "name": body["name"], "type": body["type"],
            "description": body.get("description"), "owner": _returned_owner(body.get("owner")), "createdBy": None,
            "workflowIds": [str(one) for one in body.get("workflowIds") or []], "enabled": body.get("enabled", True),
            "dateCreated": NOW, "dateUpdated": NOW, "config": body.get("config", {}), "latestGroup": None,
            "dataSources": sources and [self._returned_source(one) for one in sources],
            "conditionGroup": group
            and {
                "id": str(next(self._ids)), "organizationId": "1", "logicType": group["logicType"], "actions": [],
                "conditions": [{"id": str(next(self._ids)), **one} for one in group["conditions"]],
            },
        }  # fmt: skip

    def _returned_source(self, source: Json) -> Json:
        query = {
            name: value for name, value in source.items() if name != "queryType"
        }  # Sentry does not return it
        return {
            "id": str(next(self._ids)), "organizationId": "1", "type": "snuba_query_subscription",
            "sourceId": str(next(self._ids)),
            "queryObj": {
                "id": str(next(self._ids)), "status": 1, "subscription": None,
                "snubaQuery": {"id": str(next(self._ids)), "extrapolationMode": "unknown", **query},
            },
        }  # fmt: skip

    def one_detector(self, asked: Asked, number: str) -> tuple[int, Json, dict[str, str]]:
        self._needs_monitors()
        if number not in self.detectors:
            raise RefusedError(404, {"detail": "The requested resource does not exist"})
        if asked.method == "DELETE":
            self.judge(asked)
            del self.detectors[number]
            for workflow in self.workflows.values():
                workflow["detectorIds"] = [one for one in workflow["detectorIds"] if one != number]
            return 204, None, {}
        if asked.method == "PUT":
            self.judge(asked, models.Monitor)
            known = self.detectors[number]
            self.detectors[number] = self._returned_detector(number, _camel(asked.body), known["projectId"])
        return 200, self._shuffled(self.detectors[number]), {}

    def list_workflows(self, asked: Asked) -> tuple[int, Json, dict[str, str]]:
        self._needs_monitors()
        if asked.method == "GET":
            return self._page(asked, [self._shuffled(one) for one in self.workflows.values()])
        self.judge(asked, models.Workflow)
        number = str(next(self._ids))
        self.workflows[number] = self._returned_workflow(number, _camel(asked.body))
        return 201, self.workflows[number], {}

    def one_workflow(self, asked: Asked, number: str) -> tuple[int, Json, dict[str, str]]:
        self._needs_monitors()
        if number not in self.workflows:
            raise RefusedError(404, {"detail": "The requested resource does not exist"})
        if asked.method == "DELETE":
            self.judge(asked)
            del self.workflows[number]
            return 204, None, {}
        if asked.method == "PUT":
            self.judge(asked, models.Workflow)
            if asked.body.get("id") != number:
                raise RefusedError(400, {"id": ["This field is required."]})
            self.workflows[number] = self._returned_workflow(number, _camel(asked.body))
        return 200, self._shuffled(self.workflows[number]), {}

    def _returned_workflow(self, number: str, body: Json) -> Json:
        for one in body["detectorIds"]:
            if str(one) not in self.detectors:
                raise RefusedError(400, {"detectorIds": [f"Some detectors do not exist: {one}"]})
        return {
            "id": number, "name": body["name"], "organizationId": "1", "createdBy": None, "dateCreated": NOW,
            "dateUpdated": NOW, "environment": body.get("environment"), "config": body["config"],
            "detectorIds": [str(one) for one in body["detectorIds"]], "enabled": body.get("enabled", True),
            "lastTriggered": None, "owner": body.get("owner"),
            "triggers": {"id": str(next(self._ids)), "organizationId": "1", "actions": [], **body["triggers"]},
            "actionFilters": [
                {
                    "id": str(next(self._ids)), "organizationId": "1", "logicType": group["logicType"],
                    "conditions": [{"id": str(next(self._ids)), **one} for one in group["conditions"]],
                    "actions": [self._returned_action(one) for one in group["actions"]],
                }
                for group in body["actionFilters"]
            ],
        }  # fmt: skip

    def _returned_action(self, action: Json) -> Json:
        config = dict(action["config"])
        if action["type"] == "slack":  # Sentry looks up the channel's id
            config["targetIdentifier"] = f"C0{len(config['targetDisplay'])}"
        return {"id": str(next(self._ids)), **action, "config": config}

    def _shuffled(self, stored: Json) -> Json:
        """Return conditions in random order."""
        stored = json.loads(json.dumps(stored))
        for group in [stored.get("conditionGroup"), *(stored.get("actionFilters") or [])]:
            for part in ("conditions", "actions"):
                if group:
                    self._random.shuffle(group[part])
        if stored.get("actionFilters"):
            self._random.shuffle(stored["actionFilters"])
        return stored

    # -- releases -----------------------------------------------------------------------------------
    def all_releases(self, asked: Asked) -> tuple[int, Json, dict[str, str]]:
        if asked.method == "GET":
            found = sorted(self.releases.values(), key=lambda one: one["number"], reverse=True)
            wanted = asked.query.get("query", "")
            return self._page(asked, [one for one in found if wanted in one["version"]])
        self.judge(asked, models.Release)
        body = asked.body
        for slug in body["projects"]:
            if slug not in self.projects:
                raise RefusedError(400, {"projects": ["Invalid project ids or slugs"]})
        known = body["version"] in self.releases
        stored = self.releases.setdefault(
            body["version"],
            {
                "version": body["version"],
                "number": len(self.releases),
                "dateReleased": None,
                "projects": body["projects"],
                "ref": None,
                "url": None,
            },
        )
        self._change_release(stored, body)
        return 208 if known else 201, stored, {}

    def one_release(self, asked: Asked, version: str) -> tuple[int, Json, dict[str, str]]:
        if version not in self.releases:
            raise RefusedError(404, {"detail": "The requested resource does not exist"})
        if asked.method == "PUT":
            self.judge(asked, models.ReleaseUpdate)
            self._change_release(self.releases[version], asked.body)
        return 200, self.releases[version], {}

    def _change_release(self, stored: Json, body: Json) -> None:
        stored.update({name: body[name] for name in ("ref", "url", "dateReleased") if body.get(name)})
        if body.get("commits"):
            self.commits[stored["version"]] = body["commits"]
        if body.get("refs"):
            stored["refs"] = body["refs"]

    def release_commits(self, asked: Asked, version: str) -> tuple[int, Json, dict[str, str]]:
        if version not in self.releases:
            raise RefusedError(404, {"detail": "The requested resource does not exist"})
        status, members, headers = self._page(
            asked, [{"id": one["id"]} for one in self.commits.get(version, [])]
        )
        return status + 99, members, headers

    def release_deploys(self, asked: Asked, version: str) -> tuple[int, Json, dict[str, str]]:
        if version not in self.releases:
            raise RefusedError(404, {"detail": "The requested resource does not exist"})
        deploys = self.deploys.setdefault(version, [])
        if asked.method == "GET":
            return self._page(asked, deploys)
        self.judge(asked, models.Deploy)
        stored = {
            "name": None,
            "url": None,
            "dateStarted": None,
            "dateFinished": NOW,
            **asked.body,
            "id": str(next(self._ids)),
        }
        stored.pop("projects", None)
        deploys.append(stored)
        return 201, stored, {}


_ORG = r"organizations/([^/]+)"
_PROJECT = r"projects/([^/]+)/([^/]+)"
_ROUTES: list[tuple[str, Callable[..., tuple[int, Json, dict[str, str]]]]] = [
    (rf"{_PROJECT}/", FakeSentry.project),
    (rf"{_ORG}/teams/", FakeSentry.list_teams),
    (rf"{_ORG}/integrations/", FakeSentry.list_integrations),
    (rf"{_ORG}/detectors/", FakeSentry.list_detectors),
    (rf"{_ORG}/projects/([^/]+)/detectors/", FakeSentry.add_detector),
    (rf"{_ORG}/detectors/([^/]+)/", FakeSentry.one_detector),
    (rf"{_ORG}/workflows/", FakeSentry.list_workflows),
    (rf"{_ORG}/workflows/([^/]+)/", FakeSentry.one_workflow),
    (rf"{_ORG}/releases/", FakeSentry.all_releases),
    (rf"{_ORG}/releases/([^/]+)/", FakeSentry.one_release),
    (rf"{_ORG}/releases/([^/]+)/commits/", FakeSentry.release_commits),
    (rf"{_ORG}/releases/([^/]+)/deploys/", FakeSentry.release_deploys),
]


def limited(seconds: float) -> Callable[[], dict[str, str]]:
    """Return the headers of a rate limit with this duration."""
    return lambda: {"X-Sentry-Rate-Limit-Reset": str(time.time() + seconds)}


_CAMEL = {
    "data_sources": "dataSources", "condition_group": "conditionGroup", "workflow_ids": "workflowIds", "logic_type": "logicType",
    "detector_ids": "detectorIds", "action_filters": "actionFilters",
}  # fmt: skip


def _camel(body: Json) -> Json:
    """Return the declared keys in camel case, like Sentry."""
    renamed = {_CAMEL.get(name, name): value for name, value in body.items()}
    for part in ("conditionGroup", "triggers"):
        if isinstance(renamed.get(part), dict):
            renamed[part] = {_CAMEL.get(name, name): value for name, value in renamed[part].items()}
    return renamed


def _as_typed(body: Json) -> Json:
    """Return a body for the stricter specification: camel case keys, ids as strings, explicit empty values."""
    typed = _camel(body)
    if "detectorIds" in typed:
        typed["detectorIds"] = [str(one) for one in typed["detectorIds"]]
    if "dataSources" in typed:
        typed["dataSources"] = [{"extrapolationMode": None, **one} for one in typed["dataSources"]]
        typed = {"projectId": "in the path", "owner": None, **typed}
    return typed


def _returned_owner(owner: str | None) -> Json:
    kind, _, number = (owner or "").partition(":")
    return {"type": kind, "id": number, "name": "owner"} if owner else None


def _source() -> Json:
    return {
        "aggregate": "count()",
        "dataset": "events",
        "environment": None,
        "eventTypes": ["error"],
        "query": "",
        "timeWindow": 60,
    }


def _team(number: int, slug: str) -> Json:
    return {
        "id": str(number), "slug": slug, "name": slug.title(), "dateCreated": NOW, "isMember": True, "teamRole": None,
        "flags": {"idp:provisioned": False}, "access": ["org:read"], "hasAccess": True, "isPending": False, "memberCount": 3,
        "avatar": {"avatarType": "letter_avatar", "avatarUuid": None, "avatarUrl": None},
    }  # fmt: skip


def _integration(number: str, name: str, key: str, config: Json) -> Json:
    return {
        "id": number, "name": name, "icon": None, "domainName": None, "accountType": None, "scopes": None, "outOfDate": False,
        "status": "active", "provider": {"key": key, "slug": key, "name": key}, "configOrganization": [], "configData": config,
        "externalId": "1", "organizationId": 1, "organizationIntegrationStatus": "active", "gracePeriodEnd": None,
    }  # fmt: skip


def _slack(number: str, name: str) -> Json:
    return _integration(number, name, "slack", {"installationType": "born_as_bot"})


def _pagerduty(number: str, name: str, services: dict[str, int]) -> Json:
    table = [
        {"service": service, "integration_key": "SECRETKEY", "id": id_} for service, id_ in services.items()
    ]
    return _integration(number, name, "pagerduty", {"service_table": table})


def _foreign_workflow() -> Json:
    return {
        "id": "900", "name": "Send a notification for high priority issues", "organizationId": "1", "createdBy": None,
        "dateCreated": NOW, "dateUpdated": NOW, "environment": None, "config": {"frequency": 30}, "detectorIds": [],
        "enabled": True, "lastTriggered": None, "owner": None,
        "triggers": {"id": "9", "organizationId": "1", "logicType": "any-short", "conditions": [], "actions": []},
        "actionFilters": [],
    }  # fmt: skip
