"""National identification numbers, by their check digits (python-stdnum) and, where those are weak, beside their name."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple

from mita_otel.redaction.finders.hit import Finder, Hit


class _Kind(NamedTuple):
    """A kind of identification number."""

    pattern: str
    """How it is written."""
    names: str
    """Words that name it, as a pattern."""
    module: str = ""
    """The module of python-stdnum that checks it; empty if it has no check digit."""
    anywhere: bool = False
    """Whether its check digits and form are so rare that it is found without its name."""


_KINDS: Final[dict[str, tuple[_Kind, ...]]] = {
    "ar": (_Kind(r"\d{2}-?\d{8}-?\d", "cui[tl]", "ar.cuit"),),
    "at": (_Kind(r"\d{4} ?\d{6}", "sv-?nr|svnr|sozialversicherung\\w*", "at.vnr"),),
    "au": (_Kind(r"\d{3} ?\d{3} ?\d{3}", "tfn|tax file (?:number|no)", "au.tfn"),),
    "be": (
        _Kind(r"\d{2}\.\d{2}\.\d{2}-\d{3}\.\d{2}", "nn", "be.nn", anywhere=True),
        _Kind(r"\d{2}[. ]?\d{2}[. ]?\d{2}[\- ]?\d{3}[. ]?\d{2}", "rijksregister\\w*|registre national|num[ée]ro national|nationaal nummer|nn|niss|insz", "be.nn"),
    ),
    "bg": (_Kind(r"\d{10}", "egn|егн", "bg.egn"),),
    "br": (
        _Kind(r"\d{3}\.\d{3}\.\d{3}-\d{2}", "cpf", "br.cpf", anywhere=True),
        _Kind(r"\d{11}", "cpf", "br.cpf"),
    ),
    "ca": (_Kind(r"\d{3}[ \-]?\d{3}[ \-]?\d{3}", "(?-i:SIN)|social insurance(?: number| no)?|nas", "ca.sin"),),
    "ch": (
        _Kind(r"756\.\d{4}\.\d{4}\.\d{2}", "ahv\\w*|avs", "ch.ssn", anywhere=True),
        _Kind(r"756\d{10}", "ahv\\w*|avs", "ch.ssn"),
    ),
    "cl": (_Kind(r"\d{1,2}\.?\d{3}\.?\d{3}-[\dkK]", "rut|run", "cl.rut"),),
    "cn": (_Kind(r"\d{17}[\dXx]", "身份证\\w*|resident id|ric", "cn.ric", anywhere=True),),
    "cz": (_Kind(r"\d{6}/?\d{3,4}", "rodn[eé] [cč][ií]slo|rc", "cz.rc"),),
    "de": (_Kind(r"\d{2} ?\d{3} ?\d{3} ?\d{3}", "steuer-?id\\w*|idnr|identifikationsnummer|tax id", "de.idnr"),),
    "dk": (_Kind(r"\d{6}-?\d{4}", "cpr", "dk.cpr"),),
    "ec": (_Kind(r"\d{10}", "c[ée]dula", "ec.ci"),),
    "ee": (_Kind(r"\d{11}", "isikukood", "ee.ik"),),
    "es": (
        _Kind(r"\d{8}-?[A-HJ-NP-TV-Z]", "dni|nif", "es.dni", anywhere=True),
        _Kind(r"[XYZ]-?\d{7}-?[A-HJ-NP-TV-Z]", "nie", "es.nie", anywhere=True),
    ),
    "fi": (_Kind(r"\d{6}[\-+A-FU-Y]\d{3}[0-9A-FHJ-NPR-Y]", "hetu|henkilötunnus", "fi.hetu", anywhere=True),),
    "fr": (_Kind(r"[12] ?\d{2} ?\d{2} ?(?:\d{2}|2[AB]) ?\d{3} ?\d{3} ?\d{2}", "nir|s[ée]curit[ée] sociale|insee", "fr.nir", anywhere=True),),
    "gb": (
        _Kind(r"(?!BG|GB|NK|KN|TN|NT|ZZ)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] ?\d{2} ?\d{2} ?\d{2} ?[A-D]", "nino|national insurance(?: number| no)?", anywhere=True),
        _Kind(r"\d{3} ?\d{3} ?\d{4}", "nhs(?: number| no)?", "gb.nhs"),
    ),
    "gr": (_Kind(r"\d{11}", "amka|αμκα", "gr.amka"),),
    "hk": (_Kind(r"[A-Z]{1,2}\d{6} ?\([\dA]\)", "hkid|hong kong id|身份證", anywhere=True),),
    "hr": (_Kind(r"\d{11}", "oib", "hr.oib"),),
    "id": (_Kind(r"\d{16}", "nik|ktp", "id.nik"),),
    "ie": (_Kind(r"\d{7}[A-W][A-IW]?", "pps\\w*", "ie.pps", anywhere=True),),
    "il": (_Kind(r"\d{9}", "teudat zehut|israeli id|id number", "il.idnr"),),
    "in": (
        _Kind(r"[2-9]\d{3}[ \-]?\d{4}[ \-]?\d{4}", "aadhaa?r|adhaar|uidai|आधार", "in_.aadhaar"),
        _Kind(r"[A-Z]{3}[ABCFGHJLPT][A-Z]\d{4}[A-Z]", "pan(?: card| number| no)?|permanent account number", "in_.pan"),
    ),
    "is": (_Kind(r"\d{6}-?\d{4}", "kennitala|kt", "is_.kennitala"),),
    "it": (_Kind(r"[A-Z]{6}\d{2}[A-EHLMPRST]\d{2}[A-Z]\d{3}[A-Z]", "codice fiscale|cf", "it.codicefiscale", anywhere=True),),
    "jp": (_Kind(r"\d{4} ?\d{4} ?\d{4}", "my ?number|マイナンバー|個人番号", "jp.in_"),),
    "kr": (_Kind(r"\d{6}-?[1-8]\d{6}", "주민(?:등록)?번호|rrn|resident registration", "kr.rrn", anywhere=True),),
    "lt": (_Kind(r"\d{11}", "asmens kodas", "lt.asmens"),),
    "mx": (_Kind(r"[A-Z][AEIOUX][A-Z]{2}\d{6}[HM][A-Z]{5}[0-9A-Z]\d", "curp", "mx.curp", anywhere=True),),
    "my": (_Kind(r"\d{6}-\d{2}-\d{4}", "nric|mykad", "my.nric"),),
    "nl": (_Kind(r"\d{4}\.?\d{2}\.?\d{3}|\d{9}", "bsn|burgerservicenummer|sofinummer", "nl.bsn"),),
    "no": (_Kind(r"\d{6} ?\d{5}", "f(?:ø|o)?dselsnummer|personnummer|fnr", "no.fodselsnummer"),),
    "pl": (_Kind(r"\d{11}", "pesel", "pl.pesel"),),
    "pt": (_Kind(r"\d{9}", "nif|contribuinte", "pt.nif"), _Kind(r"\d{8} ?\d ?[A-Z]{2}\d", "cart[ãa]o de cidad[ãa]o|cc|bi", "pt.cc")),
    "ro": (_Kind(r"[1-8]\d{12}", "cnp|cod numeric personal", "ro.cnp"),),
    "ru": (_Kind(r"\d{12}", "инн|inn", "ru.inn"), _Kind(r"\d{3}-\d{3}-\d{3} \d{2}", "снилс|snils")),
    "se": (_Kind(r"(?:\d{2})?\d{6}[\-+]\d{4}", "personnummer|samordningsnummer", "se.personnummer", anywhere=True),),
    "sg": (_Kind(r"[STFGM]\d{7}[A-Z]", "nric|fin"),),
    "sk": (_Kind(r"\d{6}/?\d{3,4}", "rodn[eé] [cč][ií]slo|rc", "sk.rc"),),
    "th": (
        _Kind(r"\d-\d{4}-\d{5}-\d{2}-\d", "thai id", "th.pin", anywhere=True),
        _Kind(r"\d-?\d{4}-?\d{5}-?\d{2}-?\d", "thai (?:national )?id|(?:เลข)?(?:ประจำตัว|บัตร)ประชาชน", "th.pin"),
    ),
    "tr": (_Kind(r"[1-9]\d{10}", "t\\.?c\\.? ?kimlik(?: no)?|tckn", "tr.tckimlik"),),
    "ua": (_Kind(r"\d{10}", "інн|іпн|рнокпп|rntrc", "ua.rntrc"),),
    "za": (_Kind(r"\d{13}", "(?:sa|south african) id|id number", "za.idnr"),),
}  # fmt: skip
_BEFORE: Final = r"(?<![\w.\-])"
_AFTER: Final = r"(?![\w\-]|\.\d)"
_NUMBER: Final = re.compile(r"\d(?:[ .\-/]{0,2}[\dA-Z]){4,}")
"""A part of every number: five digits or capitals in a row, of which the first is a digit."""
_SIGNS: Final = "\"' \t:=#("
"""One of these characters stands between a name and its number."""
_LINK: Final = r"[\"']?\.?(?:[ _\-]?(?:number|no\.?|nr\.?|id))?(?:[ \t]+[^\W\d_]{1,16}){0,3}[\"' \t:=#(]{1,6}"


def national_id_finders(countries: Iterable[str]) -> list[Finder]:
    """Return finders for the identification numbers of the countries, by their codes of two letters."""
    kinds = [kind for country in countries for kind in _KINDS.get(country, ())]
    named = [
        (rf"(?i:(?<![^\W_])(?:{kind.names}){_LINK})(?P<number>{kind.pattern}){_AFTER}", kind)
        for kind in kinds
    ]
    anywhere = [(rf"{_BEFORE}(?P<number>{kind.pattern}){_AFTER}", kind) for kind in kinds if kind.anywhere]
    return [
        *([Finder(_NationalIds(named), words=_stems(kinds), digits=6, signs=_SIGNS)] if named else ()),
        *([Finder(_NationalIds(anywhere), digits=6)] if anywhere else ()),
    ]


_OPTIONAL: Final = re.compile(r"\(\?:[^()]*\)\?|\[[^\]]*\]\??|\\?.\?|\\w\*")
_GROUP: Final = re.compile(r"\(\?[\-i]*:([^()|]*)\)|\(\?:[^()]*\)")


def _stems(kinds: Iterable[_Kind]) -> tuple[str, ...]:
    """Return the longest part of each name that is always written, in lower case."""
    found: set[str] = set()
    for kind in kinds:
        for name in _GROUP.sub(r" \1", _OPTIONAL.sub(" ", kind.names)).split("|"):
            found.add(max(re.split(r"[^\w]+", name), key=len).lower())
    return () if "" in found else tuple(sorted(found))


class _NationalIds:
    """Finds identification numbers.

    Args:
        kinds: How they are written, with a group `number`.
    """

    def __init__(self, kinds: Sequence[tuple[str, _Kind]]) -> None:
        self._searches = [(re.compile(pattern), _checker(kind.module)) for pattern, kind in kinds]
        joined = "|".join(pattern.replace("?P<number>", "?:") for pattern, _ in kinds)
        self._any = re.compile(joined)
        """Most texts have none: one search is faster than one for each kind."""

    def __call__(self, text: str) -> Iterator[Hit]:
        """Yield the numbers whose check digits are right."""
        if not _NUMBER.search(text) or not self._any.search(text):
            return
        for pattern, check in self._searches:
            for match in pattern.finditer(text):
                if check(match["number"]):
                    yield Hit(*match.span("number"), "ssn")


def _checker(module: str) -> Callable[[str], bool]:
    """Return what checks a number; a number without check digits is always right."""
    if not module:
        return lambda number: True
    loaded: Any = importlib.import_module(f"stdnum.{module}")
    is_valid: Callable[[str], bool] = loaded.is_valid
    return is_valid
