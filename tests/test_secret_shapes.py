"""Each kind of secret in each shape in which text holds one, and what only looks like a secret."""

import json
import string
from pathlib import Path

import pytest
import yaml
from secret_samples import made_up, samples
from support import cpu_seconds, is_fast

from fleet_lib.jobs.stream import StreamCollector, partial_text
from fleet_lib.redact import redact
from fleet_lib.secret_kinds import KINDS

SAMPLES = samples()
CASES = json.loads((Path(__file__).parent / "cases" / "secrets.json").read_text())

SHAPES = {
    "plain": "I put {} into the settings.",
    "before a full stop": "The new value is {}.",
    "fence": "Done:\n\n```\n{}\n```\n",
    "command": "```bash\ndeploy {} now\n```",
    "code span": "Use `{}` for it.",
    "JSON": '{{"value": "{}"}}',
    "JSON in JSON": '"{{\\"value\\": \\"{}\\"}}"',
    "table": "| Name | Value |\n|---|---|\n| thing | {} |",
    "code span in a table": "| thing | `{}` |",
    "bold": "It is **{}**!",
    "italic": "It is _{}_ now",
    "parentheses": "the new one ({}) works",
    "after an underscore": "prefix_{}",
    "beside Chinese": "我用了{}作为值",
    "list": "a, {}, b",
    "escaped newline": "one\\n{}\\ntwo",
    "angle brackets": "<{}>",
    "encoded": "next%3D{}%26page",
}


@pytest.mark.parametrize("shape", SHAPES)
def test_every_kind_is_masked_in_every_shape(shape: str) -> None:
    survived = []
    for name, secret in SAMPLES.items():
        masked = redact(SHAPES[shape].format(secret))
        if secret[4:-4] in masked or "(redacted:" not in masked:
            survived.append((name, masked))
    assert survived == []


def test_there_are_two_hundred_kinds_and_each_has_a_name_for_its_mask() -> None:
    names = {kind.name for kind in KINDS}
    assert len(names) >= 200
    assert set("".join(names)) <= set(string.ascii_lowercase + string.digits + "-")
    assert all(len(hint) >= 3 and hint == hint.lower() for kind in KINDS for hint in kind.hints)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_secrets_of_the_handed_over_cases_are_masked(case: dict[str, str]) -> None:
    masked = redact(case["message"])
    assert "(redacted:" in masked and redact(masked) == masked
    secret = max(case["message"].replace("`", " ").replace("=", " ").replace("：", " ").split(), key=len)  # fmt: skip
    assert secret not in masked


PASSWORDS = """
password: @
**Password:** `@`
**Password**: @
- password — @
* Password - `@`
| Password | `@` |
| **Password** | @ |
the password is @
The password is **@**, change it.
Your new password is: `@`.
Passwort: @
Das Passwort lautet @
La contraseña es `@`
Mot de passe : @
senha: @
пароль: @
Пароль — `@`
密码：@
密码是`@`。
パスワードは `@` です
비밀번호: @
export PGPASSWORD='@'
POSTGRES_PASSWORD: "@"
DB_PASS=@
{"user": "bob", "password": "@"}
{\\"user\\": \\"bob\\", \\"password\\": \\"@\\"}
'password' => '@',
const password = "@";
<password>@</password>
<add key="Password" value="@"/>
- name: DB_PASSWORD\\n  value: "@"
{"name": "DB_PASSWORD", "value": "@"}
os.environ["DB_PASSWORD"] = "@"
SetEnvironmentVariable("DB_PASSWORD", "@")
--password @
--password=@
mysql -uroot -p@ shop
sshpass -p '@' ssh root@host
curl -u admin:@ https://x.example
machine api.example.com login bob password @
login: admin / @
**Login:** `admin` / `@`
localhost:5432:shop:app:@
Server=db;Database=x;User Id=sa;Password=@;
postgres://app:@@db.example.org/x
password (for admin): @
Password for `admin`: `@`
I set the password to `@`.
Root password → `@`
use `@` as the password
`@` is the password
The password:\\n\\n```\\n@\\n```
Password:\\n@\\n
IDENTIFIED BY '@'
redis-cli -a @ ping
docker login -u bob -p @
echo "@" | sudo -S ls
| User | Password |\\n|---|---|\\n| bob | `@` |
| Service | User | Password |\\n| --- | --- | --- |\\n| db | bob | @ |
""".strip().splitlines()

KEYS = """
API key: `@`
**Client Secret**: `@`
| API key | `@` |
- token — `@`
The token is @
Your API key:\\n\\n```\\n@\\n```
Here is the secret:\\n\\n```text\\n@\\n```
API_KEY=@
SECRET_KEY_BASE=@
DD_APP_KEY=@
apiKey: "@"
secretAccessKey: @
"accessToken":"@"
\\"apiKey\\": \\"@\\"
X-Api-Key: @
PRIVATE-TOKEN: @
Ocp-Apim-Subscription-Key: @
curl -H "X-Api-Key: @" https://x.example
Authorization: Token @
Authorization: @
https://x.example/?api_key=@&x=1
https://x.example/cb?access_token=@
--token @
--api-key=@
API-Schlüssel: `@`
clé API : @
clave de API: @
токен: @
Ключ API: `@`
密钥：@
APIキー: `@`
토큰: @
Signing secret `@`
using the API key `@` now
<apiKey>@</apiKey>
| Name | Token |\\n|---|---|\\n| ci | `@` |
the secret key is @.
`@` is the API key
(token: @)
GITHUB_TOKEN=@ gh pr list
kind: Secret\\ndata:\\n  key: @
Cookie: sid=@; theme=dark
Set-Cookie: sessionid=@; Path=/
https://b.example/x?X-Amz-Signature=@&a=1
https://s.example/c/b?sv=2024-01-01&sig=@&se=x
""".strip().splitlines()

NAMED = [(line, "Xk9mP2vL!7q") for line in PASSWORDS] + [
    (line, value)
    for line in PASSWORDS + KEYS
    for value in ("q7Lr2Vx9Tn4Bz8Wd3Kf6", made_up("{h40}", "value"), "kV8-zz3-Qm1-pp9")
]


@pytest.mark.parametrize(("line", "value"), NAMED)
def test_what_a_name_calls_a_secret_is_masked(line: str, value: str) -> None:
    text = line.replace("\\n", "\n").replace("@@", f"{value}@").replace("root@host", "root§host")
    text = text.replace("@", value, 1) if value not in text else text
    masked = redact(f"I did it.\n\n{text}\n\nThen I left.")
    assert value[:-1] not in masked
    assert masked.startswith("I did it.\n\n") and masked.endswith("\n\nThen I left.")
    assert redact(masked) == masked


UNTOUCHED = [
    "password: string",
    "token: str = None",
    "API_KEY=your-key-here",
    "API_KEY=<your-api-key-1>",
    "const key = process.env.SECRET_2;",
    "password: process.env.DB_PASSWORD_1",
    "apiKey: config.auth.apiKey2",
    "token = get_token2(request)",
    'password = os.environ["DB_PASSWORD_1"]',
    "the password is base64-encoded and the token is SHA-256",
    "The token is a JWT v2 with RS256 and the secret is 32-byte long",
    "password: required|min:8|confirmed",
    "| Password | varchar(255) | the hashed2 value |",
    "| `token` | int64 | bearer |",
    "the secret `db-credentials-v2` is mounted",
    "secretName: app-tls-2024-01",
    "key: npm-linux-3f786850e387550fdab836ed7e6dc881de23001b",
    "cache key `build-3f786850e387` and primary key user_id_2",
    "PRIMARY_KEY=user_id_2024_a1b2c3d4e5f6a7b8 and CACHE_KEY=ab12cd34ef56ab78cd",
    "--- PASS: TestE2E_RewindAfterCommit (28.82s)",
    "commit 3f786850e387550fdab836ed7e6dc881de23001b",
    "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "nginx@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "integrity: sha512-" + "v2kDEe57lecTulaDIuNTPy3Ry4gLGJ6Z1O3vE1krgXZNrsQ" * 2 + "==",
    '"integrity": "sha512-z4PhNX7vuL3xVChQ1m2AB9Yg5AULVxXcg/SpIdNs6c5H0NE8XYXysP+DGNKHfuwvY7kxvUdBeoGlODJ6+SfaPg=="',
    "0d599f0ec05c3bda8c3b8a68c32a1b47  dist/app-1.2.3.tar.gz",
    "df866e89-d7cd-49d6-9846-d8df06c54c4e",
    "toolu_01A09q90qw90lq917835lq9a and toolu_01XFDUDYJgAACzvnptvVoYEL",
    "msg_013Zva2CMHLNnjNjJKqJ2EF and req_011CSHoEeqs5C35K2UUqR7Fy",
    "call_abcDEF123456ghiJKL789mno and chatcmpl-123abcDEF456ghiJKL789mnoPQR",
    "resp_67ccd2bed1ec8190b14f964abc0542670bb6a6b452d3795b and run_abc123DEF456ghi789JKL012",
    "pi_3MtwBwLkdIwHu7ix28a3tqPa, cus_NffrFeUfNV2Hib, prod_NWjs8kKbJWmuuc, price_1MoBy5LkdIwHu7ixZhnattbh",
    "claude/fix-the-login-011CUKxYzAbCdEfGhIjKlMnO",
    "session_01AbCdEfGhIjKlMnOpQrStUv",
    "https://example.org/assets/index-BxK29dkL.js and chunk-7Q2ZXKJD.mjs",
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg==",
    "0x4283fefc63f0cd0e873a1b2c6d07ef7b77e90d3593ad699fc1f7cd5aa01bc9e2",
    "arn:aws:secretsmanager:eu-west-1:123456789012:secret:prod/db-AbC1d2",
    "the header `-----BEGIN PRIVATE KEY-----` was missing, and so was the end of 4096 bits of text",
    "AKIAIOSFODNN7EXAMPLE is the key of the documentation",
    "postgres://$USER:$PASSWORD@host/db and postgres://user:password@localhost/db",
    "https://user:${TOKEN}@example.org/x",
    "HKDF(privateKey, \"vault-file-ipns-v1-{fileId}\")",
    "docker run -p 8080:80 nginx1 && mysql -u root -p shop2024",
    "git config user.signingkey 8E1F899571345D06",
    "sessionId: df866e89-d7cd-49d6-9846-d8df06c54c4e, session_id=abc",
    "`max_tokens`: 4096, tokens used: 12,345 of 200k",
    "token: oauth2, secret: null, password: ******** and password: ''",
    "Set the `API_KEY` environment variable to your key (see step 2).",
    "password: ${DB_PASSWORD_1} token: $TOKEN_2 secret: {{ vault.secret_3 }}",
    "const encryptedPrivateKey = teeEncryptedIpnsPrivateKey; privateKey: ed25519Seed",
    "DATABASE_URL=postgres://${DB_USER:-app}:${DB_PASSWORD:-local_dev}@db/app",
    "client = Client(basic_auth=SyntheticsBasicAuthOauthClient(1))",
    "react_component_with_long_name_2024_version_3_final",
    "test_every_kind_is_masked_in_every_shape[code-span-2]",
    "/home/dev/code/app/node_modules/@scope/pkg-name/dist/index.d.ts",
    "us-east-1.console.aws.amazon.com/ec2/v2/home?region=us-east-1#Instances:instanceId=i-0abcd1234efgh5678",
    "I fixed the login and password reset of the site.",
    '{"errors": {"password": "Password must be at least 6 characters long"}}',
    "Convert the raw 32-byte Ed25519 private key to `libp2p` form.",
    "System.Xml, Version=4.0.0.0, Culture=neutral, PublicKeyToken=b77a5c561934e089",
    "fixture_id: live_coding_agent-inspect-and-fix-config-abc123",
    "sk_learn_pipeline_with_standard_scaler_v2_of_2024",
    "The key-value store holds `pub`, `as-is` and `ak-47` at 4/0 and 1//0.",
]  # fmt: skip


@pytest.mark.parametrize("text", UNTOUCHED)
def test_what_only_looks_like_a_secret_is_untouched(text: str) -> None:
    assert redact(text) == text
    assert redact(f"- `{text}`\n") == f"- `{text}`\n"


def test_front_matter_and_tables_are_well_formed_after_masking() -> None:
    secret = SAMPLES["github-token"]
    front = f"summary: needs {secret}\nblockers:\n  - the API key `{secret}`\npassword: Xk9mP2vL7q\nflow: [{secret}, b]\n"
    values = yaml.safe_load(redact(front))
    assert values["summary"] == "needs (redacted:github-token)"
    assert values["password"].startswith("(redacted:") and values["flow"][1] == "b"
    table = f"| Name | Token | Note |\n|---|---|---|\n| a | `{secret}` | x |\n| b | **Xk9mP2vL7q** | y |\n"
    assert [line.count("|") for line in redact(table).splitlines()] == [4, 4, 4, 4]
    assert "Xk9mP2vL7q" not in redact(table)


def test_seed_phrase_is_masked_and_talk_about_one_is_not() -> None:
    words = "abandon ability able about above absent absorb abstract absurd abuse access accident"
    assert "absurd" not in redact(f"Seed phrase: {words}")
    assert "absurd" not in redact(f"mnemonic = `{words}`")
    talk = "The seed phrase is stored in the vault, so that a user can restore it later on."
    assert redact(talk) == talk


def test_markdown_escapes_do_not_hide_a_token() -> None:
    secret = SAMPLES["github-token"]
    assert secret[6:] not in redact("| " + secret.replace("_", "\\_") + " |")


WORDS = {
    "names": "password ",
    "names with a colon": "password: ",
    "assignments": "password=",
    "long web tokens": "eyJ-",
    "headings of tables": "| password | token |\n|---|---|\n",
    "rules": "---\n",
    "commands": "curl -u a",
    "logins": "login: admin / ",
    "manifests": "kind: Secret password: \n",
    "masks": "password: (redacted:x) ",
    "words and digits": "a1_",
    "hexadecimal": "0123456789abcdef",
    "asides": "password for of to ",
    "cookies": "cookie: a=b ",
    "letters": "a",
    "code spans": "`",
}


@pytest.mark.parametrize("name", WORDS)
def test_no_text_makes_the_search_for_names_slow(name: str) -> None:
    def seconds(length: int) -> float:
        text = WORDS[name] * (length // len(WORDS[name]))
        return cpu_seconds(lambda: redact(text))

    redact(WORDS[name])
    assert is_fast(lambda: seconds(40_000) < 6 * seconds(10_000) + 0.05)


# --- the stream of a job ------------------------------------------------------------------------


def part(text: str) -> bytes:
    delta = {"type": "content_block_delta", "delta": {"type": "text_delta", "text": text}}
    return json.dumps({"type": "stream_event", "event": delta}).encode()


@pytest.mark.parametrize("size", [1, 3, 7, 20])
@pytest.mark.parametrize("secret", ["github-token", "named", "key"])
def test_secret_that_is_split_over_parts_of_a_message_is_masked(secret: str, size: int) -> None:
    body = "MIIEowIBAAKCAQEAsecretsecret\nAbCdEf0123456789secretsecret"
    secrets = {
        "github-token": SAMPLES["github-token"],
        "named": "password: q7Lr2Vx9Tn4Bz8Wd3Kf6",
        "key": "-----BEG" + f"IN RSA PRIVATE KEY-----\n{body}\n-----END RSA PRIVATE KEY-----",
    }
    text = f"I made it:\n{secrets[secret]} and that is all.\n"
    stream = StreamCollector()
    chunks = [stream.add(part(text[at : at + size])) for at in range(0, len(text), size)]
    written = "".join(partial_text(json.loads(chunk)) for chunk in chunks if chunk)
    assert not any(end in written for end in ("secretsecret", "8Wd3Kf6", "-----END"))
    assert SAMPLES["github-token"][10:] not in written
    assert "(redacted:" in written and written.endswith(" and that is all.\n")
    assert text.startswith(written[:10])


def test_name_of_a_field_of_the_stream_says_that_its_value_is_secret() -> None:
    line = {"type": "user", "input": {"db_password": "q7Lr2Vx9Tn4Bz8", "path": "src/app2.py"}}
    stored = json.loads(StreamCollector().add(json.dumps(line).encode()) or "")
    assert stored["input"] == {"db_password": "(redacted:named-secret)", "path": "src/app2.py"}


def test_line_that_is_not_json_is_masked_before_it_is_cut() -> None:
    secret = SAMPLES["github-token"]
    stored = StreamCollector().add(b"x" * 1985 + b" " + secret.encode()) or ""
    assert secret[:10] not in stored
