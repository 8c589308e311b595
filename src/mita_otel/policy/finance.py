"""The section of a policy that says what the financial API means: categories, severities, routes, users, security."""

import re
from typing import Annotated, Literal

from mita_otel.policy.section import Bounds, PositiveInt, Seconds, Section, Validator
from mita_otel.policy.thresholds import Operation

Severity = Literal["security_critical", "critical", "high", "medium", "low"]
"""How bad an error is, from the guide."""

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
"""What baggage may carry to other services. Amounts, e-mail addresses and risk levels are not among it."""

Accepted = Literal["mita.transaction.id", "mita.operation", "mita.request.id"]
"""What may be taken from another service's baggage. A user is not: nobody verified it."""


class SeverityMapping(Section):
    """What a severity is elsewhere."""

    number: Annotated[int, Bounds(ge=1, le=24)]
    """OpenTelemetry's severity number. Sentry's level follows it: 21 and above fatal, 17 error, 13 warning, 9 info."""
    text: Annotated[str, Bounds(min_length=1)]
    """OpenTelemetry's severity text."""
    failure: bool
    """Whether an error of this severity makes the span that it happened in a failed one."""


class OperationPolicy(Section):
    """Operations: decorators and context managers."""

    capture_errors: bool
    """Whether an exception that leaves an operation becomes an error by itself."""
    expected_errors: tuple[str, ...]
    """Names of exception classes (`InsufficientFunds` or `bank.errors.InsufficientFunds`) that are no errors."""
    require_user: Literal["record", "raise"]
    """What `require_user=True` does without a user: record a security event, or raise `MissingUserError`."""


class RequestPolicy(Section):
    """What the middleware reads from a request and adds to its response."""

    id_header: Header
    """Header that names the request; one that is absent or malformed is made."""
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
    """Bytes of a body that are looked at as the application reads it. 0: none."""
    context_headers: tuple[Header, ...]
    """Headers that an error shows. Any other is left out."""
    user_state: tuple[str, ...]
    """Names under which `request.state` holds the user."""
    user_id_fields: tuple[str, ...]
    """Names under which a user object or mapping holds its id."""


class BreadcrumbPolicy(Section):
    """Breadcrumbs."""

    max_kept: PositiveInt
    """Newest breadcrumbs that an error carries."""


class BaggagePolicy(Section):
    """Baggage: what travels with outgoing requests, to every host that they go to."""

    send: tuple[Carried, ...]
    """Names that are sent."""
    accept: tuple[Accepted, ...]
    """Names that an operation takes over if it has none of its own."""
    max_length: PositiveInt
    """Characters of a value; a longer one is neither sent nor taken."""


class BruteForcePolicy(Section):
    """Counting failed logins, by user and by address, in this process."""

    failures: tuple[str, ...]
    """Event types that count."""
    successes: tuple[str, ...]
    """Event types that set a user's count back."""
    address_keys: tuple[str, ...]
    """Keys of an event's details that hold the address."""
    attempt_keys: tuple[str, ...]
    """Keys of an event's details that hold a count of the application's own; the higher one counts."""
    attempts: PositiveInt
    """How many within the window make an attack."""
    window_s: Seconds
    """Seconds that a failure counts."""
    max_tracked: PositiveInt
    """Users and addresses that are counted at once; the one longest quiet is forgotten first."""
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
    """How much of what an application hands over is kept."""

    max_depth: Annotated[int, Bounds(ge=1, le=16)]
    """Levels of nesting."""
    max_items: PositiveInt
    """Members of one list or mapping."""
    max_text: Annotated[int, Bounds(ge=16)]
    """Characters of one text."""


class CountPolicy(Section):
    """What is counted of errors, security events and violations."""

    max_names: PositiveInt
    """Categories, types of security events and regulations that the policy does not name, of each kind: so many are
    told apart in metrics; the rest is `(other)`."""


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
    """Category by a word in an operation's name, where nobody says one."""
    pci_segments: tuple[str, ...]
    """Segments of routes that handle cardholder data."""
    currencies: dict[CurrencyCode, Exponent]
    """Currencies beside ISO 4217's: the number of decimals of each."""
    operations: OperationPolicy
    request: RequestPolicy
    breadcrumbs: BreadcrumbPolicy
    baggage: BaggagePolicy
    security: SecurityPolicy
    compliance: CompliancePolicy
    context: ContextPolicy
    metrics: CountPolicy
