"""Secrets out of text before anything is stored. What a token looks like is detect-secrets' knowledge;
here are the cheap filter before it, the few kinds that it lacks, and the mask."""

import re
from functools import cache

# Plain in YAML, so that a masked front matter still parses.
_MASK = "(redacted:{})"

# One of these is in every text that has something to mask, or one of its long words looks like a
# token that nothing marks. Most texts end here: a plain `in` is a hundred times faster than a pattern.
_HINTS = tuple(
    """
    <private -----begin :// aws accesskey access_key sessiontoken session_token akia asia abia acca a3t
    xox xapp- ghp_ gho_ ghu_ ghs_ ghr_ github_pat_ gr1348941 bearer hooks.slack glpat- gldt- glft-
    glsoat- glrt- glcbt- glimt- glptt- glagent- gloas- sk- sk_ rk_ eyj aiza ya29. npm_ _authtoken pypi-
    sg. sq0csp accountkey= hf_ hvs. dop_v1_ dapi shpat_ shpca_ shppa_ shpss_
    /webhooks/ webhook.office atatt3 atbb sharedaccesskey lin_api_ authorization
    password passwd pwd secret token api_key api-key apikey access-key dckr_pat_ gsk_ xai- r8_ figd_ sntrys_ sntryu_
    ntn_ pmak- nrak- glsa_ pscale_tkn_ dp.pt. dp.st. rubygems_ sbp_ gocspx- eaacedeose0cba akcp
    age-secret-key- .atlasv1.
    """.split()
)
_LONG_WORD = re.compile(r"[\w.:-]{32,}")
_UNMARKED = re.compile(
    r"AC[a-z0-9]{32}|SK[a-z0-9]{32}|\d{8}:[\w-]{35}|[MNO][\w-]{23,25}\.[\w-]{6}\.|[0-9a-z]{32}-us\d"
)
# What somebody calls a secret is one if it looks like one: eight characters or more, letters and digits, no
# expression of a program and no path.
_NAME = r"(?:password|passwd|pwd|secret|token|api[_-]?key|access[_-]?key|secret[_-]?key)"
_NAMED = re.compile(
    rf"(?i)({_NAME}[\"']?\s{{0,4}}[:=]\s{{0,4}}[\"']?)(?![/~.]|https?:)"
    r"(?=[^\s\"'`,;<>(){}\[\]$&]{0,200}\d)(?=[^\s\"'`,;<>(){}\[\]$&]{0,200}[a-z])([^\s\"'`,;<>(){}\[\]$&]{8,200})"
)
_PREFIX = (
    r"\b(?:dckr_pat_|gsk_|xai-|r8_|figd_|sntr[yu]s_|ntn_|pmak-|nrak-|glsa_|pscale_tkn_|dp\.[ps]t\.|rubygems_|sbp_|gocspx-"
    r"|eaacedeose0cba|akcp)(?=[\w-]{0,100}\d)[\w-]{20,}"
)
# The same, exactly: what passes here is worth the import of detect-secrets.
_MAYBE = re.compile(
    r"(?i:<private|aws.{0,30}(?:key|secret|pw|pass|token)|secret_?access_?key|session_?token|\bxox|\bxapp-|hooks\.slack|bearer\s"
    r"|/webhooks/|webhook\.office|\batatt3|\batbb|sharedaccesskey|\blin_api_|authorization: (?:basic|token)"
    rf"|{_NAME}[\"']?\s{{0,4}}[:=]|{_PREFIX}|age-secret-key-1|\.atlasv1\.)"
    r"|-----BEGIN|://[^\s/:]{0,200}:[^\s]{1,400}@|://[\w.-]{16,400}@|A3T[A-Z0-9]|A[BK]IA|ACCA|ASIA|gh[pousr]_|github_pat_|\bgl[a-z]{2,6}-"
    r"|GR1348941|\bsk[-_]|\brk_|\beyJ|AIza|ya29\.|npm_|_authToken|pypi-|\bSG\.|sq0csp|\bAC[a-z0-9]{32}"
    r"|\bSK[a-z0-9]{32}|AccountKey=|\d{8}:[\w-]{35}|-us\d|\b[MNO][\w-]{23,25}\.[\w-]{6}\."
    r"|\bhf_|\bhvs\.|dop_v1_|\bdapi[0-9a-f]|\bshp[a-z]{2}_"
)

_PRIVATE_TAG = re.compile(r"(?i)<(/?)private(?:\s*>|(?=[\s/>]|\Z))")
_KEY_BLOCK = re.compile(
    r"(?s)-----BEGIN ([A-Z0-9 ]*)PRIVATE KEY( BLOCK)?-----.*?"
    r"(?:-----END [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----|\Z)"
)
# A password may hold a slash that should have been escaped; digits and a slash are a port.
_URL_PASSWORD = re.compile(r"(://[^\s/:@]{0,200}:)(?!\d+/)([^\s\"'<>]{1,400})(?=@)")
_URL_TOKEN = re.compile(r"(://)([A-Za-z0-9_.-]{16,400})(?=@)")

# Kinds that detect-secrets does not know, or only in part.
_OWN_KINDS = (
    ("github-token", r"\b(?:github_pat_[A-Za-z0-9_]{22,255}|gh[pousr]_[A-Za-z0-9_]{36,255})"),
    ("google-api-key", r"\bAIza[0-9A-Za-z_-]{35}"),
    ("google-oauth-token", r"\bya29\.[0-9A-Za-z_-]{20,}"),
    ("anthropic-api-key", r"\bsk-ant-[A-Za-z0-9_-]{20,}"),
    ("openai-token", r"(?<![A-Za-z0-9_-])sk-(?=[A-Za-z_-]*\d)[A-Za-z0-9_-]{32,}"),
    ("slack-token", r"(?i)\bx(?:ox[a-z]|app)-[A-Za-z0-9-]{10,}"),
    ("stripe-key", r"\b[sr]k_(?:live|test)_[0-9A-Za-z]{16,}"),
    ("hugging-face-token", r"\bhf_[A-Za-z0-9]{30,}"),
    ("vault-token", r"\bhvs\.[A-Za-z0-9_-]{24,}"),
    ("digitalocean-token", r"\bdop_v1_[0-9a-f]{64}"),
    ("databricks-token", r"\bdapi[0-9a-f]{32}"),
    ("shopify-token", r"\bshp(?:at|ca|pa|ss)_[0-9a-fA-F]{32}"),
    ("npm-token", r"\bnpm_[A-Za-z0-9]{36}|(?<=_authToken=)[^\s\"']+"),
    (
        "json-web-token",
        r"(?<![A-Za-z0-9_=-])eyJ[A-Za-z0-9_=-]{8,}\.[A-Za-z0-9_=-]{8,}(?:\.[A-Za-z0-9_=-]*)?",
    ),
    ("discord-webhook", r"(?<=discord\.com/api/webhooks/)[\w/-]{20,}"),
    ("discord-webhook", r"(?<=discordapp\.com/api/webhooks/)[\w/-]{20,}"),
    ("teams-webhook", r"(?<=webhook\.office\.com/)[\w@/-]{20,}"),
    ("atlassian-token", r"\bAT(?:ATT3|BB)[A-Za-z0-9_=-]{20,}"),
    ("azure-shared-key", r"(?<=SharedAccessKey=)[A-Za-z0-9+/=]{20,}"),
    ("linear-api-key", r"\blin_api_[A-Za-z0-9]{20,}"),
    ("token", rf"(?i){_PREFIX}"),
    ("age-key", r"\bAGE-SECRET-KEY-1[A-Z0-9]{30,}"),
    ("terraform-token", r"\b\w{14}\.atlasv1\.[\w-]{60,}"),
    ("authorization-token", r"(?i)(?<=authorization: token )[\w.~+/-]{16,}=*"),
    ("basic-credentials", r"(?i)(?<=authorization: basic )[A-Za-z0-9+/=]{8,}"),
    ("bearer-token", r"(?i)(?<=bearer )(?=\S*\d)[A-Za-z0-9._~+/-]{20,}=*"),
)
# Forty characters of base64 alone may be a commit's SHA-1; only a name beside it makes it a key.
_AWS_SECRET = re.compile(
    r"(?i)((?:aws[\w .-]{0,30}(?:secret|key)[\w .-]{0,20}|secret_?access_?key|session_?token)"
    r"[\"']?\s{0,8}[:=]\s{0,8}[\"']?)([A-Za-z0-9/+]{40,}={0,2})"
)


def redact(text: str) -> str:
    """The text with every secret replaced by a mask that names its kind. Idempotent.

    `<private>…</private>` is taken out whole; an unclosed one, or an unclosed key block, runs to the
    end of the text.
    """
    if not _may_hold_secret(text):
        return text
    text = _without_private(text)
    text = _KEY_BLOCK.sub(_MASK.format("private-key"), text)
    text = _URL_PASSWORD.sub(rf"\1{_MASK.format('url-password')}", text)
    text = _URL_TOKEN.sub(rf"\1{_MASK.format('url-token')}", text)
    text = _AWS_SECRET.sub(rf"\1{_MASK.format('aws-secret-key')}", text)
    for kind, pattern in _patterns():
        text = pattern.sub(_MASK.format(kind), text)
    return _NAMED.sub(rf"\1{_MASK.format('named-secret')}", text)


def _without_private(text: str) -> str:
    """`<private>` through the `</private>` that closes it, also where another stands inside."""
    kept, depth, end = [], 0, 0
    for tag in _PRIVATE_TAG.finditer(text):
        if not tag[1]:
            if not depth:
                kept += [text[end : tag.start()], _MASK.format("private")]
            depth += 1
        elif depth:
            depth -= 1
            end = tag.end()
    return text if not kept else "".join([*kept, "" if depth else text[end:]])


def _may_hold_secret(text: str) -> bool:
    if len(text) < 8:  # shorter than any secret that can be told from a word
        return False
    lowered = text.lower()
    hinted = any([hint in lowered for hint in _HINTS])  # noqa: C419 (a generator takes twice as long)
    if not hinted and len(text) >= 32:
        hinted = any(_UNMARKED.search(word) for word in _LONG_WORD.findall(text))
    return hinted and _MAYBE.search(text) is not None


@cache
def _patterns() -> tuple[tuple[str, re.Pattern[str]], ...]:
    """(kind, pattern) of every token; the whole match is the secret."""
    own = [(kind, re.compile(source)) for kind, source in _OWN_KINDS]
    # Imported only now: it takes longer than a whole drain of ordinary text.
    from detect_secrets.plugins import (
        aws,
        azure_storage_key,
        discord,
        github_token,
        gitlab_token,
        mailchimp,
        pypi_token,
        sendgrid,
        slack,
        square_oauth,
        stripe,
        telegram_token,
        twilio,
    )

    detectors = (
        aws.AWSKeyDetector,
        github_token.GitHubTokenDetector,
        gitlab_token.GitLabTokenDetector,
        slack.SlackDetector,
        stripe.StripeDetector,
        pypi_token.PypiTokenDetector,
        sendgrid.SendGridDetector,
        twilio.TwilioKeyDetector,
        telegram_token.TelegramBotTokenDetector,
        discord.DiscordBotTokenDetector,
        azure_storage_key.AzureStorageKeyDetector,
        square_oauth.SquareOAuthDetector,
        mailchimp.MailchimpDetector,
    )
    found = list(own)
    for detector in detectors:
        kind = re.sub(r"[^a-z0-9]+", "-", detector.secret_type.lower()).strip("-")
        found += [(kind, pattern) for pattern in detector.denylist]
    return tuple(found)
