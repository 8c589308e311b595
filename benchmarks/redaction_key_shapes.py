"""Compare the shapes of provider keys with a newer set of gitleaks' rules: print those that the redactor misses.

Usage: python benchmarks/redaction_key_shapes.py gitleaks.toml

A key is generated from the pattern of each rule that recognises a key by itself, without the provider's name
beside it. Exits 1 if a key passes the redactor.
"""

from __future__ import annotations

import importlib
import random
import re
import sys
import tomllib
from pathlib import Path
from typing import Any

from mita_otel.redaction import Redactor

BESIDE_A_NAME = r"[\w.-]{0,50}?"
"""How the patterns begin that need the provider's name beside the key."""
TRANSLATED = {"[[:alnum:]]": "[A-Za-z0-9]", r"\z": r"\Z", "(?i)": "", "(?-i:": "(?:"}
"""What Go's patterns write in another way than Python's."""
EXCEPT = {
    "generic-api-key",
    "curl-auth-header",
    "curl-auth-user",
    "kubernetes-secret-yaml",
    "pkcs12-file",
    "private-key",
}


def key_of(pattern: str, choice: random.Random) -> str:
    """Return a text that the pattern matches."""
    for go, python in TRANSLATED.items():
        pattern = pattern.replace(go, python)
    parser: Any = importlib.import_module("re._parser")
    return "".join(_generated(parser.parse(pattern), choice))


def _generated(nodes: Any, choice: random.Random) -> list[str]:
    pieces: list[str] = []
    for code, argument in nodes:
        match str(code):
            case "LITERAL":
                pieces.append(chr(argument))
            case "NOT_LITERAL":
                pieces.append("b" if chr(argument) == "a" else "a")
            case "IN":
                pieces.append(_member(argument, choice))
            case "ANY" | "CATEGORY":
                pieces.append(choice.choice("abcdef0123456789"))
            case "MAX_REPEAT" | "MIN_REPEAT":
                least, most, inner = argument
                for _ in range(min(int(most), max(int(least), 1 if int(least) else 0))):
                    pieces += _generated(inner, choice)
            case "SUBPATTERN":
                pieces += _generated(argument[-1], choice)
            case "BRANCH":
                pieces += _generated(argument[1][0], choice)
    return pieces


def _member(members: Any, choice: random.Random) -> str:
    """Return a character of a set: a letter or digit, if it has one."""
    pattern = re.compile("[" + "".join(_source(member) for member in members) + "]")
    letters = [
        char
        for char in "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
        if pattern.match(char)
    ]
    others = [chr(code) for code in range(32, 127) if pattern.match(chr(code))]
    return choice.choice(letters or others or [" "])


def _source(member: Any) -> str:
    code, argument = member
    match str(code):
        case "LITERAL":
            return re.escape(chr(argument))
        case "RANGE":
            return f"{re.escape(chr(argument[0]))}-{re.escape(chr(argument[1]))}"
        case "NEGATE":
            return "^"
    return {"CATEGORY_WORD": r"\w", "CATEGORY_DIGIT": r"\d", "CATEGORY_SPACE": r"\s"}.get(
        str(argument), r"\S"
    )


def missed(rules: list[dict[str, Any]], redactor: Redactor) -> list[str]:
    """Return the rules whose generated key passes the redactor, with the key."""
    found = []
    for rule in rules:
        pattern = rule.get("regex", "")
        if not pattern or BESIDE_A_NAME in pattern[:24] or rule["id"] in EXCEPT:
            continue
        for seed in range(3):
            key = key_of(pattern, random.Random(seed)).strip(" '\"`;\\")
            if len(key) > 7 and key[-8:] in redactor.text(f"sent {key} there"):
                found.append(f"{rule['id']}: {key}")
                break
    return found


def main() -> int:
    """Print what is missed."""
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    rules = tomllib.loads(Path(sys.argv[1]).read_text("utf-8"))["rules"]
    lines = missed(rules, Redactor())
    print("\n".join(lines) or "no shape is missing")
    return 1 if lines else 0


if __name__ == "__main__":
    raise SystemExit(main())
