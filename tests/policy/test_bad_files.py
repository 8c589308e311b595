"""Invalid policy files: one message per problem, with file, line, key, problem and fix."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from mita_otel.policy import Policy, PolicyError, load_policy, salvage_policy
from mita_otel.policy.runtime import QueuePolicy
from mita_otel.policy.section import types_of
from policy.conftest import Complaints

LIMIT = 'a number of milliseconds above 0, "off", or a table'
SECTIONS = ", ".join(types_of(Policy))

BAD: dict[str, tuple[str | bytes, list[str]]] = {
    "empty": (b"", [": is empty; write what differs from the defaults, or name no file"]),
    "nothing but white space": (b" \n\t\n", [": is empty; write what differs from the defaults, or name no file"]),
    "not TOML": (
        "[thresholds\n",
        [":1: is not TOML: expected ']' at the end of a table declaration; correct the line or quote the text in it"],
    ),
    "text without quotes": (
        "[thresholds.api.methods]\nGET = fast\n",
        [":2: is not TOML: invalid value; correct the line or quote the text in it"],
    ),
    "cut off": (
        '[export]\ntraces = ["sentry",\n  "fi',
        [':3: is not TOML: unterminated string; correct the line or quote the text in it'],
    ),
    "another format": (
        "thresholds:\n  api: 500\n",
        [":1: is not TOML: expected '=' after a key in a key/value pair; correct the line or quote the text in it"],
    ),
    "not UTF-8": (
        '[export.file]\npath = "gehälter"\n'.encode("latin-1"),
        [":2: is not UTF-8 text (byte 25); save it as UTF-8"],
    ),
    "UTF-16": ("[export]\n".encode("utf-16"), [": is UTF-16 text; save it as UTF-8"]),
    "UTF-16 without its mark": (
        "[export]\n".encode("utf-16-le"), [": holds NUL characters, so it is no text; save it as UTF-8"]
    ),
    "huge": (
        b"# x\n" * 250_001, [": is larger than 1000000 bytes and cannot be a policy; name the policy's file"]
    ),
    "nested without end": (
        "a = " + "[" * 50_000, [": is nested more than 32 levels deep and cannot be a policy; name the policy's file"]
    ),
    "a key without end": (
        "[" + ".".join("a" * 50_000) + "]",
        [": is nested more than 32 levels deep and cannot be a policy; name the policy's file"],
    ),
    "a number with too many digits": (
        f"[export.queue]\nmax_spans = -{'9' * 4301}\nmax_batch = {'9' * 4301}\n",
        [
            ":2: export.queue.max_spans: has a number of 4301 digits; write a number of at most 15 digits",
            ":3: export.queue.max_batch: has a number of 4301 digits; write a number of at most 15 digits",
        ],
    ),
    "a number with too many digits in a list": (
        f"export.traces = ['memory', {'9' * 5000}]\n",
        [":1: export.traces.1: has a number of 5000 digits; write a number of at most 15 digits"],
    ),
    "a hexadecimal number beyond all bounds": (
        f"[export.queue]\nmax_spans = 0x{'f' * 5000}\n",
        [":2: export.queue.max_spans: the number is too large; write one up to 9007199254740992"],
    ),
    "a duration above the maximum": (
        "[export.queue]\ndelay_ms = 1e300\n",
        [":2: export.queue.delay_ms: the number is too large; write one up to 9007199254740992"],
    ),
    "a key of digits": (
        f"[export.queue]\n{'9' * 4301} = 1\n",
        [f":2: export.queue.{'9' * 4301}: there is no such key; known here: {', '.join(types_of(QueuePolicy))}"],
    ),
    "more keys than a policy has": (
        "[sampling]\n" + "".join(f"k{number} = 1\n" for number in range(20_001)),
        [": has more than 20000 keys and cannot be a policy; name the policy's file"],
    ),
    "a pattern with a count beyond all bounds": (
        "[redaction.custom.x]\npattern = 'a{1,4294967295}'\n",
        [
            ":2: redaction.custom.x.pattern: 'a{1,4294967295}' is not a regular expression: "
            "the repetition number is too large"
        ],
    ),
    "a slow pattern": (
        "[redaction.custom.x]\npattern = '(?:(?=)){2000000000}a'\n",
        [
            ":2: redaction.custom.x.pattern: '(?:(?=)){2000000000}a' takes at least 2000000001 steps to match; "
            "4096 are allowed: lower the counts of its repeats"
        ],
    ),
    "a duplicate key": (
        "[thresholds.api.methods]\nGET = 300\nGET = 400\n",
        [":3: thresholds.api.methods.GET: is written twice; keep one of the two"],
    ),
    "a duplicate table": (
        "[thresholds.api]\nfallback_ms = 1\n[thresholds.api]\n",
        [":3: thresholds.api: is written twice; keep one of the two"],
    ),
    "a duplicate key of an inline table": (
        "[thresholds]\ndatabase = { SELECT = 1, SELECT = 2 }\n",
        [":2: thresholds.database.SELECT: is written twice; keep one of the two"],
    ),
    "unknown section": (
        "\n[tresholds]\nenabled = true\n",
        [":2: tresholds: there is no such key; did you mean thresholds?"],
    ),
    "unknown section without a similar one": (
        "[colours]\n", [f":1: colours: there is no such key; known here: {SECTIONS}, environments"]
    ),
    "unknown key": ("[sentry]\nmax_spanz = 5\n", [":2: sentry.max_spanz: there is no such key; did you mean max_spans?"]),
    "unknown key of an inline table": (
        "[export]\nqueue = { max_spans = 5, maxbatch = 5 }\n",
        [":2: export.queue.maxbatch: there is no such key; did you mean max_batch?"],
    ),
    "unknown key below a free name": (
        "[thresholds.api.financial.PATCH]\nlimit_ms = 5\nsegment = []\n",
        [
            ':1: thresholds.api.financial.PATCH: segments is missing; add it, as in segments = ["a", "b"]',
            ":3: thresholds.api.financial.PATCH.segment: there is no such key; did you mean segments?",
        ],
    ),
    "unknown section of an environment": (
        "[environments.qa.thresholdz]\n",
        [":1: environments.qa.thresholdz: there is no such key; did you mean thresholds?"],
    ),
    "environments misspelled": (
        "[environment.staging.export]\ntraces = []\n",
        [":1: environment: there is no such key; did you mean environments?"],
    ),
    "an overlay without the environment's name": (
        "[environments.thresholds.api]\nfallback_ms = 5\n",
        [
            ":1: environments.thresholds.api: the environment's name is missing; "
            "write [environments.NAME.thresholds.api]"
        ],
    ),
    "environments that are not a table": (
        'environments = ["staging"]\n', [":1: environments: is not a table; write [environments.NAME.section]"]
    ),
    "an environment that is not a table": (
        'environments.staging = "fast"\n',
        [":1: environments.staging: is not a table; write [environments.NAME.section]"],
    ),
    "text for a number": (
        '[thresholds.api.methods]\nGET = "500"\n',
        [f':2: thresholds.api.methods.GET: "500" is not {LIMIT}; write it as in GET = 500'],
    ),
    "a limit of 0": (
        "[thresholds.database]\nSELECT = 0\n",
        [f":2: thresholds.database.SELECT: 0 is not {LIMIT}; write it as in SELECT = 200"],
    ),
    "a negative limit": (
        "thresholds.background.default_ms = -1\n",
        [f":1: thresholds.background.default_ms: -1 is not {LIMIT}; write it as in default_ms = 5000"],
    ),
    "a limit without end": (
        "[thresholds.financial]\npayment_processing = inf\nbudget_calculation = nan\n",
        [
            f":2: thresholds.financial.payment_processing: inf is not {LIMIT}; write it as in payment_processing = 1200",
            f":3: thresholds.financial.budget_calculation: nan is not {LIMIT}; write it as in budget_calculation = 1500",
        ],
    ),
    "a truth value for a limit": (
        "[thresholds.api]\nfallback_ms = false\n",
        [f":2: thresholds.api.fallback_ms: false is not {LIMIT}; write it as in fallback_ms = 1000"],
    ),
    "a date for a limit": (
        "[thresholds.api]\nfallback_ms = 2024-02-01\n",
        [f':2: thresholds.api.fallback_ms: 2024-02-01 is not {LIMIT}; write it as in fallback_ms = 1000'],
    ),
    "a table for a number": (
        "[sentry]\nmax_spans = { a = 1 }\n",
        [":2: sentry.max_spans: a table is not a whole number above 0; write it as in max_spans = 1000"],
    ),
    "a table that is not a limit": (
        "[thresholds.api.methods.GET]\nlimit_ms = 5\n",
        [
            ":1: thresholds.api.methods.GET: follow, floor_ms and ceiling_ms are missing; "
            'add them, as in follow = "text"',
            ":2: thresholds.api.methods.GET.limit_ms: there is no such key; "
            "known here: follow, floor_ms, ceiling_ms",
        ],
    ),
    "an adaptive limit with invalid bounds": (
        '[thresholds.database]\nSELECT = { follow = "p99 * 2", floor_ms = 0, ceiling_ms = "1000" }\n',
        [
            ":2: thresholds.database.SELECT.floor_ms: 0 is not a number above 0; write it as in floor_ms = 500",
            ':2: thresholds.database.SELECT.ceiling_ms: "1000" is not a number above 0; write it as in ceiling_ms = 500',
        ],
    ),
    "a number for a table": (
        "[thresholds]\napi = 500\n", [":2: thresholds.api: 500 is not a table; write [thresholds.api]"]
    ),
    "a list for a table": ("[[sentry]]\nmax_spans = 1\n", [":1: sentry: [{ max_spans = 1 }] is not a table; write [sentry]"]),
    "a fraction for a count": (
        "[sentry]\nmax_spans = 1.5\n",
        [":2: sentry.max_spans: 1.5 is not a whole number above 0; write it as in max_spans = 1000"],
    ),
    "out of bounds": (
        "[export.console]\nmax_width = 20\n[lifecycle]\nshutdown_timeout_s = 1e9\n",
        [
            ":2: export.console.max_width: 20 is not a whole number that is at least 60 and at most 400; "
            "write it as in max_width = 100",
            ":4: lifecycle.shutdown_timeout_s: 1000000000 is not a number above 0 and at most 3600; "
            "write it as in shutdown_timeout_s = 5",
        ],
    ),
    "a number for a truth value": (
        "[redaction]\nenabled = 0\n", [":2: redaction.enabled: 0 is not true or false; write it as in enabled = true"]
    ),
    "text for a list": (
        '[export]\ntraces = "sentry"\n',
        [':2: export.traces: "sentry" is not a list of texts; write it as in traces = ["sentry"]'],
    ),
    "list for a text": (
        '[export.file]\npath = ["a"]\n',
        [
            ':2: export.file.path: ["a"] is not a text of 1 or more characters; '
            'write it as in path = "mita-otel-spans.jsonl"'
        ],
    ),
    "a number in a list of texts": (
        '[redaction.keys]\nallow = [\n  "a",\n  5,\n]\n',
        [':4: redaction.keys.allow.1: 5 is not a text; write it as in "text"'],
    ),
    "unknown mode": (
        '[redaction.modes]\nemail = "hide"\n',
        [
            ':2: redaction.modes.email: "hide" is not one of "off", "remove", "mask", "last4", "hmac" or "range"; '
            'write it as in email = "off"'
        ],
    ),
    "a mode misspelled": (
        '[redaction.modes]\nemail = "maks"\n',
        [
            ':2: redaction.modes.email: "maks" is not one of "off", "remove", "mask", "last4", "hmac" or "range"; '
            'did you mean "mask"?'
        ],
    ),
    "bad method name": (
        "[thresholds.api.methods]\nGETT = 5\nFROB = 5\n",
        [
            ":2: thresholds.api.methods.GETT: 'GETT' is not an HTTP method; did you mean GET?",
            ":3: thresholds.api.methods.FROB: 'FROB' is not an HTTP method; known are CONNECT, DELETE, GET, HEAD, "
            "OPTIONS, PATCH, POST, PUT, QUERY, TRACE",
        ],
    ),
    "a method in small letters": (
        "[thresholds.api.methods]\nget = 5\n",
        [":2: thresholds.api.methods.get: 'get' is not an HTTP method; write it in capitals: GET"],
    ),
    "a verb in small letters": (
        "[thresholds.database]\nselect = 5\n",
        [":2: thresholds.database.select: 'select' is not a statement's verb; write it in capitals: SELECT"],
    ),
    "an unknown verb": (
        "[thresholds.database]\nSELCT = 5\n",
        [":2: thresholds.database.SELCT: 'SELCT' is not a statement's verb; did you mean SELECT?"],
    ),
    "bad route": (
        '[thresholds.api.routes]\n"POST api/x" = 5\n"/api/x" = 5\n"post /api/x" = 5\n"PSOT /api/x" = 5\n',
        [
            f':{line}: thresholds.api.routes."{route}": \'{route}\' is not a method and a route; '
            "write them as in 'POST /api/auth/login'"
            for line, route in enumerate(["POST api/x", "/api/x", "post /api/x"], 2)
        ]
        + [":5: thresholds.api.routes.\"PSOT /api/x\": 'PSOT' is not an HTTP method; did you mean POST?"],
    ),
    "a segment with slashes": (
        '[thresholds.api.financial]\nGET.segments = ["balance", "api/profile"]\n',
        [
            ":2: thresholds.api.financial.GET.segments.1: 'api/profile' is not one segment of a route; "
            "write it without slashes, as in balance"
        ],
    ),
    "an operation with spaces": (
        '[thresholds.financial]\n"Pay Out" = 5\n',
        [
            ":2: thresholds.financial.\"Pay Out\": 'Pay Out' is not an operation's name; "
            "write it as in payment_processing"
        ],
    ),
    "a pattern with exponential runtime": (
        "[redaction.custom]\nmember = { pattern = '(a+)+b' }\n",
        [
            ":2: redaction.custom.member.pattern: '(a+)+b' repeats a repeat, which can take exponential time; "
            "write the inner one with a fixed count"
        ],
    ),
    "an invalid pattern": (
        "[redaction.custom.member]\npattern = '[a-'\n",
        [
            ":2: redaction.custom.member.pattern: '[a-' is not a regular expression: "
            "unterminated character set at position 0"
        ],
    ),
    "a rule's name": (
        "[redaction.custom.'My Rule']\nkeys = ['a']\n",
        [
            ':1: redaction.custom."My Rule": "My Rule" is not a text that matches ^[a-z][a-z0-9_]{0,31}$; '
            "write another name"
        ],
    ),
    "a policy of another environment": (
        "[environments.staging.sentry]\nmax_spans = 0\n",
        [":2: environments.staging.sentry.max_spans: 0 is not a whole number above 0; write it as in max_spans = 1000"],
    ),
    "every problem at once": (
        "[thresholds.database]\nSELECT = 0\n[sentri]\n[environments.qa]\nexport.traces = 5\nexport.fil = 5\n",
        [
            f":2: thresholds.database.SELECT: 0 is not {LIMIT}; write it as in SELECT = 200",
            ":3: sentri: there is no such key; did you mean sentry?",
            ':5: environments.qa.export.traces: 5 is not a list of texts; write it as in traces = ["sentry"]',
            ":6: environments.qa.export.fil: there is no such key; did you mean file?",
        ],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("content", "said"), BAD.values(), ids=BAD.keys())
def test_each_problem_is_reported_with_line_key_and_fix(
    tmp_path: Path, complaints: Complaints, content: str | bytes, said: list[str]
) -> None:
    path = tmp_path / "limits.toml"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    assert complaints(path) == [f"limits.toml{one}" for one in said]


def _missing(path: Path) -> None:
    pass


def _pipe(path: Path) -> None:
    os.mkfifo(path)


def _dangling(path: Path) -> None:
    path.symlink_to("nowhere")


def _circle(path: Path) -> None:
    path.symlink_to(path)


NO_FILE: dict[str, tuple[Callable[[Path], None], str]] = {
    "missing": (_missing, "there is no such file; name one that exists, or none for the defaults"),
    "directory": (Path.mkdir, "is a directory; name the file in it, as in limits.toml/mita-otel.toml"),
    "a pipe": (_pipe, "is not a regular file; name one that is"),
    "dangling link": (_dangling, "there is no such file; name one that exists, or none for the defaults"),
    "link to itself": (
        _circle, "cannot be read: Too many levels of symbolic links; let the service's user read it"
    ),
}  # fmt: skip


@pytest.mark.parametrize(("make", "said"), NO_FILE.values(), ids=NO_FILE.keys())
def test_a_path_that_is_not_a_regular_file_is_reported(
    tmp_path: Path, complaints: Complaints, make: Callable[[Path], None], said: str
) -> None:
    path = tmp_path / "limits.toml"
    make(path)
    assert complaints(path) == [f"limits.toml: {said}"]


@pytest.mark.parametrize(
    ("error", "said"),
    [(PermissionError(13, "Permission denied"), "Permission denied"), (OSError(5, "Input/output error"), "Input/output error")],
)  # fmt: skip
def test_an_unreadable_file_is_reported_with_the_reason(
    tmp_path: Path, complaints: Complaints, monkeypatch: pytest.MonkeyPatch, error: OSError, said: str
) -> None:
    path = tmp_path / "limits.toml"
    path.write_text("[sentry]\n")

    def refuse(self: Path, mode: str) -> None:
        raise error

    monkeypatch.setattr(Path, "open", refuse)
    assert complaints(path) == [f"limits.toml: cannot be read: {said}; let the service's user read it"]


def test_a_selected_pyproject_must_have_the_table(tmp_path: Path, complaints: Complaints) -> None:
    path = tmp_path / "pyproject.toml"
    path.write_text("[tool.other]\n")
    assert complaints(path) == ["pyproject.toml: has no table [tool.mita-otel]; add it, or name another file"]
    path.write_text("[project]\nname = 'x'\n\n[tool.mita-otel.sentry]\nmax_spanz = 5\n")
    assert complaints(path) == [
        "pyproject.toml:5: sentry.max_spanz: there is no such key; did you mean max_spans?"
    ]


def test_a_file_with_only_comments_gives_the_defaults(tmp_path: Path, complaints: Complaints) -> None:
    path = tmp_path / "limits.toml"
    path.write_text("# nothing yet\n")
    assert complaints(path) == []


def test_a_byte_order_mark_and_windows_line_ends_are_accepted(tmp_path: Path, complaints: Complaints) -> None:
    path = tmp_path / "limits.toml"
    path.write_bytes("\ufeff[sentry]\r\nmax_spans = 500\r\nmax_spanz = 5\r\n".encode())
    assert complaints(path) == [
        "limits.toml:3: sentry.max_spanz: there is no such key; did you mean max_spans?"
    ]


def test_a_long_value_is_truncated_in_the_message(tmp_path: Path, complaints: Complaints) -> None:
    path = tmp_path / "limits.toml"
    path.write_text(f'[sentry]\nmax_spans = "{"x" * 5000}"\n')
    [said] = complaints(path)
    assert len(said) < 200


def test_messages_contain_no_jargon_of_a_validator(tmp_path: Path, complaints: Complaints) -> None:
    for number, (content, _) in enumerate(BAD.values()):
        path = tmp_path / f"{number}.toml"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        for line in complaints(path):
            for word in (
                "input",
                "pydantic",
                "should be",
                "validation",
                "literal_error",
                "float_type",
                "Errno",
            ):
                assert word not in line.lower(), line


def test_invalid_settings_are_left_out_and_the_others_apply(tmp_path: Path) -> None:
    """An invalid limit must not disable a team's redaction rules."""
    path = tmp_path / "limits.toml"
    path.write_text(
        "[thresholds.api.methods]\nGET = 'fast'\nPOST = 900\n[sentri]\nx = 1\n"
        "[redaction.keys]\nallow = [1, 'a', 2, 'b', 3]\n"
        "[redaction.custom.member]\nkeys = ['member_no']\n[redaction.custom.other]\npattern = '(a+)+b'\n"
    )
    loaded = salvage_policy(
        path, env={"MITA_OTEL_SENTRY__MAX_SPANS": "many", "MITA_OTEL_SENTRY__MAX_ENVELOPES": "7"}
    )
    policy = loaded.policy
    assert policy.thresholds.api.methods["GET"] == 500
    assert policy.thresholds.api.methods["POST"] == 900
    assert policy.redaction.keys.allow == ("a", "b")
    assert policy.redaction.custom["member"].keys == ("member_no",)
    assert policy.redaction.custom["other"].pattern is None
    assert policy.sentry.max_spans == 1000
    assert policy.sentry.max_envelopes == 7
    assert [problem.key for problem in loaded.problems] == [
        "thresholds.api.methods.GET",
        "sentri",
        "redaction.keys.allow.0",
        "redaction.keys.allow.2",
        "redaction.keys.allow.4",
        "redaction.custom.other.pattern",
        "sentry.max_spans",
    ]


@pytest.mark.parametrize("content", [content for content, _ in BAD.values()], ids=BAD.keys())
def test_every_invalid_file_leaves_a_usable_policy(tmp_path: Path, content: str | bytes) -> None:
    path = tmp_path / "limits.toml"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    for environment in ("production", "staging", "qa"):
        loaded = salvage_policy(path, environment=environment, env={})
        assert loaded.problems
        assert loaded.policy.redaction.enabled


@pytest.mark.parametrize(
    "value",
    ["9" * 4301, "a{1,4294967295}", "[" * 5000, "[" * 400 + "]" * 400, "1e999", "0x" + "f" * 5000, "'"],
    ids=["digits", "pattern", "open", "nested", "infinite", "hexadecimal", "quote"],
)
@pytest.mark.parametrize(
    "name",
    [
        "MITA_OTEL_EXPORT__QUEUE__MAX_SPANS",
        "MITA_OTEL_REDACTION__CUSTOM__X__PATTERN",
        "MITA_OTEL_THRESHOLDS__API__METHODS__GET",
        "SENTRY_TRACES_SAMPLE_RATE",
        "OTEL_BSP_SCHEDULE_DELAY",
    ],
)
def test_every_invalid_variable_leaves_a_usable_policy(name: str, value: str) -> None:
    loaded = salvage_policy(env={name: value}, folder=Path("/"))
    is_pattern = name.endswith("PATTERN") and value in {"9" * 4301, "1e999", "'"}
    assert [problem.place for problem in loaded.problems] == (
        [] if is_pattern and len(value) < 512 else [name]
    )
    assert loaded.policy.export.queue.max_spans == 8192


def test_variables_apply_without_a_file(tmp_path: Path) -> None:
    loaded = salvage_policy(tmp_path / "missing.toml", env={"MITA_OTEL_SENTRY__MAX_SPANS": "7"})
    assert loaded.policy.sentry.max_spans == 7
    assert len(loaded.problems) == 1


def test_the_error_is_a_configuration_error_with_each_problem(tmp_path: Path) -> None:
    path = tmp_path / "limits.toml"
    path.write_text("[sentri]\n")
    with pytest.raises(PolicyError) as caught:
        load_policy(path, env={})
    [problem] = caught.value.problems
    assert (problem.place, problem.key) == (f"{path}:1", "sentri")
    assert str(caught.value) == f"{path}:1: sentri: {problem.message}"
