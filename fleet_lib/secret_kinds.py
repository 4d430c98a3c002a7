"""The kinds of secret that Fleet masks: one table, from which the quick filter and the patterns are
made.

To add a kind, add a row. Its hints are what decides whether its pattern is tried at all: at least
one of them, in small letters, must stand in every text that the pattern matches. A kind without a
fixed part has no hint and is tried on every text that holds a long word. A group named `secret` is
what is masked, else the whole match.
"""

import re
from functools import cache
from typing import NamedTuple

# What a name calls a secret.
_NAME = r"(?:password|passwd|pwd|secret|token|api[_-]?key|access[_-]?key|secret[_-]?key)"
_VALUE_CHAR = r"[^\s\"'`,;<>(){}\[\]$&]"


class Kind(NamedTuple):
    name: str  # as the mask says it
    hints: tuple[str, ...]
    source: str  # a regular expression

    @property
    def pattern(self) -> re.Pattern[str]:
        return _compiled(self.source)


def _kind(name: str, hints: str, source: str) -> Kind:
    return Kind(name, tuple(hints.split()), source)


# The order counts: what stands first is masked first, and what a name calls a secret is a last
# resort.
KINDS = (
    _kind(
        "private-key",
        "-----begin",
        r"(?s)-----BEGIN (?:[A-Z0-9 ]*)PRIVATE KEY(?: BLOCK)?-----.*?"
        r"(?:-----END [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----|\Z)",
    ),
    # A password may hold a slash that should have been escaped; digits and a slash are a port.
    _kind(
        "url-password",
        "://",
        r"://[^\s/:@]{0,200}:(?!\d+/)(?P<secret>[^\s\"'<>]{1,400})@",
    ),
    _kind("url-token", "://", r"://(?P<secret>[A-Za-z0-9_.-]{16,400})@"),
    _kind("azure-storage-key", "accountkey=", r"(?i)AccountKey=(?P<secret>[A-Za-z0-9+/=]{88})"),
    _kind(
        "azure-shared-key",
        "sharedaccesskey=",
        r"(?i)SharedAccessKey=(?P<secret>[A-Za-z0-9+/=]{20,})",
    ),
    # Forty characters of base64 alone may be a commit's SHA-1; only a name beside it makes it a
    # key.
    _kind(
        "aws-secret-key",
        "aws secretaccesskey secret_accesskey secretaccess_key secret_access_key sessiontoken session_token",
        r"(?i)(?:aws[\w .-]{0,30}(?:secret|key)[\w .-]{0,20}|secret_?access_?key|session_?token)"
        r"[\"']?\s{0,8}[:=]\s{0,8}[\"']?(?P<secret>[A-Za-z0-9/+]{40,}={0,2})",
    ),
    _kind(
        "aws-secret-key",
        "aws",
        r"(?i)aws.{0,20}?(?:key|pwd|pw|pass|token).{0,20}?[\"'](?P<secret>[0-9a-z/+]{40})[\"']",
    ),
    _kind(
        "aws-access-key",
        "a3t abia acca akia asia",
        r"(?:A3T[A-Z0-9]|ABIA|ACCA|AKIA|ASIA)[0-9A-Z]{16}",
    ),
    _kind("github-token", "github_pat_", r"\bgithub_pat_[A-Za-z0-9_]{22,255}"),
    _kind("github-token", "ghp_ gho_ ghu_ ghs_ ghr_", r"gh[pousr]_[A-Za-z0-9_]{36,255}"),
    _kind(
        "gitlab-token",
        "glpat- gldt- glft- glsoat- glrt- glcbt- glimt- glptt- glagent- gloas- gr1348941",
        r"(?:gl(?:pat|dt|ft|soat|rt|cbt|imt|ptt|agent|oas)-|GR1348941)[A-Za-z0-9_-]{20,1024}",
    ),
    _kind("google-api-key", "aiza", r"\bAIza[0-9A-Za-z_-]{35}"),
    _kind("google-oauth-token", "ya29.", r"\bya29\.[0-9A-Za-z_-]{20,}"),
    _kind("anthropic-api-key", "sk-ant-", r"\bsk-ant-[A-Za-z0-9_-]{20,}"),
    _kind("openai-token", "sk-", r"(?<![A-Za-z0-9_-])sk-(?=[A-Za-z_-]*\d)[A-Za-z0-9_-]{32,}"),
    _kind("slack-token", "xox xapp-", r"(?i)\bx(?:ox[a-z]|app)-[A-Za-z0-9-]{10,}"),
    _kind(
        "slack-webhook",
        "hooks.slack",
        r"https://hooks\.slack\.com/services/T[A-Za-z0-9_]+/B[A-Za-z0-9_]+/[A-Za-z0-9_]+",
    ),
    _kind("stripe-key", "sk_ rk_", r"\b[sr]k_(?:live|test)_[0-9A-Za-z]{16,}"),
    _kind("hugging-face-token", "hf_", r"\bhf_[A-Za-z0-9]{30,}"),
    _kind("vault-token", "hvs.", r"\bhvs\.[A-Za-z0-9_-]{24,}"),
    _kind("digitalocean-token", "dop_v1_", r"\bdop_v1_[0-9a-f]{64}"),
    _kind("databricks-token", "dapi", r"\bdapi[0-9a-f]{32}"),
    _kind("shopify-token", "shpat_ shpca_ shppa_ shpss_", r"\bshp(?:at|ca|pa|ss)_[0-9a-fA-F]{32}"),
    _kind("npm-token", "npm_", r"\bnpm_[A-Za-z0-9]{36}"),
    _kind("npm-token", "_authtoken", r"(?i)_authToken=(?P<secret>[^\s\"']+)"),
    _kind(
        "json-web-token",
        "eyj",
        r"(?<![A-Za-z0-9_=-])eyJ[A-Za-z0-9_=-]{8,}\.[A-Za-z0-9_=-]{8,}(?:\.[A-Za-z0-9_=-]*)?",
    ),
    _kind("pypi-token", "pypi-", r"pypi-AgE[A-Za-z0-9_-]{70,}"),
    _kind("sendgrid-key", "sg.", r"SG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}"),
    _kind("square-secret", "sq0csp-", r"sq0csp-[0-9A-Za-z_-]{43}"),
    _kind(
        "discord-webhook",
        "discord",
        r"discord(?:app)?\.com/api/webhooks/(?P<secret>[\w/-]{20,})",
    ),
    _kind("teams-webhook", "webhook.office", r"webhook\.office\.com/(?P<secret>[\w@/-]{20,})"),
    _kind("atlassian-token", "atatt3 atbb", r"\bAT(?:ATT3|BB)[A-Za-z0-9_=-]{20,}"),
    _kind("linear-api-key", "lin_api_", r"\blin_api_[A-Za-z0-9]{20,}"),
    _kind(
        "token",
        "dckr_pat_ gsk_ xai- r8_ figd_ sntrys_ sntryu_ ntn_ pmak- nrak- glsa_ pscale_tkn_ dp.pt. dp.st."
        " rubygems_ sbp_ gocspx- eaacedeose0cba akcp",
        r"(?i)\b(?:dckr_pat_|gsk_|xai-|r8_|figd_|sntry[su]_|ntn_|pmak-|nrak-|glsa_|pscale_tkn_"
        r"|dp\.[ps]t\.|rubygems_|sbp_|gocspx-|eaacedeose0cba|akcp)(?=[\w-]{0,100}\d)[\w-]{20,}",
    ),
    _kind("age-key", "age-secret-key-1", r"\bAGE-SECRET-KEY-1[A-Z0-9]{30,}"),
    _kind("terraform-token", ".atlasv1.", r"\b\w{14}\.atlasv1\.[\w-]{60,}"),
    # Without a fixed part.
    _kind("twilio-api-key", "", r"(?:AC|SK)[a-z0-9]{32}"),
    _kind("telegram-bot-token", "", r"\d{8,10}:[0-9A-Za-z_-]{35}"),
    _kind("discord-bot-token", "", r"[MNO][\w-]{23,25}\.[\w-]{6}\.[\w-]{27,}"),
    _kind("mailchimp-key", "", r"[0-9a-z]{32}-us[0-9]{1,2}"),
    # By what stands before it.
    _kind(
        "authorization-token",
        "authorization:",
        r"(?i)authorization: token (?P<secret>[\w.~+/-]{16,}=*)",
    ),
    _kind(
        "basic-credentials",
        "authorization:",
        r"(?i)authorization: basic (?P<secret>[A-Za-z0-9+/=]{8,})",
    ),
    _kind("bearer-token", "bearer", r"(?i)bearer (?P<secret>(?=\S*\d)[A-Za-z0-9._~+/-]{20,}=*)"),
    # If it looks like one: eight characters or more, letters and digits, no expression of a program
    # and no path.
    _kind(
        "named-secret",
        "password passwd pwd secret token api_key api-key apikey access_key access-key accesskey",
        rf"(?i){_NAME}[\"']?\s{{0,4}}[:=]\s{{0,4}}[\"']?(?![/~.]|https?:)"
        rf"(?={_VALUE_CHAR}{{0,200}}\d)(?={_VALUE_CHAR}{{0,200}}[a-z])"
        rf"(?P<secret>{_VALUE_CHAR}{{8,200}})",
    ),
)


@cache
def _compiled(source: str) -> re.Pattern[str]:
    return re.compile(source)
