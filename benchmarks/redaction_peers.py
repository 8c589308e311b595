"""The corpus and two spans through the redactor and through its peers, side by side in one run.

    pip install --group peers && python benchmarks/redaction_peers.py [--write docs/redaction.md]

Each peer gets a case where its own users would put it: sentry-sdk's EventScrubber and Sentry's Relay get it as a part of an
event, logfire's scrubber as an attribute, presidio's recognizers get each text in it. A secret that is gone is found,
however much went with it; a benign case that comes out changed in any way is a false positive.
"""

from __future__ import annotations

import copy
import itertools
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.bench_redaction import DATABASE_SPAN, SERVER_SPAN
from benchmarks.redaction_corpus import Case, cases, judge, run

from mita_otel.policy import default_policy
from mita_otel.redaction import Redactor

Redact = Callable[[str, Any], Any]
"""Takes the name of an attribute and its value, returns the value."""

MIN_SCORE = 0.4
"""Presidio's own confidence: what its analyzer shows by default in its demo."""
START, END = "<!-- peers: written by benchmarks/redaction_peers.py -->", "<!-- /peers -->"


class Peer(NamedTuple):
    """One way to redact."""

    name: str
    case: Callable[[Case], Any]
    span: Callable[[dict[str, Any]], Any]


def ours() -> Peer:
    """Return this package's redactor."""
    redactor = Redactor()
    return Peer("mita-otel", lambda case: run(redactor, case), redactor.attributes)


def forgetful() -> Peer:
    """Return the redactor without its cache: the cost of a span with new text."""
    policy = default_policy().redaction.replace(max_cached=0)
    return ours()._replace(name="mita-otel, without cache", span=Redactor(policy).attributes)


def by_value(name: str, redact: Redact) -> Peer:
    """Return a peer that takes a name and a value."""

    def case(one: Case) -> Any:
        value = one.value.encode() if one.place == "bytes" else copy.deepcopy(one.value)
        if one.place == "attribute":
            return {one.key: redact(str(one.key), value)}
        if one.place == "sql":
            return redact("db.statement", value)
        return redact({"url": "url.full", "bytes": "body"}.get(one.place, "message"), value)

    return Peer(name, case, lambda attributes: {key: redact(key, value) for key, value in attributes.items()})


def by_event(name: str, redact: Callable[[dict[str, Any]], dict[str, Any]]) -> Peer:
    """Return a peer that takes a Sentry event."""

    def case(one: Case) -> Any:
        value = copy.deepcopy(one.value)
        match one.place:
            case "event":
                return redact(value)
            case "attribute":
                return {one.key: redact({"extra": {one.key: value}})["extra"].get(one.key)}
            case "attributes":
                return redact({"extra": value})["extra"]
            case "url":
                return redact({"request": {"url": value}})["request"].get("url")
            case "sql":
                spans = redact({"type": "transaction", "spans": [{"data": {"db.statement": value}}]})["spans"]
                return (spans[0].get("data") or {}).get("db.statement")
            case "bytes":
                return str(redact({"extra": {"body": value}})["extra"].get("body")).encode()
        return redact({"logentry": {"formatted": value}})["logentry"].get("formatted")

    return Peer(name, case, lambda attributes: redact({"extra": dict(attributes)}))


def event_scrubber() -> Peer:
    """Return sentry-sdk's scrubber, as `sentry_sdk.init` sets it up, and recursive."""
    from sentry_sdk.scrubber import EventScrubber
    from sentry_sdk.utils import AnnotatedValue

    scrubber = EventScrubber(recursive=True)

    def plain(value: Any) -> Any:
        if isinstance(value, AnnotatedValue):
            return "[Filtered]"
        if isinstance(value, dict):
            return {key: plain(member) for key, member in value.items()}
        return [plain(member) for member in value] if isinstance(value, list) else value

    def redact(event: dict[str, Any]) -> Any:
        scrubber.scrub_event(event)  # type: ignore[arg-type]
        return plain(event)

    return by_event(f"sentry-sdk {version('sentry-sdk')}", redact)._replace(
        span=lambda attributes: scrubber.scrub_dict(dict(attributes))
    )


def relay() -> Peer:
    """Return Relay's scrubbing with the default settings of a project on sentry.io."""
    from sentry_relay.processing import convert_datascrubbing_config, pii_strip_event

    config = convert_datascrubbing_config(
        {"scrubData": True, "scrubDefaults": True, "scrubIpAddresses": False, "sensitiveFields": [], "excludeFields": []}
    )  # fmt: skip

    def redact(event: dict[str, Any]) -> Any:
        safe = pii_strip_event(config, event, json_dumps=_dumps)
        safe.pop("_meta", None)
        return safe

    return by_event(f"sentry-relay {version('sentry-relay')}", redact)


def _dumps(value: Any) -> str:
    import json

    return json.dumps(value, default=lambda it: it.decode("utf-8", "replace"))


def logfire() -> Peer:
    """Return logfire's scrubber with its default patterns."""
    from logfire._internal.scrubbing import Scrubber

    scrubber = Scrubber(None)
    return by_value(
        f"logfire {version('logfire')}",
        lambda key, value: scrubber.scrub_value(("attributes", key), {key: value})[0].get(key),
    )


def presidio() -> Peer:
    """Return presidio's recognizers, without a language model, of what the corpus is about."""
    from presidio_analyzer import predefined_recognizers as known

    names = ("CreditCard", "Iban", "UsSsn", "UsItin", "AbaRouting", "UsBank")
    recognizers = [getattr(known, f"{name}Recognizer")() for name in names]

    def redact(key: str, value: Any) -> Any:
        if isinstance(value, str):
            for recognizer in recognizers:
                found = recognizer.analyze(value, recognizer.supported_entities, None) or ()
                for hit in sorted(found, key=lambda one: -one.start):
                    if hit.score >= MIN_SCORE:
                        value = f"{value[: hit.start]}<{hit.entity_type}>{value[hit.end :]}"
            return value
        if isinstance(value, dict):
            return {name: redact(name, member) for name, member in value.items()}
        if isinstance(value, list):
            return [redact(key, member) for member in value]
        return value

    return by_value(f"presidio {version('presidio-analyzer')}", redact)


def peers() -> list[Peer]:
    """Return the redactor and the peers that are installed."""
    found = [ours()]
    for make in (event_scrubber, relay, logfire, presidio):
        try:
            found.append(make())
        except ImportError as error:
            print(
                f"{make.__name__}: not installed ({error.name}); pip install --group peers", file=sys.stderr
            )
    return found


def failed(peer: Peer, case: Case) -> bool:
    """Tell whether a secret came out, or something benign was changed."""
    try:
        result = peer.case(case)
    except Exception:  # noqa: BLE001 - a case that a peer chokes on does not come out
        return case.benign
    return bool(judge(case, result).leaked)


def scores(found: list[Peer]) -> tuple[dict[tuple[bool, str], int], dict[tuple[bool, str], list[int]]]:
    """Return, by benign or not and by kind, how many cases there are, and how many of them each peer failed."""
    totals: dict[tuple[bool, str], int] = defaultdict(int)
    misses: dict[tuple[bool, str], list[int]] = defaultdict(lambda: [0] * len(found))
    for case in cases():
        totals[case.benign, case.kind] += 1
        for index, peer in enumerate(found):
            misses[case.benign, case.kind][index] += failed(peer, case)
    return totals, misses


def server_span_with_new_ids(number: int) -> dict[str, Any]:
    """Return a server span as the next request makes it: path, query and user are new."""
    return {
        **SERVER_SPAN,
        "url.path": f"/api/accounts/{number}/transactions",
        "url.query": f"page={number}&limit=50",
        "user.id": f"u_{number}",
    }


SPANS: dict[str, Callable[[int], dict[str, Any]]] = {
    "server span, 15 attributes, seen before": lambda number: SERVER_SPAN,
    "server span, path, query and user new": server_span_with_new_ids,
    "database span, 8 attributes, seen before": lambda number: DATABASE_SPAN,
}
"""The next span of a kind, by its number."""


def microseconds(found: list[Peer], make: Callable[[int], dict[str, Any]], rounds: int = 15) -> list[float]:
    """Return each peer's microseconds of processor time for a span: the median of interleaved rounds."""
    number = itertools.count()
    times: list[list[float]] = [[] for _ in found]
    calls = []
    for peer in found:
        start = time.process_time()
        for _ in range(3):
            peer.span(make(next(number)))
        calls.append(max(3, min(2000, int(0.02 / max(1e-7, (time.process_time() - start) / 3)))))
    for _ in range(rounds):
        for index, peer in enumerate(found):
            spans = [make(next(number)) for _ in range(calls[index])]
            start = time.process_time()
            for span in spans:
                peer.span(span)
            times[index].append((time.process_time() - start) / calls[index] * 1e6)
    return [statistics.median(one) for one in times]


def table(header: list[str], rows: list[list[str]]) -> list[str]:
    """Return a table in Markdown, its columns aligned."""
    widths = [max(len(row[column]) for row in [header, *rows]) for column in range(len(header))]
    lines = [header, ["-" * width for width in widths], *rows]
    return [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |"
        for line in lines
    ]


def report() -> str:
    """Return the tables."""
    found = peers()
    totals, misses = scores(found)
    names = [peer.name for peer in found]
    lines: list[str] = []
    for benign, title in ((False, "secrets found"), (True, "benign values changed")):
        rows = []
        kinds = sorted(kind for is_benign, kind in totals if is_benign is benign)
        for kind in kinds:
            count = totals[benign, kind]
            rows.append([kind, str(count), *(_cell(count, miss, benign) for miss in misses[benign, kind])])
        count = sum(totals[benign, kind] for kind in kinds)
        sums = [sum(misses[benign, kind][index] for kind in kinds) for index in range(len(found))]
        rows.append(["**all**", str(count), *(f"**{_cell(count, miss, benign)}**" for miss in sums)])
        lines += [*table([title, "cases", *names], rows), ""]
    rows = []
    timed = [*found, forgetful()]
    for name, span in SPANS.items():
        times = microseconds(timed, span)
        rows.append([name, *(f"{one:.1f} ({one / times[0]:.1f}x)" for one in times)])
    lines += [*table(["microseconds a span (processor time)", *(peer.name for peer in timed)], rows), ""]
    return "\n".join(lines)


def _cell(count: int, missed: int, benign: bool) -> str:
    return str(missed) if benign else f"{(count - missed) / count:.0%}"


def write(path: Path, tables: str) -> None:
    """Put the tables between the marks in a page."""
    before, _, rest = path.read_text("utf-8").partition(START)
    _, _, after = rest.partition(END)
    path.write_text(f"{before}{START}\n\n{tables}\n{END}{after}", "utf-8")


def main() -> None:
    """Print the tables, or write them into a page."""
    tables = report()
    if len(sys.argv) > 2 and sys.argv[1] == "--write":
        write(Path(sys.argv[2]), tables)
    else:
        print(tables)


if __name__ == "__main__":
    main()
