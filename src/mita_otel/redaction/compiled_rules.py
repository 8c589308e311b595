"""The rules of one policy, compiled: finders, sensitive names, scanners. Importing and building them takes most of a start.

So `Redactor` imports this module and builds the rules when it redacts its first value, or when it is asked to.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from mita_otel.policy.redaction import RedactionPolicy
from mita_otel.redaction.finders.api_keys import API_KEY_FINDERS
from mita_otel.redaction.finders.banking import BANKING_FINDERS
from mita_otel.redaction.finders.card_values import CHIP_FINDER, SCIENTIFIC_CARD_FINDER
from mita_otel.redaction.finders.cards import CARD_FINDERS
from mita_otel.redaction.finders.command_line import COMMAND_LINE_FINDERS, CommandFinder, OptionFinder
from mita_otel.redaction.finders.credentials import (
    CREDENTIAL_FINDERS,
    ONE_TIME_CODE_FINDER,
    SEED_PHRASE_FINDER,
    HeaderFinder,
)
from mita_otel.redaction.finders.custom import custom_finders
from mita_otel.redaction.finders.driver_messages import (
    EMBEDDED_SQL_FINDER,
    DriverMessageFinder,
)
from mita_otel.redaction.finders.encoded_text import EncodedTextFinder
from mita_otel.redaction.finders.hit import Finder, Hit
from mita_otel.redaction.finders.key_value import CallFinder, KeyValueFinder, QuotedValueFinder
from mita_otel.redaction.finders.markup import MarkupFinder, YamlFinder
from mita_otel.redaction.finders.national_ids import national_id_finders
from mita_otel.redaction.finders.natural_language import NaturalLanguageFinder
from mita_otel.redaction.finders.personal import EMAIL_FINDER, IP_FINDER, PHONE_FINDER
from mita_otel.redaction.finders.rejected_values import rejected_value_finder
from mita_otel.redaction.finders.sentence_values import LoginFinder
from mita_otel.redaction.finders.tables import TableFinder
from mita_otel.redaction.finders.urls import URL_FINDERS
from mita_otel.redaction.finders.value_bounds import ValueShapes
from mita_otel.redaction.keys import KeyRules
from mita_otel.redaction.marker import Markers
from mita_otel.redaction.scanner import Scanner
from mita_otel.redaction.sentry_event import Events
from mita_otel.redaction.texts import Texts
from mita_otel.redaction.values import Values

_SHAPES: Final = (
    *CARD_FINDERS,
    SCIENTIFIC_CARD_FINDER,
    CHIP_FINDER,
    *BANKING_FINDERS,
    *CREDENTIAL_FINDERS,
    *COMMAND_LINE_FINDERS,
    ONE_TIME_CODE_FINDER,
    *API_KEY_FINDERS,
    *URL_FINDERS,
)


class CompiledRules:
    """What a policy says is secret, ready to be applied.

    Args:
        policy: What is secret, and how it is replaced.
        markers: Writes the replacements.
        step: Called between the parts of an event. None: nothing is called.

    Raises:
        ConfigurationError: A custom rule's entry point does not exist, or cannot be imported.
    """

    def __init__(self, policy: RedactionPolicy, markers: Markers, step: Callable[[], None] | None) -> None:
        keys = KeyRules(policy.keys, {name: rule.keys for name, rule in policy.custom.items()}, markers.mode)
        shapes = [*_SHAPES, *custom_finders(policy.custom)]
        if markers.mode("ssn") != "off":
            shapes.extend(national_id_finders(policy.national_ids))
        if markers.mode("email") != "off":
            shapes.append(EMAIL_FINDER)
        if markers.mode("phone") != "off":
            shapes.append(PHONE_FINDER)
        if markers.mode("ip") != "off":
            shapes.append(IP_FINDER)
        shapes_of_values = ValueShapes(policy.grammar)
        messages = Finder(DriverMessageFinder(keys), words=DriverMessageFinder.WORDS, signs=" =:")
        markup = Finder(MarkupFinder(keys), words=keys.stems, signs="<=:")
        shapes.append(Finder(HeaderFinder(shapes_of_values), words=("authorization", "cookie"), signs=":"))
        calls = Finder(CallFinder(keys, shapes_of_values), words=keys.stems, signs="(")
        arguments = CommandFinder(policy.commands, keys, shapes_of_values)
        commands = Finder(arguments, words=arguments.words, separated=True)
        sentences = NaturalLanguageFinder(keys, shapes_of_values, policy.grammar)
        logins = LoginFinder(keys, shapes_of_values, policy.grammar)
        names = (
            Finder(KeyValueFinder(keys, shapes_of_values), words=keys.stems, signs="=:"),
            Finder(sentences, words=sentences.words, separated=True),
            Finder(logins, words=logins.words, signs="/:", separated=True),
            Finder(QuotedValueFinder(keys), words=keys.stems, signs="(["),
            calls,
            Finder(OptionFinder(keys, shapes_of_values), words=("--", "pass"), signs=" "),
            commands,
            Finder(YamlFinder(keys, shapes_of_values), words=keys.stems, signs="\n"),
            Finder(TableFinder(keys, shapes_of_values), words=keys.stems, signs="\n<"),
            markup,
            messages,
            rejected_value_finder(shapes_of_values),
            SEED_PHRASE_FINDER,
            Finder(EncodedTextFinder(self._hits_in_decoded)),
        )
        self.natural_language = Scanner([*shapes, *names, EMBEDDED_SQL_FINDER], markers)
        """Finds secrets in a flat text."""
        texts = Texts(
            natural_language=self.natural_language,
            source=Scanner(
                [
                    *shapes,
                    Finder(KeyValueFinder(keys, shapes_of_values, source=True), words=keys.stems, signs="=:"),
                    messages,
                    calls,
                    commands,
                ],
                markers,
            ),
            shapes=Scanner(shapes, markers),
            max_text=policy.max_text,
            mask_sql=markers.mode("sql") != "off",
        )
        self.values = Values(policy, keys, markers, texts, arguments)
        """Redacts values of any type."""
        self.events = Events(self.values, texts, library_locals=policy.library_locals, step=step)
        """Redacts events of sentry-sdk."""
        self.keys = keys
        """Which names are sensitive."""

    def _hits_in_decoded(self, text: str) -> list[Hit]:
        """Return the secrets in a text that was decoded."""
        return self.natural_language.hits(text)
