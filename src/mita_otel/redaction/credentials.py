"""Credentials that one can tell by their shape: JWTs, bearer and basic, private keys, providers' API keys."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from typing import Final

from mita_otel.redaction.hit import Finder, Hit

_JWT_RUN: Final = re.compile(r"[A-Za-z0-9_\-.=]{16,}")
_JWT: Final = re.compile(r"eyJ[A-Za-z0-9_\-]{4,}={0,2}\.[A-Za-z0-9_\-]{4,}={0,2}(?:\.[A-Za-z0-9_\-=]*){0,3}")

_SCHEME: Final = re.compile(
    r"(?i)(?<![a-z])(bearer|basic|digest|negotiate|ntlm|apikey|api-key|token)[ \t+:=\"']{1,3}([A-Za-z0-9._~+/=\-]{6,})"
)
_WORD: Final = re.compile(r"[A-Za-z][a-z._\-]*\Z")
_MIN_TOKEN: Final = 16

_HEADER: Final = re.compile(
    r"(?i)(?<![a-z])(?P<name>(?:proxy-)?authorization|(?:set-)?cookie)(?:[\"'][ \t]{0,4}:[ \t]{0,4}(?P<quote>[\"'])?|[ \t]{0,4}:[ \t]{0,4})"
    r"(?=[^\s\"'\[{])"
)
_ONE_TOKEN: Final = re.compile(r"(?i)(?:bearer|basic|token|apikey|negotiate|ntlm)[ \t]+[^\s,;\"'}\])]+")
_LINE: Final = re.compile(r"[^\r\n]*")

_KEY_BEGIN: Final = re.compile(r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
_KEY_END: Final = "-----END "
_KEY_CLOSE: Final = "-----"

_SHAPES: Final = re.compile(
    "|".join(
        (
            r"(?:sk|rk|pk)_(?:live|test)_[A-Za-z0-9]{10,}",  # Stripe
            r"whsec_[A-Za-z0-9+/=]{16,}",  # Stripe webhooks
            r"sk-(?:proj-|ant-|svcacct-|admin-|or-v1-)?[A-Za-z0-9_\-]{20,}",  # OpenAI, Anthropic, OpenRouter
            r"(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}(?![A-Z0-9])",  # AWS access key ids
            r"gh[pousr]_[A-Za-z0-9]{30,}",  # GitHub
            r"github_pat_[A-Za-z0-9_]{30,}",
            r"glpat-[A-Za-z0-9_\-]{16,}",  # GitLab
            r"gl(?:dt|rt|cbt|ptt|ft|imt|agent|soat)-[A-Za-z0-9_\-]{16,}",
            r"xox[abeoprs]-[A-Za-z0-9\-]{10,}",  # Slack
            r"xapp-[0-9]-[A-Za-z0-9\-]{10,}",
            r"hooks\.slack\.com/(?:services|workflows|triggers)/[A-Za-z0-9/_\-]{8,}",
            r"discord(?:app)?\.com/api/webhooks/[0-9]{10,}/[A-Za-z0-9_\-]{20,}",
            r"AIza[A-Za-z0-9_\-]{35}",  # Google
            r"ya29\.[A-Za-z0-9_\-]{20,}",
            r"GOCSPX-[A-Za-z0-9_\-]{20,}",
            r"1//0[A-Za-z0-9_\-]{20,}",  # Google refresh tokens
            r"SG\.[A-Za-z0-9_\-]{16,}\.[A-Za-z0-9_\-]{16,}",  # SendGrid
            r"key-[0-9a-f]{32}",  # Mailgun
            r"(?<![0-9A-Za-z])SK[0-9a-f]{32}",  # Twilio
            r"[0-9a-f]{32}-us[0-9]{1,2}(?![0-9])",  # Mailchimp
            r"sq0(?:atp|csp|idp)-[A-Za-z0-9_\-]{20,}",  # Square
            r"EAAA[A-Za-z0-9_\-]{50,}",  # Square, Meta
            r"access_token\$(?:production|sandbox)\$[0-9a-z]{16}\$[0-9a-f]{32}",  # Braintree, PayPal
            r"AQE[A-Za-z0-9+/]{5}[A-Za-z0-9+/]{0,16}[A-Za-z0-9+/=]{0,2}_?[A-Za-z0-9_\-]{40,}",  # Adyen
            r"shp(?:at|ca|pa|ss)_[A-Fa-f0-9]{32}",  # Shopify
            r"npm_[A-Za-z0-9]{30,}",
            r"pypi-[A-Za-z0-9_\-]{40,}",
            r"hf_[A-Za-z0-9]{30,}",  # Hugging Face
            r"dop_v1_[0-9a-f]{60,}",  # DigitalOcean
            r"dapi[0-9a-f]{32}",  # Databricks
            r"hv[sbr]\.[A-Za-z0-9_\-]{20,}",  # Vault
            r"lin_api_[A-Za-z0-9]{30,}",
            r"sntr[yus]{1,2}_[A-Za-z0-9+/=_\-]{30,}",  # Sentry
            r"NRAK-[A-Z0-9]{20,}",  # New Relic
            r"PMAK-[0-9a-f]{20,}-[0-9a-f]{20,}",  # Postman
            r"plaid-(?:production|sandbox|development)-[0-9a-f\-]{30,}",
            r"(?:access|public)-(?:production|sandbox|development)-[0-9a-f]{8}-[0-9a-f\-]{20,}",  # Plaid
            r"AGE-SECRET-KEY-1[A-Z0-9]{40,}",
            r"(?<![0-9])[0-9]{8,10}:AA[A-Za-z0-9_\-]{33}",  # Telegram
            r"(?i:AccountKey|SharedAccessKey|SharedAccessSignature)=[A-Za-z0-9+/=%_\-]{20,}",  # Azure
        )
    )
)
_SHAPE_WORDS: Final = (
    "_live_", "_test_", "whsec_", "sk-", "akia", "asia", "abia", "acca", "ghp_", "gho_", "ghu_", "ghs_", "ghr_",
    "github_pat", "glpat-", "gldt-", "glrt-", "glcbt-", "glptt-", "glft-", "glimt-", "glagent-", "glsoat-", "xox",
    "xapp-", "slack.com", "discord", "aiza", "ya29.", "gocspx", "1//0", "sg.", "key-", "sk", "-us", "sq0", "eaaa",
    "access_token$", "aqe", "shpat_", "shpca_", "shppa_", "shpss_", "npm_", "pypi-", "hf_", "dop_v1", "dapi", "hvs.",
    "hvb.", "hvr.", "lin_api", "sntr", "nrak-", "pmak-", "plaid-", "-sandbox-", "-production-", "-development-",
    "age-secret", ":aa", "accountkey", "sharedaccess",
)  # fmt: skip


def find_jwts(text: str) -> Iterator[Hit]:
    """Yield JSON web tokens, signed, encrypted or neither."""
    for run in _JWT_RUN.finditer(text):
        start = text.find("eyJ", run.start(), run.end())
        if start < 0:
            continue
        # With several starts in one run, all of it goes if the last one starts a token.
        last = text.rfind("eyJ", start, run.end())
        if _JWT.match(text, start, run.end()) or _JWT.match(text, last, run.end()):
            yield Hit(start, run.end(), "jwt")


def find_schemes(text: str) -> Iterator[Hit]:
    """Yield what follows the name of an authentication scheme, as in `Bearer …`."""
    for match in _SCHEME.finditer(text):
        if _is_credential(match[1].lower(), match[2]):
            yield Hit(match.start(2), match.end(2), "authorization")


def find_headers(text: str) -> Iterator[Hit]:
    """Yield the values of authorization and cookie headers."""
    end = 0
    for match in _HEADER.finditer(text):
        if match.start() >= end:
            end = _header_end(text, match)
            rule = "cookie" if match["name"].lower().endswith("cookie") else "authorization"
            yield Hit(match.end(), end, rule)


def find_private_keys(text: str) -> Iterator[Hit]:
    """Yield private keys in PEM, also those whose end is missing."""
    position = 0
    while begin := _KEY_BEGIN.search(text, position):
        end = text.find(_KEY_END, begin.end())
        close = text.find(_KEY_CLOSE, end + len(_KEY_END)) if end >= 0 else -1
        position = len(text) if close < 0 else close + len(_KEY_CLOSE)
        yield Hit(begin.start(), position, "private_key")


def find_api_keys(text: str) -> Iterator[Hit]:
    """Yield keys whose provider marks them with a prefix."""
    for match in _SHAPES.finditer(text):
        yield Hit(match.start(), match.end(), "key")


CREDENTIAL_FINDERS: Final = (
    Finder(find_jwts, words=("eyj",)),
    Finder(
        find_schemes, words=("bearer", "basic", "digest", "negotiate", "ntlm", "apikey", "api-key", "token")
    ),
    Finder(find_headers, words=("authorization", "cookie")),
    Finder(find_private_keys, words=("private key",)),
    Finder(find_api_keys, words=_SHAPE_WORDS),
)


def _header_end(text: str, header: re.Match[str]) -> int:
    """Return where a header's value ends: after the one token of its scheme, at its quote, with its line."""
    one_token = _ONE_TOKEN.match(text, header.end())
    if one_token:
        return one_token.end()
    line = _LINE.match(text, header.end())
    end = line.end() if line else header.end()
    before = text[header.start() - 1 : header.start()]
    quote = header["quote"] or (before if before in ("'", '"') and ":" in header.group()[-2:] else "")
    close = text.find(quote, header.end(), end) if quote else -1
    return close if close >= 0 else end


def _is_credential(scheme: str, value: str) -> bool:
    if scheme == "basic":
        try:
            return b":" in base64.b64decode(value + "=" * (-len(value) % 4), validate=True)
        except (ValueError, binascii.Error):
            return False
    if _WORD.match(value):
        return len(value) >= _MIN_TOKEN * 2
    if scheme == "token":
        return len(value) >= _MIN_TOKEN and any(char.isdigit() for char in value)
    return True
