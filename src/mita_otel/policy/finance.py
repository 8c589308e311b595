"""The section of a policy on the financial API: categories, severities, routes, users, security."""

import re
from typing import Annotated, Literal

from mita_otel.policy.section import Bounds, PositiveInt, Seconds, Section, Validator
from mita_otel.policy.thresholds import Operation

Severity = Literal["security_critical", "critical", "high", "medium", "low"]
"""Severity of an error."""

_ROUTE_RULE = re.compile(r"(?:[A-Z]+|\*) (?:/\S*|[^\s/]+)\Z")
_HEADER = re.compile(r"[a-z0-9!#$%&'*+.^_`|~-]+\Z")
_CURRENCY = re.compile(r"[A-Z0-9]{2,12}\Z")


def _route_rule(rule: str) -> None:
    if not _ROUTE_RULE.match(rule):
        raise ValueError(
            f"{rule!r} is not a method and a route or segment; write it as in 'POST transactions', "
            "'* budgets' or 'POST /api/auth/login'"
        )


def _header(name: str) -> None:
    if not _HEADER.match(name):
        raise ValueError(f"{name!r} is not the name of a header in small letters, as in x-request-id")


def _currency(code: str) -> None:
    if not _CURRENCY.match(code):
        raise ValueError(f"{code!r} is not a currency's code; write it in capitals, as in USDC")


RouteRule = Annotated[str, Validator(_route_rule)]
Header = Annotated[str, Validator(_header)]
CurrencyCode = Annotated[str, Validator(_currency)]
Exponent = Annotated[int, Bounds(ge=0, le=30)]

Carried = Literal[
    "user.id",
    "mita.user.subscription_tier",
    "mita.user.account_type",
    "mita.transaction.id",
    "mita.operation",
    "mita.request.id",
]
"""Names that baggage may send to other services. Amounts, e-mail addresses and risk levels are excluded."""

Accepted = Literal["mita.transaction.id", "mita.operation", "mita.request.id"]
"""Names that are accepted from another service's baggage. A user is not accepted: it is not verified."""


class SeverityMapping(Section):
    """The equivalent of a severity in OpenTelemetry."""

    number: Annotated[int, Bounds(ge=1, le=24)]
    """OpenTelemetry's severity number. Sentry's level follows it: 21 and above fatal, 17 error, 13 warning, 9 info."""
    text: Annotated[str, Bounds(min_length=1)]
    """OpenTelemetry's severity text."""
    failure: bool
    """Whether an error of this severity makes the span that it happened in a failed one."""


class OperationPolicy(Section):
    """Operations: decorators and context managers."""

    capture_errors: bool
    """Whether an exception that leaves an operation is captured as an error."""
    expected_errors: tuple[str, ...]
    """Names of exception classes (`InsufficientFunds` or `bank.errors.InsufficientFunds`) that are no errors."""
    unhandled_level: Severity
    """An unhandled exception has at least the level of this severity, and fails its span, whatever its category."""
    require_user: Literal["record", "raise"]
    """What `require_user=True` does without a user: record a security event, or raise `MissingUserError`."""


class RequestPolicy(Section):
    """What the middleware reads from a request, and adds to its response."""

    id_header: Header
    """Header with the request's id. A missing or malformed id is generated."""
    respond_id: bool
    """Whether the response carries the request's id."""
    respond_trace: bool
    """Whether the response carries `traceresponse` (W3C Trace Context, level 2)."""
    transaction_headers: tuple[Header, ...]
    """Headers that hold the transaction's id."""
    transaction_parameters: tuple[str, ...]
    """Parameters of the path that hold the transaction's id."""
    transaction_keys: tuple[str, ...]
    """Top-level keys of a JSON body that hold the transaction's id."""
    max_body: Annotated[int, Bounds(ge=0)]
    """Bytes of a body that are examined while the application reads it. 0: none."""
    context_headers: tuple[Header, ...]
    """Headers that an error contains. Others are omitted."""
    user_state: tuple[str, ...]
    """Names under which `request.state` holds the user."""
    user_id_fields: tuple[str, ...]
    """Names under which a user object or mapping holds its id."""


class BreadcrumbPolicy(Section):
    """Breadcrumbs."""

    max_kept: PositiveInt
    """Number of breadcrumbs of an error; the newest are kept."""


class BaggagePolicy(Section):
    """Baggage, which every outgoing request sends, to any host."""

    send: tuple[Carried, ...]
    """Names that are sent."""
    accept: tuple[Accepted, ...]
    """Names that an operation accepts from baggage if it has no value itself."""
    max_length: PositiveInt
    """Characters of a value. Longer values are neither sent nor accepted."""


class BruteForcePolicy(Section):
    """Counting failed logins, by user and by address, in this process."""

    failures: tuple[str, ...]
    """Event types that count."""
    successes: tuple[str, ...]
    """Event types that reset a user's count."""
    address_keys: tuple[str, ...]
    """Keys of an event's details that hold the address."""
    attempt_keys: tuple[str, ...]
    """Keys of an event's details that hold the application's count. The higher count applies."""
    attempts: PositiveInt
    """Failures within the window that are an attack."""
    window_s: Seconds
    """Seconds that a failure counts."""
    max_tracked: PositiveInt
    """Users and addresses that are counted at once. The one without a failure for longest is evicted first."""
    event_type: str
    """Type of the event that an attack becomes."""
    severity: Severity
    """Severity of that event."""


class SecurityPolicy(Section):
    """Security events."""

    issue_from: Severity
    """Events of this severity and above become issues in Sentry; others are log records only."""
    brute_force: BruteForcePolicy


class CompliancePolicy(Section):
    """Compliance metadata."""

    violations: tuple[str, ...]
    """Statuses that are violations, and so become errors of the category `compliance_issue`."""


class ContextPolicy(Section):
    """Bounds of the context that an application passes."""

    max_depth: Annotated[int, Bounds(ge=1, le=16)]
    """Levels of nesting."""
    max_items: PositiveInt
    """Members of one list or mapping."""
    max_text: Annotated[int, Bounds(ge=16)]
    """Characters of one text."""


class CountPolicy(Section):
    """Metrics of errors, security events and violations."""

    max_names: PositiveInt
    """Categories, types of security events and regulations that the policy does not name: number of distinct names in
    metrics, for each. Further names are counted as `(other)`."""


class FinancePolicy(Section):
    """The financial API."""

    middleware: bool
    """Whether every FastAPI application gets `FinancialSentryMiddleware` by itself."""
    categories: dict[Operation, Severity]
    """Categories of errors and operations, with the severity of an error in them. Add your own."""
    severities: dict[Severity, SeverityMapping]
    """What each severity is in OpenTelemetry."""
    routes: dict[RouteRule, Operation]
    """Operation by `METHOD segment`, `* segment` or `METHOD /exact/{route}`."""
    words: dict[str, Operation]
    """Category by a word in an operation's name, for operations without a category."""
    pci_segments: tuple[str, ...]
    """Segments of routes that handle cardholder data."""
    currencies: dict[CurrencyCode, Exponent]
    """Currencies that ISO 4217 does not have: the number of decimals of each."""
    operations: OperationPolicy
    request: RequestPolicy
    breadcrumbs: BreadcrumbPolicy
    baggage: BaggagePolicy
    security: SecurityPolicy
    compliance: CompliancePolicy
    context: ContextPolicy
    metrics: CountPolicy
