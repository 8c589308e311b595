"""Personal data that a policy may redact: e-mail addresses, telephone numbers, IP addresses."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from typing import Final

from mita_otel.redaction.finders.hit import Finder, Hit

_EMAIL_DOMAIN: Final = re.compile(r"@(?:[A-Za-z0-9\-]{1,63}\.){1,8}[A-Za-z]{2,24}")
_EMAIL_LOCAL: Final = re.compile(r"[\w.!#$%&'*+/=?^`{|}~\-]{1,64}\Z")
_PHONE: Final = re.compile(
    r"(?<![\w+])\+\d{1,3}[ \-.]?\(?\d{1,4}\)?(?:[ \-./]?\d{2,5}){2,4}(?!\d)|(?<![\w\-])\(\d{3}\) ?\d{3}-\d{4}(?!\d)|(?<![\w\-.])\d{3}-\d{3}-\d{4}(?![\w\-])"
)
_NAMED_PHONE: Final = re.compile(
    r"(?i)(?<![a-z])(?:phone|mobile|cell|tel|telephone|telefon|msisdn|whatsapp|sms to|fax)(?:[ _\-]?(?:number|no\.?|nr\.?))?[\"']?[ :=#]{1,3}[\"']?(\+?\d[\d \-().]{5,20}\d)(?!\w)"
)
_MIN_PHONE: Final = 7
_MAX_PHONE: Final = 15
_IPV4: Final = re.compile(r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?![\w.]*\d)")
_IPV6: Final = re.compile(r"(?<![\w:.])[0-9A-Fa-f:]{2,39}:[0-9A-Fa-f:.]{0,39}(?![\w:])")


def find_emails(text: str) -> Iterator[Hit]:
    """Yield e-mail addresses."""
    if "@" not in text:
        return
    for domain in _EMAIL_DOMAIN.finditer(text):
        local = _EMAIL_LOCAL.search(text, max(0, domain.start() - 64), domain.start())
        if local:
            yield Hit(local.start(), domain.end(), "email")


EMAIL_FINDER: Final = Finder(find_emails, words=("@",))


def find_phones(text: str) -> Iterator[Hit]:
    """Yield telephone numbers: international with a plus sign, American, or beside their name."""
    for pattern in (_PHONE, _NAMED_PHONE):
        for match in pattern.finditer(text):
            start, end = match.span(match.lastindex or 0)
            if _MIN_PHONE <= sum(map(str.isdigit, text[start:end])) <= _MAX_PHONE:
                yield Hit(start, end, "phone")


PHONE_FINDER: Final = Finder(find_phones, digits=7)


def find_ips(text: str) -> Iterator[Hit]:
    """Yield IPv4 and IPv6 addresses."""
    for pattern in (_IPV4, _IPV6):
        for match in pattern.finditer(text):
            try:
                ipaddress.ip_address(match.group())
            except ValueError:
                continue
            yield Hit(match.start(), match.end(), "ip")


IP_FINDER: Final = Finder(find_ips, words=(".", ":"))
