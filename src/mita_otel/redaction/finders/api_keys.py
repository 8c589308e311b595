"""Keys and tokens whose provider marks them with a prefix: clouds, payment, chat, code hosting, models."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from mita_otel.redaction.finders.hit import Finder, Hit

_UUID: Final = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"

_SHAPES: Final[tuple[tuple[str, str], ...]] = (
    # (a text that holds such a key has one of these in it, in lower case; the key's shape)
    # --- payment ---------------------------------------------------------------------------------------
    ("_live_ _test_ _sbx_", r"(?:sk|rk|pk|rzp)_(?:live|test|sbx)_[A-Za-z0-9]{10,}"),  # Stripe, Razorpay, Checkout.com
    ("sk_", rf"sk_(?:test_)?{_UUID}"),  # Checkout.com
    ("whsec_", r"whsec_[A-Za-z0-9+/=]{16,}"),  # Stripe and Svix webhooks
    ("live_ test_", r"(?<![A-Za-z0-9_])(?:live|test)_(?=[A-Za-z]{0,40}[0-9])[A-Za-z0-9]{24,}"),  # Mollie, GoCardless
    ("live_api_ test_api_", r"klarna_(?:live|test)_api_[A-Za-z0-9]{20,}"),
    ("sq0", r"sq0(?:atp|csp|idp)-[A-Za-z0-9_\-]{20,}"),  # Square
    ("eaa", r"(?<![A-Za-z0-9+/])EAA[A-Za-z0-9][A-Za-z0-9_\-]{50,}"),  # Square, Meta
    ("access_token$", r"access_token\$(?:production|sandbox)\$[0-9a-z]{16}\$[0-9a-f]{32}"),  # Braintree, PayPal
    ("a21aa", r"(?<![A-Za-z0-9+/])A21AA[A-Za-z0-9_\-]{60,}"),  # PayPal
    ("aqe", r"AQE[A-Za-z0-9+/]{5,64}={0,2}[\-_.][A-Za-z0-9+/]{20,}(?:={0,2}-[A-Za-z0-9!-~]{8,64})?"),  # Adyen
    ("flwsec", r"FLWSECK(?:_TEST)?-[A-Za-z0-9]{12,}(?:-X)?"),  # Flutterwave
    ("-sandbox- -production- -development-", r"(?:access|public|link|plaid)-(?:production|sandbox|development)-[0-9a-f\-]{30,}"),  # Plaid
    ("ezak eztk", r"EZ[AT]K[A-Za-z0-9]{40,}"),  # EasyPost
    # --- clouds ----------------------------------------------------------------------------------------
    ("akia", r"AKIA[A-Z0-9]{16}"),  # AWS access key ids
    ("asia abia acca", r"(?:ASIA|ABIA|ACCA)(?=[A-Z]{0,15}[0-9])[A-Z0-9]{16}"),
    ("aiza", r"AIza[A-Za-z0-9_\-]{35}"),  # Google
    ("ya29.", r"ya29\.[A-Za-z0-9_\-]{20,}"),
    ("gocspx", r"GOCSPX-[A-Za-z0-9_\-]{20,}"),
    ("1//0", r"1//0[A-Za-z0-9_\-]{20,}"),  # Google refresh tokens
    ("accountkey sharedaccess", r"(?i:AccountKey|SharedAccessKey|SharedAccessSignature)=[A-Za-z0-9+/=%_\-]{20,}"),  # Azure
    ("8q~ 7q~", r"[A-Za-z0-9_.~\-]{3}[78]Q~[A-Za-z0-9_.~\-]{31,34}"),  # Azure Active Directory
    ("dop_v1 doo_v1 dor_v1", r"do[opr]_v1_[0-9a-f]{60,}"),  # DigitalOcean
    ("dapi", r"dapi[0-9a-f]{32}"),  # Databricks
    ("v1.0-", r"v1\.0-[0-9a-f]{24}-[0-9a-f]{100,}"),  # Cloudflare origin keys
    ("hrku-", rf"HRKU-(?:{_UUID}|AA[A-Za-z0-9_\-]{{30,}})"),  # Heroku
    ("fm1 fm2", r"fm[12][_a][A-Za-z0-9+/=_,]{20,}"),  # Fly.io
    ("dp.", r"dp\.(?:pt|st|ct|sa|scim|audit)\.(?:[a-z0-9_\-]{2,35}\.)?[A-Za-z0-9]{40,44}"),  # Doppler
    ("pul-", r"pul-[0-9a-f]{40}"),  # Pulumi
    ("atlasv1", r"[A-Za-z0-9]{14}\.atlasv1\.[A-Za-z0-9_\-]{60,70}"),  # Terraform
    ("hvs. hvb. hvr.", r"hv[sbr]\.[A-Za-z0-9_\-]{20,}"),  # Vault
    ("sbp_ sb_secret_", r"(?:sbp|sb_secret)_[A-Za-z0-9_]{30,}"),  # Supabase
    ("pscale_", r"pscale_(?:tkn|oauth|pw)_[A-Za-z0-9_.\-]{30,}"),  # PlanetScale
    # --- code, packages --------------------------------------------------------------------------------
    ("ghp_ gho_ ghu_ ghs_ ghr_", r"gh[pousr]_[A-Za-z0-9]{30,}"),  # GitHub
    ("github_pat", r"github_pat_[A-Za-z0-9_]{30,}"),
    ("gl", r"gl(?:pat|dt|rt|cbt|ptt|ft|imt|agent|soat|ffct|wt|oas)-[A-Za-z0-9_\-]{16,}"),  # GitLab
    ("atat atbb atct", r"AT(?:ATT3|BB|CTT3)[A-Za-z0-9_\-=]{28,}"),  # Atlassian, Bitbucket
    ("npm_", r"npm_[A-Za-z0-9]{30,}"),
    ("pypi-", r"pypi-[A-Za-z0-9_\-]{40,}"),
    ("rubygems_", r"rubygems_[0-9a-f]{48}"),
    ("oy2", r"(?<![A-Za-z0-9])oy2[a-z0-9]{43}(?![A-Za-z0-9])"),  # NuGet
    ("clojars_", r"CLOJARS_[A-Za-z0-9]{60}"),
    ("dckr_", r"dckr_(?:pat|oat)_[A-Za-z0-9_\-]{20,}"),  # Docker
    ("akcp", r"(?<![A-Za-z0-9])AKCp[A-Za-z0-9]{60,}"),  # Artifactory
    # --- chat, mail, work ------------------------------------------------------------------------------
    ("xox", r"xox[abceoprs](?:\.xoxp)?-[A-Za-z0-9\-]{10,}"),  # Slack
    ("xapp-", r"xapp-[0-9]-[A-Za-z0-9\-]{10,}"),
    ("slack.com", r"hooks\.slack\.com/(?:services|workflows|triggers)/[A-Za-z0-9/_\-]{8,}"),
    ("discord", r"discord(?:app)?\.com/api/(?:v\d{1,2}/)?webhooks/[0-9]{10,}/[A-Za-z0-9_\-]{20,}"),
    ("webhook.office.com", r"webhook\.office\.com/webhookb2/[A-Za-z0-9@\-]{30,}/IncomingWebhook/[A-Za-z0-9/\-]{30,}"),
    (".", r"(?<![A-Za-z0-9_\-])[MNO][A-Za-z0-9_\-]{23,25}\.[A-Za-z0-9_\-]{6}\.[A-Za-z0-9_\-]{27,}"),  # Discord bots
    (":aa", r"(?<![0-9])[0-9]{8,10}:AA[A-Za-z0-9_\-]{33}"),  # Telegram
    ("sg.", r"SG\.[A-Za-z0-9_\-]{16,}\.[A-Za-z0-9_\-]{16,}"),  # SendGrid
    ("key-", r"key-[0-9a-f]{32}"),  # Mailgun
    ("-us", r"[0-9a-f]{32}-us[0-9]{1,2}(?![0-9])"),  # Mailchimp
    ("xkeysib", r"xkeysib-[0-9a-f]{40,}-[A-Za-z0-9]{10,}"),  # Brevo
    ("sk", r"(?<![0-9A-Za-z])SK[0-9a-f]{32}(?![0-9A-Za-z])"),  # Twilio
    ("lin_", r"lin_(?:api|oauth)_[A-Za-z0-9]{30,}"),  # Linear
    ("ntn_ secret_", r"(?:ntn|secret)_(?=[A-Za-z]{0,40}[0-9])[A-Za-z0-9]{40,50}"),  # Notion
    ("figd_ figo_", r"fig[dor]_[A-Za-z0-9_\-]{30,}"),  # Figma
    ("pat", r"(?<![A-Za-z0-9])pat[A-Za-z0-9]{14}\.[0-9a-f]{64}"),  # Airtable
    ("pat-", rf"pat-[a-z]{{2}}\d-{_UUID}"),  # HubSpot
    ("tfp_", r"tfp_[A-Za-z0-9_\-.]{40,}"),  # Typeform
    ("0/ 1/", r"(?<![\w/])[01]/\d{13,16}:[0-9a-f]{32}"),  # Asana
    ("shpat_ shpca_ shppa_ shpss_", r"shp(?:at|ca|pa|ss)_[A-Fa-f0-9]{32}"),  # Shopify
    ("aaaaaaaaaaaaaaaaaaaa", r"(?<![A-Za-z0-9])A{20,30}[A-Za-z0-9%]{30,}"),  # X
    ("sgp_", r"sgp_[A-Za-z0-9_]{40,}"),  # Segment, Sourcegraph
    # --- observability ---------------------------------------------------------------------------------
    ("sntr", r"sntr[yus]{1,3}_[A-Za-z0-9+/=_\-]{30,}"),  # Sentry
    ("nra", r"NRA[AKL]-[A-Za-z0-9]{20,}"),  # New Relic
    ("nrii-", r"NRII-[A-Za-z0-9_\-]{30,}"),
    ("glsa_ glc_", r"gl(?:sa|c)_[A-Za-z0-9_+/=]{30,}"),  # Grafana
    ("pmak-", r"PMAK-[0-9a-f]{20,}-[0-9a-f]{20,}"),  # Postman
    ("dt0", r"dt0[a-z]\d{2}\.[A-Z0-9]{24}\.[A-Z0-9]{64}"),  # Dynatrace
    ("sdk- api- mob-", rf"(?<![A-Za-z0-9\-])(?:sdk|api|mob)-{_UUID}"),  # LaunchDarkly
    # --- models ----------------------------------------------------------------------------------------
    ("sk-", r"sk-(?:proj|ant|svcacct|admin|or-v1|lf)-[A-Za-z0-9_\-*]{8,}"),  # OpenAI, Anthropic, OpenRouter, Langfuse
    ("sk-", r"sk-(?=[A-Za-z]{0,60}[0-9])[A-Za-z0-9]{20,}"),
    ("hf_", r"hf_[A-Za-z0-9]{30,}"),  # Hugging Face
    ("gsk_", r"gsk_[A-Za-z0-9]{40,}"),  # Groq
    ("xai-", r"xai-[A-Za-z0-9]{60,}"),
    ("pplx-", r"pplx-[A-Za-z0-9]{40,}"),  # Perplexity
    ("r8_", r"(?<![A-Za-z0-9])r8_[A-Za-z0-9]{30,}"),  # Replicate
    ("co_", r"(?<![A-Za-z0-9])co_[A-Za-z0-9]{38,}"),  # Cohere
    ("tvly-", r"tvly-[A-Za-z0-9\-]{28,}"),  # Tavily
    ("lsv2_", r"lsv2_(?:pt|sk)_[0-9a-f]{32}_[0-9a-f]{10}"),  # LangSmith
    # --- tokens without a provider ---------------------------------------------------------------------
    (".local. .public.", r"(?<![A-Za-z0-9])v[1-4]\.(?:local|public)\.[A-Za-z0-9_\-]{32,}"),  # PASETO
    # --- keys of people --------------------------------------------------------------------------------
    ("age-secret", r"AGE-SECRET-KEY-1[A-Z0-9]{40,}"),
)  # fmt: skip


_LONG_RUN: Final = re.compile(r"[A-Za-z0-9_\-+=~]{16}")
"""Every such key has one."""
_COMPILED: Final = tuple(
    (word, compiled)
    for words, compiled in ((words, re.compile(shape)) for words, shape in _SHAPES)
    for word in words.split()
)


def find_api_keys(text: str) -> Iterator[Hit]:
    """Yield keys whose provider marks them with a prefix."""
    if not _LONG_RUN.search(text):
        return
    lower = text.lower()
    for word, shape in _COMPILED:
        if word in lower:
            for match in shape.finditer(text):
                yield Hit(match.start(), match.end(), "key")


API_KEY_FINDERS: Final = (Finder(find_api_keys),)
