"""`mita-otel mobile`: serve the mobile gateway, and show the DSNs of the apps."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Final
from urllib.parse import urlsplit

import typer

from mita_otel import environment_variables as variables
from mita_otel.cli.options import Environment, PolicyFile
from mita_otel.cli.output import echo
from mita_otel.errors import ConfigurationError
from mita_otel.policy import Policy, load_policy

if TYPE_CHECKING:
    from mita_otel.mobile.asgi import MobileApp

_FACTORY: Final = "mita_otel.cli.mobile:application"

app = typer.Typer(no_args_is_help=True, add_completion=False)


@app.command()
def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port; 0 chooses a free one.")] = 8042,
    workers: Annotated[
        int, typer.Option(min=1, max=64, help="Number of processes; each has its own spool.")
    ] = 1,
    proxies: Annotated[
        str, typer.Option(help="Trusted proxies for X-Forwarded-For, as addresses separated by commas.")
    ] = "",
    policy: PolicyFile = None,
    environment: Environment = None,
) -> None:
    """Serve the gateway. It needs the extra `mobile`."""
    _with_projects(load_policy(policy, environment=environment))
    try:
        import uvicorn
    except ImportError as error:
        raise ConfigurationError(
            "serving needs uvicorn; install it with: pip install 'mita-otel[mobile]'"
        ) from error
    # Workers are separate processes; variables pass these options to them.
    if policy is not None:
        os.environ[variables.POLICY] = str(policy)
    if environment is not None:
        os.environ[variables.SENTRY_ENVIRONMENT] = environment
    uvicorn.run(
        _FACTORY,
        factory=True,
        host=host,
        port=port,
        workers=workers,
        proxy_headers=bool(proxies),
        forwarded_allow_ips=proxies or None,
        access_log=False,
        server_header=False,
    )


@app.command()
def show(
    url: Annotated[str, typer.Option(help="URL where apps reach the gateway.")] = "https://gateway.example",
    policy: PolicyFile = None,
    environment: Environment = None,
) -> None:
    """Show the DSN of each app, the destinations of its telemetry, and refused items."""
    loaded = load_policy(policy, environment=environment)
    _with_projects(loaded)
    for line in _lines(loaded, url):
        echo(line)


def application() -> MobileApp:
    """Return the application that `serve` serves; uvicorn calls it in each worker."""
    from mita_otel.sdk.configuration import configure
    from mita_otel.sdk.mobile_gateway import mobile_app

    return mobile_app(configure(exporters=_exporters(os.environ)))


def _exporters(env: Mapping[str, str]) -> list[str] | None:
    """Return the exporters of the gateway's own traces. None: the configured ones.

    Telemetry from apps has its upstream, so a missing DSN needs neither a fallback nor a warning here.
    """
    if any(
        env.get(one) for one in (variables.SENTRY_DSN, variables.SENTRY_SPOTLIGHT, variables.TRACES_EXPORTER)
    ):
        return None
    return [name for name in load_policy(env=env).export.traces if name != "sentry"] or ["none"]


def _with_projects(policy: Policy) -> None:
    if not policy.mobile.projects:
        raise ConfigurationError(
            "the policy contains no app; add one:\n\n"
            "[mobile.projects.app]\n"
            'id = "42"\n'
            'keys = ["KEY"]\n'
            'upstream = "https://KEY@o1.ingest.sentry.io/42"\n\n'
            "with the values of the app's DSN in Sentry"
        )


def _lines(policy: Policy, url: str) -> Iterator[str]:
    parts = urlsplit(url if "//" in url else f"https://{url}")
    prefix = parts.path.rstrip("/")
    for name, project in policy.mobile.projects.items():
        upstream = urlsplit(project.upstream)
        destinations = [
            f"Sentry, {upstream.hostname}" if project.upstream else "",
            "the store" if project.store else "",
        ]
        yield f"{name}: {' and '.join(filter(None, destinations))}"
        for key in project.keys:
            yield f"  dsn {parts.scheme}://{key}@{parts.netloc}{prefix}/{project.id}"
    items = policy.mobile.items
    for action in ("forward", "forward_unredacted", "refuse"):
        kinds = [kind for kind, rule in items.items() if rule.action == action]
        if kinds:
            yield f"{action}: {', '.join(kinds)}"
