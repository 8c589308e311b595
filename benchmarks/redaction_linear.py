"""Seconds for half a megabyte and for one of every kind of input, hostile ones first: the ratio must stay near 2.

The bound on a value's length is lifted for this; under the default policy a value is cut at 32 kB before any
of this work. Exits 1 if a kind takes more than three times as long for twice the size.
"""

from __future__ import annotations

import gc
import json
import sys
import time
from collections.abc import Callable

from mita_otel.policy import default_policy
from mita_otel.redaction import Redactor

HALF = 500_000
ALLOWED = 3.0
NOISE_S = 0.1
"""Below this a ratio says nothing."""

UNITS = [
    # prose, logs, numbers
    "payment accepted for order 8812\n", "card 4111 1111 1111 1111 declined\n", "4111 ", "41", "4 1 ", "4111:", "4111, ",
    "12-34-56 ", "123-45-6789 ", "1", "0", "9f8b7c6d-1e2f-4a3b-8c4d-5e6f7a8b9c0d ", "deadbeef", "DE89 ", "DE8937040044053201", "AD12",
    "GB29 NWBK 6016 ", "a", " ", "\n", "\t", "x ", "ssn ", "ssn 123456789 ", "routing 021000021 ", "account 12 ", "aba ", "pin ", "pin 4", "cvv ",
    "cvv 12", "B4111111111111111^", "%B4", "4111111111111111=", ";4111111111111111D", "+49 ", "ean ", "sort code ",
    # names and values
    "password=", "password=x ", "password: ", "password is ", "token ", "key=", "key=key=", "api_key:'", "secret=\"", "pass=", "a=b&", "a:b;", "--password ",
    "-u a:b ", "<password>", "<a>", "</", "('password', '", "name=\"pin\"\r\n\r\n", "Key (pin)=(", "(a)=(", "Duplicate entry '", "near '",
    "invalid input syntax for type a: \"", "[generated in 1s] (", "[SQL: ", "[parameters: ", "input_value=", ", input_type=", "'loc': ('pin'), 'input': ",
    "LINE 1: ", "LINE 1: SELECT 'a\n", "COPY a, line 1: ", "Failing row contains (", "card verification value ",
    # credentials, URLs
    "eyJ", "eyJhbGci.eyJ", "Bearer ", "Bearer abc", "basic YTpi ", "cookie: ", "authorization: ", "authorization: bearer a\n", "-----BEGIN PRIVATE KEY-----", "-----BEGIN ",
    "-----END ", "sk-", "sk-proj-", "sk_live_", "live_", "AKIA", "xoxb-", "ghp_", "AQE", "EAA", "A", "SG.", "1//0", "key-", "https://", "://", "://a:b@", "a://b:",
    "//a:b@", "https://a.test/?token=x&", "?code=", "/cards/41", "jdbc:oracle:thin:a/", "a@b.", "@", "discord.com/api/webhooks/",
    "sshpass -p ", "mysql ", "mysql -p", "mysql a -pb ", "docker login ", "redis-cli ", "user a identified by ", "your code is ", "your a ", "1234 is your ",
    "$2b$12$", "$argon2id$v=19$", "$6$a", "scrypt$", "scrypt:1:1$", "v4.public.", "eyJhbGci..", "RTN 021000021/12345 ", ":50K:/1\n", "CdtrAcct><Id>", "CdtrAcct> ",
    "cvv got ", "cvv 123 expected ", "pin by the user", "pin 1234 to ", "DE52=", "'4111' ", "[4111][", "name=\"a\" ", "name=\"pin\" value=\"", "value=\"a\" ", "name=pin\r\na: b\r\n",
    "<pin><![CDATA[", "<pin>a]]>", "**pin**: ",
    # encodings
    "\x1b[0m", "\x1b[0;", "\0", "\\101",     "%34", "%25", "%2534", "%", "\\", "\\\\", "\\u0034", "\\n", "\\\"", "&#52;", "&quot;", "&", "\u200b", "\u0664", "\uff14", "\u00a0", "+%41",
    # brackets and quotes
    "(", "[", "{", "\"", "'", "`", "\"\"", "''", "((a", "[{\"a\":", "{\"password\": [", "card={", "card=(", "card=\"{", "card='(", "\\'", "[redacted:pan]", "[redacted:", "*", "card=**",
    # statements
    "SELECT 'a' FROM t WHERE b = 1; ", "SELECT \"", "/*", "/* a */ ", "-- a\n", "--", "#", "$a$", "$$", "q'[", "E'\\'", "x'0", "1.", "1e", "_a'", "VALUES (\"a\"), ", "IN (\"a\", ",
    "insert into t values (", "select a from t where ", "update t set ", "INSERT INTO t VALUES ('", "UPDATE t SET a='b', ", "SELECT a FROM t WHERE b='c' AND ",
]  # fmt: skip


def seconds(call: Callable[[], object]) -> float:
    """Return the processor's time."""
    gc.collect()
    start = time.process_time()
    call()
    return time.process_time() - start


def kinds() -> list[tuple[str, Callable[[Redactor, int], object]]]:
    """Return what is measured: a name, and a call for a size."""
    made: list[tuple[str, Callable[[Redactor, int], object]]] = [
        (f"text {unit!r}", lambda r, size, u=unit: r.text(u * (size // len(u)))) for unit in UNITS
    ]
    made += [
        (
            f"sql {dialect or ''} {unit!r}",
            lambda r, size, u=unit, d=dialect: r.sql(u * (size // len(u)), dialect=d),
        )
        for unit in UNITS[UNITS.index('"') :]
        for dialect in (None, "mysql")
    ]
    made.append(("json, flat", lambda r, size: r.text(json.dumps([{"card": "x", "n": 1}] * (size // 24)))))
    made.append(("json in json", lambda r, size: r.text(json.dumps({"a": json.dumps(["b" * (size - 40)])}))))
    made.append(("attributes", lambda r, size: r.attributes({f"k{i}": "v" * 90 for i in range(size // 100)})))
    made.append(("bytes", lambda r, size: r.value("body", b"pin=4821&" * (size // 9))))
    made.append(("key", lambda r, size: r.attributes({"password_" * (size // 9): "x"})))
    made.append(("event", lambda r, size: r.event({"extra": {"a": "pin 4821 " * (size // 9)}})))
    return made


def main() -> int:
    """Print the slowest kinds, and those that take more than linear time."""
    policy = default_policy().redaction
    redactor = Redactor(policy.replace(max_text=4_000_000, max_items=10_000_000, max_cached=0))
    chosen = [kind for kind in kinds() if len(sys.argv) < 2 or sys.argv[1] in kind[0]]
    measured = []
    for name, call in chosen:
        half = seconds(lambda call=call: call(redactor, HALF))  # type: ignore[misc]
        whole = seconds(lambda call=call: call(redactor, 2 * HALF))  # type: ignore[misc]
        if whole > ALLOWED * half:  # once more, in case the machine was busy
            half = max(half, seconds(lambda call=call: call(redactor, HALF)))  # type: ignore[misc]
            whole = min(whole, seconds(lambda call=call: call(redactor, 2 * HALF)))  # type: ignore[misc]
        measured.append((whole, whole / max(half, 1e-9), name))
    bad = [one for one in measured if one[1] > ALLOWED and one[0] > NOISE_S]
    measured.sort(reverse=True)
    print(f"{len(measured)} kinds of input; the slowest:\n{'1 MB (s)':>10}{'ratio':>8}")
    for whole, ratio, name in measured[:15]:
        print(f"{whole:>10.2f}{ratio:>8.2f}  {name}")
    for whole, ratio, name in bad:
        print(f"MORE THAN LINEAR {whole:>10.2f}{ratio:>8.2f}  {name}")
    return 1 if bad else 0


if __name__ == "__main__":
    raise SystemExit(main())
