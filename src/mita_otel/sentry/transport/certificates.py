"""Trusted authorities and client certificates for Sentry, from sentry-sdk's options or environment variables."""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import certifi

from mita_otel.errors import ConfigurationError

_CA_VARIABLES: Final = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")


class Trust(NamedTuple):
    """A file of certificate authorities."""

    file: str
    named_by: str
    """The option or variable that sets the file. Empty for the file of the package certifi."""


def trust(options: Mapping[str, Any]) -> Trust:
    """Return the trusted authorities.

    Args:
        options: sentry-sdk's options. `ca_certs` takes precedence over `SSL_CERT_FILE` and `REQUESTS_CA_BUNDLE`.
    """
    if options.get("ca_certs"):
        return Trust(str(options["ca_certs"]), "ca_certs")
    for variable in _CA_VARIABLES:
        if os.environ.get(variable):
            return Trust(os.environ[variable], variable)
    return Trust(certifi.where(), "")


def tls_context(options: Mapping[str, Any]) -> ssl.SSLContext:
    """Return a TLS context that verifies certificates and host names.

    Args:
        options: sentry-sdk's options. `cert_file` and `key_file` take precedence over the variables `CLIENT_CERT_FILE`
            and `CLIENT_KEY_FILE`. See also `trust`.

    Raises:
        ConfigurationError: A certificate or key file cannot be read.
    """
    trusted = trust(options)
    try:
        context = ssl.create_default_context(cafile=trusted.file)
    except OSError as error:
        raise ConfigurationError(
            f"{trusted.named_by or 'certifi'} names the certificates in {trusted.file}, which cannot be read "
            f"({error.strerror or error}): set it to a file of certificates in PEM format, or unset it"
        ) from error
    certificate = options.get("cert_file") or os.environ.get("CLIENT_CERT_FILE")
    if certificate:
        key = options.get("key_file") or os.environ.get("CLIENT_KEY_FILE")
        try:
            context.load_cert_chain(certificate, key)
        except OSError as error:
            raise ConfigurationError(
                f"the client certificate {certificate} or its key {key} cannot be used ({error.strerror or error}); "
                "check CLIENT_CERT_FILE and CLIENT_KEY_FILE"
            ) from error
    return context
