"""The kinds of secret that Fleet masks wherever they stand: one table, from which the quick filter
and the patterns are made. Vendors' tokens are in secret_vendors; what only a name makes a secret is
in secret_names.
"""

from __future__ import annotations

import binascii

from fleet_lib.secret_shapes import (
    ALNUM,
    BASE64,
    DOTS,
    HEX,
    LOWER,
    START,
    UPPER,
    UUID,
    WORD,
    Kind,
    kind,
    mixed,
    token,
)
from fleet_lib.secret_values import is_password, is_placeholder, is_random, is_stand_in, is_token
from fleet_lib.secret_vendors import VENDORS

TYPE_CHECKING = False  # typing is slow to import
if TYPE_CHECKING:
    import re


def _is_login(match: re.Match[str]) -> bool:
    if len(match["secret"]) >= 20 and is_random(match["secret"]):
        return True
    try:
        return b":" in binascii.a2b_base64(match["secret"] + "==")
    except ValueError:
        return False


def _is_given(match: re.Match[str]) -> bool:
    """Anything but a placeholder, where only a password can stand."""
    return not is_stand_in(match["secret"]) and not is_placeholder(match["secret"])


_FORMS = (
    # Without a line of the key's text it is only talk about keys. An unclosed one runs to the end.
    kind(
        "private-key",
        "-----begin",
        r"(?s)-----BEGIN (?:[A-Z0-9 ]*)PRIVATE KEY(?: BLOCK)?-----"
        r"(?=(?:(?!-----).){0,400}?[A-Za-z0-9+/=]{16}|[ \t\r]{0,20}(?:\n|\\n)[A-Za-z0-9+/=]{8}).*?"
        r"(?:-----END [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----|\Z)",
    ),
    kind(
        "private-key",
        "ssh2 encrypted private key",
        r"(?s)---- BEGIN SSH2 ENCRYPTED PRIVATE KEY ----.*?"
        r"(?:---- END SSH2 ENCRYPTED PRIVATE KEY ----|\Z)",
    ),
    kind(
        "private-key",
        "private-lines:",
        r"(?s)Private-Lines: [0-9]+\s(?P<secret>.*?)(?:(?=Private-MAC:)|\Z)",
    ),
    kind(
        "private-key",
        "ls0tls1crudjti",
        r"LS0tLS1CRUdJTi(?:[A-Za-z0-9+/]{0,12}UFJJVkFURS|BQUklWQVRF|BPUEVOU1NIIFBSSVZBVEUg"
        r"|BFTkNSWVBURUQg|BFQyBQUklWQVRF|BSU0EgUFJJVkFUR)[A-Za-z0-9+/=]{20,}",
    ),
    kind(
        "json-web-key",
        "kty",
        r"[\"']kty\\?[\"'][^{}]{0,2000}?[\"'](?:d|k)\\?[\"']\s{0,4}:\s{0,4}\\?[\"'](?P<secret>[A-Za-z0-9_-]{22,})",
    ),
    kind(
        "json-web-key",
        "kty",
        r"[\"'](?:d|k)\\?[\"']\s{0,4}:\s{0,4}\\?[\"'](?P<secret>[A-Za-z0-9_-]{40,700})\\?[\"'][^{}]{0,800}?[\"']kty",
    ),
    token("age-key", "AGE-SECRET-KEY-1 AGE-SECRET-KEY-PQ-1", UPPER, 30),
    token("wallet-key", "xprv yprv zprv tprv", "1-9A-HJ-NP-Za-km-z", 90),
    kind(
        "wireguard-key",
        "privatekey presharedkey",
        r"(?:PrivateKey|PresharedKey)\s{0,3}=\s{0,3}(?P<secret>[A-Za-z0-9+/]{43}=)",
    ),
    token("nostr-key", "nsec1", "02-9ac-hj-np-z", 58),
    kind(
        "wallet-key",
        "",
        r"(?<![A-Za-z0-9+/])(?:(?:5[HJK]|K[w-z][1-9A-Za-z]|L[1-5][1-9A-Za-z])[1-9A-HJ-NP-Za-km-z]{49}"
        r"|S[A-D](?=[A-Z]{0,50}[2-7])[A-Z2-7]{54})(?![A-Za-z0-9+/=_-])",
    ),
    # A password may hold a slash that should have been escaped; digits and a slash are a port.
    kind(
        "url-password",
        "://",
        r"://[^\s/:@]{0,200}:(?!\d+/)(?P<secret>[^\s\"'<>]{1,300})@",
        lambda match: not is_stand_in(match["secret"]),
    ),
    kind("url-token", "://", r"://(?P<secret>[A-Za-z0-9_.-]{16,400})@"),
    kind(
        "signed-url",
        "x-amz- x-goog- x-oss- x-cos- x-tos-",
        r"(?i)[?&;]X-(?:Amz|Goog|Oss|Cos|Tos)-(?:Signature|Credential|Security-Token)="
        r"(?P<secret>[^\s&\"'<>`)\]]{12,})",
    ),
    kind(
        "signed-url",
        "sig= signature= sign= hmac= awsaccesskeyid= key-pair-id=",
        r"(?i)[?&;](?:amp;)?(?:sig|sign|signature|hmac|awsaccesskeyid|key-pair-id)="
        r"(?=(?:[^\s&\d]{0,80}\d){2})(?P<secret>[A-Za-z0-9%+/=_~-]{12,})",
    ),
    kind(
        "slack-webhook",
        "hooks.slack",
        r"https://hooks\.slack(?:-gov)?\.com/(?:services|workflows|triggers)/[A-Za-z0-9_/+-]{20,}",
    ),
    kind(
        "discord-webhook",
        "discord",
        r"discord(?:app)?\.com/api/(?:v[0-9]{1,2}/)?webhooks/(?P<secret>[A-Za-z0-9_/-]{20,})",
    ),
    kind("teams-webhook", "webhook.office", r"webhook\.office\.com/(?P<secret>[\w@/-]{20,})"),
    kind(
        "teams-webhook", "outlook.office", r"outlook\.office\.com/webhook/(?P<secret>[\w@/-]{20,})"
    ),
    kind(
        "webhook-url",
        "hooks.zapier.com hook.eu hook.us hook.integromat maker.ifttt tines.com pipedream.net"
        " chat.googleapis.com open.feishu.cn oapi.dingtalk qyapi.weixin hooks.airtable",
        r"(?:hooks\.zapier\.com/hooks/catch|hook\.(?:eu|us)[0-9]\.make\.(?:com|celonis\.com)"
        r"|hook\.integromat\.com|maker\.ifttt\.com/trigger/[\w-]{1,80}/with/key"
        r"|[\w-]{1,60}\.tines\.com/webhook|open\.feishu\.cn/open-apis/bot/v2/hook"
        r"|hooks\.airtable\.com/workflows"
        r"|chat\.googleapis\.com/v1/spaces/[\w-]{1,60}/messages\?key=[\w-]{1,80}&token="
        r"|oapi\.dingtalk\.com/robot/send\?access_token="
        r"|qyapi\.weixin\.qq\.com/cgi-bin/webhook/send\?key=)/?(?P<secret>[\w/%=-]{16,})",
    ),
)

_CLOUDS = (
    kind(
        "azure-storage-key",
        "accountkey account_key",
        r"(?i)Account_?Key[\"']?\s{0,3}[=:]\s{0,3}[\"']?(?P<secret>[A-Za-z0-9+/]{60,}={0,2})",
    ),
    kind(
        "azure-shared-key",
        "sharedaccesskey= sharedaccesssignature azconfig.io",
        r"(?i)(?:SharedAccessKey=|SharedAccessSignature[ =]sr=[^\s&]{1,200}&sig="
        r"|azconfig\.io;Id=[^;\s]{1,80};Secret=)(?P<secret>[A-Za-z0-9+/=%]{20,})",
    ),
    kind(
        "azure-client-secret",
        "0q~ 1q~ 2q~ 3q~ 4q~ 5q~ 6q~ 7q~ 8q~ 9q~",
        r"[\w~.]{3}[0-9]Q~[\w~.-]{24,40}",
    ),
    kind("azure-devops-token", "azdo", rf"{START}[A-Za-z0-9]{{76}}AZDO[A-Za-z0-9]{{4}}"),
    kind(
        "azure-key",
        "jqqj99 +acr azse +ast +aba +amc acdb apim azfu azca",
        r"(?<![A-Za-z0-9+/])(?:[A-Za-z0-9]{40,60}JQQJ99[A-Za-z0-9]{20,40}"
        r"|[A-Za-z0-9+/]{42}(?:\+ACR|AzSe)[A-Za-z0-9]{6}"
        r"|[A-Za-z0-9+/]{76}(?:\+ASt|\+ABa|\+AMC|ACDb|APIM)[A-Za-z0-9+/]{6}=="
        r"|[A-Za-z0-9_-]{44}AzFu[A-Za-z0-9_-]{6}==|[A-Za-z0-9+/]{33}AzCa[A-Za-z0-9+/]{6}=)",
    ),
    # Forty characters of base64 alone may be a commit's SHA-1; only a name beside it makes it a
    # key.
    kind(
        "aws-secret-key",
        "aws secretaccesskey secret_accesskey secretaccess_key secret_access_key sessiontoken session_token",
        r"(?i)(?:aws[\w .-]{0,30}(?:secret|key)[\w .-]{0,20}|secret_?access_?key|session_?token)"
        r"[\"']?\s{0,8}[:=|]\s{0,8}[\"']?(?P<secret>[A-Za-z0-9/+]{40,}={0,2})",
    ),
    kind(
        "aws-secret-key",
        "aws",
        r"(?i)aws.{0,20}?(?:key|pwd|pw|pass|token).{0,20}?[\"'](?P<secret>[0-9a-z/+]{40})[\"']",
    ),
    kind(
        "aws-access-key",
        "a3t abia acca akia asia",
        r"(?:A3T[A-Z0-9]|ABIA|ACCA|AKIA|ASIA)(?![0-9A-Z]{8,13}EXAMPLE)[0-9A-Z]{16}",
    ),
    # Beside the key's id stands its secret.
    kind(
        "aws-secret-key",
        "akia asia",
        rf"A[KS]IA[0-9A-Z]{{16}}(?![{ALNUM}])[^{ALNUM}]{{1,12}}(?P<secret>[A-Za-z0-9/+]{{40}})(?![A-Za-z0-9/+])",
    ),
    mixed("aws-bedrock-key", "ABSK", BASE64, 60),
    token("aws-bedrock-key", "bedrock-api-key-", BASE64, 28),
    mixed("aws-session-token", "IQoJb3JpZ2lu FwoGZXIvYXdz FQoGZXIvYXdz", BASE64, 60),
    kind("aws-mws-token", "amzn.mws.", rf"amzn\.mws\.{UUID}"),
    token("amazon-client-secret", "amzn1.oa2-cs.v1.", HEX, 40),
    token("aws-appsync-key", "da2-", LOWER, 26),
    token("google-api-key", "AIza", WORD, 35),
    token("google-api-key", "AQ.Ab", WORD, 40),
    token("google-oauth-token", "ya29.", WORD, 20),
    mixed("google-refresh-token", "1//0", WORD, 35),
    mixed("google-auth-code", "4/0A", WORD, 50),
    kind("firebase-key", ":apa91b", r"AAAA[A-Za-z0-9_-]{7}:APA91b[A-Za-z0-9_-]{60,}"),
    kind(
        "recaptcha-key",
        "aaaaa",
        rf"{START}6L[A-Za-z0-9_-]{{6}}AAAAA[A-Za-z0-9_-]{{27}}(?![A-Za-z0-9_-])",
    ),
    token("google-client-secret", "GOCSPX-", WORD, 20),
    token("google-storage-key", "GOOG1E GOOG", UPPER, 30),
    mixed("alibaba-key", "LTAI", ALNUM, 12),
    mixed("alibaba-key", "STS.", ALNUM, 16),
    mixed("tencent-key", "AKID", ALNUM, 28),
    mixed("volcengine-key", "AKLT", WORD, 30),
    mixed("yandex-key", "AQVN AQVM", WORD, 30),
    kind(
        "yandex-key",
        "",
        r"(?<![A-Za-z0-9+/])YC(?=(?:[A-Za-z_-]{0,37}[0-9]){2})[A-Za-z0-9_-]{38}(?![A-Za-z0-9_-])",
    ),
    kind(
        "yandex-token",
        "t1.",
        rf"{START}t1\.[A-Za-z0-9_-]{{2,}}={{0,2}}\.[A-Za-z0-9_-]{{60,}}={{0,2}}",
    ),
    mixed("yandex-token", "y0_ y1_ y2_ y3_", WORD, 40),
)

_LOGINS = (
    kind(
        "json-web-token",
        "eyj ewog",
        r"(?<![A-Za-z0-9_=-])(?:eyJ|ewog)[A-Za-z0-9_=-]{8,}\.[A-Za-z0-9_=-]{8,}(?:\.[A-Za-z0-9_=-]*)?",
    ),
    kind(
        "json-web-token",
        "eyj",
        r"eyJ[A-Za-z0-9_=-]{8,300}\.e[yw][A-Za-z0-9_=-]{8,}\.[A-Za-z0-9_=-]{10,}",
    ),
    kind(
        "json-web-token",
        "eyj",
        r"eyJ(?:hbGciOi|0eXAiOi|lbmMiOi|raWQiOi)[A-Za-z0-9_=-]{4,300}(?:\.[A-Za-z0-9_=-]*){4}",
    ),
    kind("json-web-token", "zxlk", r"ZXlK[A-Za-z0-9+/]{44,}={0,2}"),
    kind("paseto-token", ".local. .public.", r"v[1-4]\.(?:local|public)\.[A-Za-z0-9_-]{40,}"),
    token("grafana-key", "eyJrIjoi", BASE64, 40),
    token("1password-token", "ops_eyJ", BASE64, 60),
    kind(
        "1password-key",
        "a3-",
        rf"{START}A3-[A-Z0-9]{{6}}-(?:[A-Z0-9]{{11}}|[A-Z0-9]{{6}}-[A-Z0-9]{{5}})(?:-[A-Z0-9]{{5}}){{3}}",
    ),
    kind(
        "bitwarden-token",
        "",
        rf"(?<![A-Za-z0-9])0\.{UUID}\.[A-Za-z0-9]{{20,}}:[A-Za-z0-9+/=]{{16,}}",
    ),
    kind(
        "infisical-token",
        "st.",
        rf"{START}st\.(?:{UUID}|[0-9a-f]{{24}})\.[0-9a-f]{{32}}\.[0-9a-f]{{32}}",
    ),
    token("doppler-token", "dp.pt. dp.st. dp.ct. dp.sa. dp.scim. dp.audit. dp.said.", DOTS, 24),
    kind(
        "okta-token",
        "",
        r"(?<![A-Za-z0-9+/-])00(?=[\w-]{0,39}[A-Z])(?=[\w-]{0,39}[a-z])(?=[\w-]{0,39}[g-zG-Z])[\w-]{40}(?![\w-])",
    ),
    kind("okta-token", "ssws", r"(?i)SSWS\s{1,3}(?P<secret>[A-Za-z0-9_-]{20,})"),
    mixed("stytch-secret", "secret-live- secret-test-", BASE64, 20),
    token("unkey-key", "unkey_", ALNUM, 20),
    mixed("zuplo-key", "zpka_", "A-Za-z0-9_", 30),
    kind(
        "authress-key",
        ".acc",
        r"(?:sc|ext|scauth|authress)_[A-Za-z0-9]{5,30}\.[A-Za-z0-9]{4,6}\.acc[_-][a-z0-9-]{10,32}\.[A-Za-z0-9+/_=-]{30,}",
    ),
)

# By what stands before it, where that is no name of a secret.
_CONTEXTS = (
    kind(
        "authorization-token",
        "authorization",
        r"(?i)authorization[\"']?\s{0,4}[:=]\s{0,4}[\"']?(?:token|api-?key|key|bot|oauth|digest|negotiate)"
        r"\s{1,3}(?P<secret>[\w.~+/-]{8,}=*)",
        lambda match: is_random(match["secret"]),
    ),
    kind(
        "basic-credentials",
        "authorization",
        r"(?i)authorization[\"']?\s{0,4}[:=]\s{0,4}[\"']?basic\s{1,3}(?P<secret>[A-Za-z0-9+/=]{8,})",
    ),
    kind(
        "bearer-token",
        "bearer",
        r"(?i)bearer[ :=]{1,3}(?P<secret>(?=\S*\d)[A-Za-z0-9._~+/-]{20,}=*)",
        lambda match: is_random(match["secret"]),
    ),
    kind("request-signature", "signature=", r"(?i)Signature=(?P<secret>[0-9a-f]{64})"),
    kind(
        "docker-login",
        "auth",
        r"[\"']auth\\{0,3}[\"']\s{0,4}:\s{0,4}\\{0,3}[\"'](?P<secret>[A-Za-z0-9+/]{8,}={0,2})",
        _is_login,
    ),
    kind(
        "cookie",
        "cookie",
        r"(?i)(?<![a-z])cookie:[ \t]{0,3}(?P<secret>[\w.-]{1,80}=[^\s\"'`]{8,4000}(?:[ ][\w.%-]{1,80}=[^\s\"'`]{0,4000}){0,40})",
        lambda match: (
            not is_placeholder(match["secret"])
            and sum(char.isdigit() for char in match["secret"]) > 1
        ),
    ),
    kind(
        "cookie",
        "--cookie curl",
        r"curl(?=\s)[^\n]{0,200}?\s(?:-b|--cookie)[ =][\"'](?P<secret>[\w.-]{1,80}=[^\n\"']{12,4000})",
        lambda match: not is_placeholder(match["secret"]),
    ),
    kind(
        "session-cookie",
        "sessionid= connect.sid phpsessid jsessionid _session= session-token= __session= csrftoken= remember_token=",
        r"(?i)(?:sessionid|connect\.sid|phpsessid|jsessionid|[a-z]+_session|session-token|__session|csrftoken|remember_token)="
        rf"(?!{UUID})(?P<secret>[A-Za-z0-9%._~+/=:-]{{16,}})",
        lambda match: is_random(match["secret"]),
    ),
    kind(
        "command-password",
        "curl wget http",
        r"(?<![\w/])(?:curl|wget|https?)(?=[ \t])[^\n|;]{0,200}?[ \t](?:-u|--user|-a|--auth|--proxy-user|-U)[ =]?[\"']?"
        r"[^\s:\"'$<{]{1,80}:(?P<secret>[^\s\"'`<]{3,200})",
        _is_given,
    ),
    kind(
        "command-password",
        "mysql mariadb mycli",
        r"(?:mysql\w{0,10}|mariadb[\w-]{0,10}|mycli)(?=[ \t])[^\n|;]{0,200}?[ \t]-p[\"']?(?P<secret>[^\s\"'`<-][^\s\"'`]{3,80})",
        _is_given,
    ),
    kind(
        "command-password",
        "sshpass redis-cli ldap zip sqlcmd mongo docker podman helm skopeo buildah oras cqlsh bcp",
        r"(?<![\w./-])(?:sshpass|redis-cli|ldap\w{3,8}|(?:un)?zip|sqlcmd|mongo(?:sh|dump|restore|export|import)?"
        r"|(?:docker|podman|helm registry|skopeo|buildah|oras)[ \t]login|cqlsh|bcp)(?=[ \t])[^\n|;]{0,200}?"
        r"(?<=[ \t])-[apPw][ =]?[\"']?(?P<secret>[^\s\"'`<-][^\s\"'`]{5,120})",
        lambda match: _is_given(match) and any(char.isdigit() for char in match["secret"]),
    ),
    kind(
        "command-password",
        "htpasswd chpasswd storepass keypass pass: identified requirepass sudo smbclient",
        r"(?i)(?:htpasswd[ \t]-[a-z]{0,6}b[a-z]{0,6}[ \t]\S{1,100}[ \t]\S{1,60}[ \t]|-(?:store|key)pass[ \t]"
        r"|pass(?:in|out)?[ \t]{0,2}pass:|identified[ \t]by[ \t][\"']|requirepass[ \t][\"']?|echo[ \t][\"'][\w.-]{1,40}:"
        r"(?=[^\n]{4,80}chpasswd)|echo[ \t][\"']?(?=[^\n\"']{4,80}[\"']?[ \t]\|[ \t]sudo[ \t]-S)|smbclient[ \t][^\n]{0,100}-U[ \t]\S{1,60}%)"
        r"(?P<secret>[^\s\"'`|]{6,120})",
        _is_given,
    ),
    kind(
        "netrc-password",
        "login",
        r"(?P<machine>machine\s{1,8}\S{1,100}\s{1,8})?login\s{1,8}\S{1,100}\s{1,8}password\s{1,8}(?P<secret>\S{4,200})",
        # "The login and password reset"
        lambda match: _is_given(match) and bool(match["machine"] or is_password(match["secret"])),
    ),
    kind(
        "pgpass-password",
        ":5432: :5433: :6432:",
        r"(?<!\S)[\w.*-]{1,100}:(?:5432|5433|6432):[\w*-]{1,60}:[\w.*-]{1,60}:(?P<secret>[^\s\"'`]{4,200})",
        _is_given,
    ),
    kind(
        "connection-password",
        "pwd pass",
        r"(?i)(?:server|host|data source|user id|uid|user|database|username)[ ]{0,3}=[^;\n=]{1,200};[^\n]{0,300}?"
        r"(?:password|pwd|pass)[ ]{0,3}=[ ]{0,3}(?P<secret>[^;\s\"'`]{4,200})",
        _is_given,
    ),
    # A prefix as vendors use it, and what only chance writes: for the vendors that come tomorrow.
    kind(
        "token",
        "",
        r"(?<![A-Za-z0-9/+_.-])(?P<prefix>[A-Za-z][A-Za-z0-9]{0,11}(?:[_-][A-Za-z0-9]{1,10}){0,3})[_-]"
        r"(?P<tail>[A-Za-z0-9]{20,200})(?:[_.-][A-Za-z0-9]{4,200}){0,4}",
        lambda match: is_token(match["prefix"], match["tail"]),
    ),
)

# The order counts where two kinds match the same text: the first one names the mask.
KINDS: tuple[Kind, ...] = (*_FORMS, *_CLOUDS, *VENDORS, *_LOGINS, *_CONTEXTS)
