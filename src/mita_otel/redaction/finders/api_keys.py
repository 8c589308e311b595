"""Keys and tokens whose provider marks them with a prefix: clouds, payment, chat, code hosting, models.

Source of the shapes: the providers' documentation, and the facts in gitleaks' rules (config/gitleaks.toml, MIT).
`benchmarks/redaction_key_shapes.py` compares this table with a newer set of them.
"""

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
    ("_apikey_", r"pdl_(?:live|sdbx)_apikey_[a-z0-9]{26}_[A-Za-z0-9]{22}_[A-Za-z0-9]{3}"),  # Paddle
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
    ("nvapi-", r"nvapi-[A-Za-z0-9_\-]{60,}"),  # NVIDIA
    ("pplx-", r"pplx-[A-Za-z0-9]{40,}"),  # Perplexity
    ("r8_", r"(?<![A-Za-z0-9])r8_[A-Za-z0-9]{30,}"),  # Replicate
    ("co_", r"(?<![A-Za-z0-9])co_[A-Za-z0-9]{38,}"),  # Cohere
    ("tvly-", r"tvly-[A-Za-z0-9\-]{28,}"),  # Tavily
    ("lsv2_", r"lsv2_(?:pt|sk)_[0-9a-f]{32}_[0-9a-f]{10}"),  # LangSmith
    # --- tokens without a provider ---------------------------------------------------------------------
    (".local. .public.", r"(?<![A-Za-z0-9])v[1-4]\.(?:local|public)\.[A-Za-z0-9_\-]{32,}"),  # PASETO
    # --- shapes that the comparison with gitleaks' rules added -----------------------------------------
    ("a3-", r"(?<![A-Za-z0-9])A3-[A-Z0-9]{6}-(?:[A-Z0-9]{11}|[A-Z0-9]{6}-[A-Z0-9]{5})(?:-[A-Z0-9]{5}){3}"),  # 1Password
    ("ops_eyj", r"ops_eyJ[A-Za-z0-9+/]{64,}={0,3}"),
    ("p8e-", r"(?<![A-Za-z0-9])p8e-[A-Za-z0-9]{32}"),  # Adobe
    ("ltai", r"(?<![A-Za-z0-9])LTAI[A-Za-z0-9]{17,24}(?![A-Za-z0-9])"),  # Alibaba
    ("cmvmd", r"(?<![A-Za-z0-9])cmVmd[A-Za-z0-9]{59}"),  # Artifactory
    ("_acc_ acc- .acc", r"(?:sc|ext|scauth|authress)_[A-Za-z0-9]{5,30}\.[A-Za-z0-9]{4,6}\.acc[_\-][A-Za-z0-9\-]{10,32}\.[A-Za-z0-9+/_=\-]{30,120}"),  # Authress
    ("a3t", r"(?<![A-Za-z0-9])A3T[A-Z0-9](?=[A-Z]{0,15}[0-9])[A-Z0-9]{16}(?![A-Za-z0-9])"),  # AWS
    ("absk", r"(?<![A-Za-z0-9])ABSK[A-Za-z0-9+/]{100,}={0,2}"),  # Amazon Bedrock
    ("bedrock-api-key-", r"bedrock-api-key-[A-Za-z0-9+/=]{20,}"),
    ("q~", r"[A-Za-z0-9_.~\-]{3}\dQ~[A-Za-z0-9_.~\-]{31,34}"),  # Azure
    ("4b1d", r"(?<![A-Za-z0-9])4b1d(?=[A-Za-z0-9]*[G-Zg-z])[A-Za-z0-9]{38}(?![A-Za-z0-9])"),  # ClickHouse
    ("duffel_", r"duffel_(?:test|live)_[A-Za-z0-9_\-=]{40,}"),
    ("dt0", r"(?i:dt0[a-z]\d{2}\.[A-Z0-9]{24}\.[A-Z0-9]{64})"),  # Dynatrace
    ("| %", r"(?<!\d)\d{15,16}[|%][A-Za-z0-9\-_]{27,40}(?![A-Za-z0-9])"),  # Facebook
    ("flwpubk", r"FLWPUBK(?:_TEST)?-[A-Za-z0-9]{32}-X"),
    ("fo1_", r"(?<![A-Za-z0-9])fo1_[A-Za-z0-9_\-]{43}"),  # Fly.io
    ("fio-u-", r"fio-u-[A-Za-z0-9\-_=]{64}"),  # Frame.io
    ("gl", r"gl(?:pat|rt)-[A-Za-z0-9_\-]{16,300}\.[0-9a-z]{9}"),  # GitLab, routable
    ("gr1348941", r"GR1348941[A-Za-z0-9_\-]{20}"),
    ("_gitlab_session", r"(?<=_gitlab_session=)[0-9a-z]{32}"),
    ("eyjrijoi", r"(?<![A-Za-z0-9])eyJrIjoi[A-Za-z0-9]{40,400}={0,3}"),  # Grafana
    ("pat. sat.", r"(?<![A-Za-z0-9])(?:pat|sat)\.[A-Za-z0-9_\-]{22}\.[A-Za-z0-9]{24}\.[A-Za-z0-9]{20}"),  # Harness
    ("api_org_", r"api_org_[A-Za-z]{34}"),  # Hugging Face
    ("ico-", r"(?<![A-Za-z0-9])ico-[A-Za-z0-9]{32}"),  # Infracost
    ("s-s4t2", r"s-s4t2(?:ud|af)-[0-9a-f]{64}"),  # Intra 42
    ("zxlk", r"ZXlK[A-Za-z0-9+/=_\-]{40,}"),  # a JWT in Base64
    ("_mmk", r"(?<![A-Za-z0-9])[A-Za-z0-9]{6}_[A-Za-z0-9]{29}_mmk"),  # MaxMind
    ("api-", r"(?<![A-Za-z0-9])API-(?=[A-Z]{0,25}[0-9])[A-Z0-9]{26}(?![A-Za-z0-9])"),  # Octopus Deploy
    ("sha256~", r"sha256~[A-Za-z0-9_\-]{43}"),  # OpenShift
    ("pnu_", r"(?<![A-Za-z0-9])pnu_[A-Za-z0-9]{36}"),  # Prefect
    ("rdme_", r"rdme_[a-z0-9]{70}"),  # ReadMe
    ("tk-us-", r"tk-us-[A-Za-z0-9_\-]{48}"),  # Scalingo
    ("sg.", r"SG\.(?=[A-Za-z0-9_\-.=]{0,65}[0-9])[A-Za-z0-9_\-.=]{66}"),  # SendGrid
    ("sm_", r"(?<![A-Za-z0-9])sm_(?:aat|pat|sat)_[A-Za-z0-9]{16}"),  # SettleMint
    ("shippo_", r"shippo_(?:live|test)_[a-fA-F0-9]{32,}"),
    ("eaaa", r"(?<![A-Za-z0-9+/])EAAA(?=[A-Za-z_\-]{0,40}[0-9])[A-Za-z0-9_\-]{22,60}(?![A-Za-z0-9])"),  # Square
    ("sk", r"(?<![0-9A-Za-z])SK[0-9a-fA-F]{32}(?![0-9A-Za-z])"),  # Twilio
    ("pylf_", r"pylf_v\d{1,2}_[a-z]{2,8}_[A-Za-z0-9]{20,}"),  # Logfire
    ("nrjs-", r"NRJS-[0-9a-f]{19}"),  # New Relic
    ("pk. sk.", r"(?<![A-Za-z0-9])[ps]k\.eyJ[A-Za-z0-9_\-]{20,}\.[A-Za-z0-9_\-]{20,}"),  # Mapbox
    ("cfpat-", r"CFPAT-[A-Za-z0-9_\-]{40,}"),  # Contentful
    ("nfp_ nfc_", r"(?<![A-Za-z0-9])nf[pc]_[A-Za-z0-9]{36,}"),  # Netlify
    ("rnd_", r"(?<![A-Za-z0-9])rnd_[A-Za-z0-9]{28,}"),  # Render
    ("re_", r"(?<![A-Za-z0-9])re_[A-Za-z0-9]{8}_[A-Za-z0-9]{20,}"),  # Resend
    ("phc_ phx_", r"(?<![A-Za-z0-9])ph[cx]_[A-Za-z0-9]{40,}"),  # PostHog
    ("bkua_", r"bkua_[0-9a-f]{40}"),  # Buildkite
    ("ccipat_", r"CCIPAT_[A-Za-z0-9]{20,}_[0-9a-f]{40}"),  # CircleCI
    ("sl.", r"(?<![A-Za-z0-9])sl\.(?:u\.)?[A-Za-z0-9_\-]{100,}"),  # Dropbox
    ("squ_ sqp_ sqa_", r"(?<![A-Za-z0-9])sq[upa]_[0-9a-f]{40}"),  # SonarQube
    ("dnkey-", r"dnkey-[A-Za-z0-9=_\-]{26}-[A-Za-z0-9=_\-]{52}"),  # Defined Networking
    ("aqvn", r"(?<![A-Za-z0-9])AQVN[A-Za-z0-9_\-]{35,38}"),  # Yandex
    ("t1.", r"(?<![A-Za-z0-9])t1\.[A-Za-z0-9_\-]{40,}={0,2}\.[A-Za-z0-9_\-]{86}={0,2}"),
    ("vercel_blob_rw_", r"vercel_blob_rw_[A-Za-z0-9_]{30,}"),
    ("tskey-", r"tskey-[a-z]{2,16}-[A-Za-z0-9]{8,}-[A-Za-z0-9]{16,}"),  # Tailscale
    ("app_usr- test-", r"(?<![A-Za-z0-9])(?:APP_USR|TEST)-\d{12,19}-\d{6}-[0-9a-f]{32}(?:-\d{6,12})?"),  # Mercado Pago
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

_JOINED: Final = tuple((word, shape) for word, shape in _COMPILED if word.isalnum())
"""Those without a sign in the word."""


def find_api_keys(text: str) -> Iterator[Hit]:
    """Yield keys whose provider marks them with a prefix."""
    if not _LONG_RUN.search(text):
        return
    lower = text.lower()
    for word, shape in _JOINED if text.isalnum() else _COMPILED:
        if word in lower:
            for match in shape.finditer(text):
                yield Hit(match.start(), match.end(), "key")


API_KEY_FINDERS: Final = (Finder(find_api_keys),)
