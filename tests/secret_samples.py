"""One made-up secret of each kind, written as a pattern so that no scanner finds it here: `{A20}` is
twenty letters and digits, `{h}` hexadecimal, `{a}` small letters and digits, `{U}` capitals and
digits, `{d}` digits, `{B}` base64, `{w}` letters, digits, `_` and `-`.
"""

import random
import re

ALPHABETS = {
    "A": "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789",
    "h": "0123456789abcdef",
    "a": "abcdefghijklmnopqrstuvwxyz0123456789",
    "U": "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789",
    "d": "0123456789",
    "B": "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/",
    "w": "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-",
}

SAMPLES = """
aiven-password AVNS_{w18}x
amazon-client-secret amzn1.oa2-cs.v1.{h64}
chain-provider-key https://mainnet.infura.io/v3/{h32}
composio-key ak_{A18}7x
datadog-client-token pub{h32}
dub-key dub_{A22}7x
firebase-key AAAA{w7}:APA91b{w134}
google-auth-code 4/0A{w68}7x
infisical-token st.{h8}-{h4}-{h4}-{h4}-{h12}.{h32}.{h32}
inngest-key signkey-prod-{h64}
k3s-token K10{h64}::server:{h32}
modal-token as-{A20}7x
porkbun-key sk1_{h64}
rancher-token token-{a5}:{a54}
recaptcha-key 6L{w6}AAAAA{w26}x
sanity-token sk{A178}
secret-key sk_{a26}
square-token EAAA{w58}7x
trigger-dev-key tr_prod_{A20}
yandex-aws-key YC{w37}x
wireguard-key PrivateKey = /{B42}=
1password-key A3-{U6}-{U6}-{U5}-{U5}-{U5}-{U5}
1password-token ops_eyJ{B250}
adafruit-key aio_{A28}
adobe-secret p8e-{a32}
adyen-key AQEy{B80}
age-key AGE-SECRET-KEY-1{U58}
aikido-token AIK_SECRET_{A64}
airtable-token pat{A14}.{h64}
alibaba-key LTAI{A20}
anthropic-api-key sk-ant-api03-{w93}AA
anthropic-admin-key sk-ant-admin01-{w93}AA
anthropic-oauth-token sk-ant-oat01-{w93}AA
apify-token apify_api_{A36}
artifactory-key AKCp{A69}
asana-token 1/{d16}:{h32}
asana-new-token 2/{d16}/{d16}:{h32}
astra-token AstraCS:{A24}:{h64}
atlassian-token ATATT3{A60}={U8}
authress-key sc_{a12}.{a4}.acc-{a12}.{A60}
aws-access-key AKIA{U16}
aws-bedrock-key ABSK{B120}
aws-temporary-key ASIA{U16}
axiom-token xaat-{h8}-{h4}-{h4}-{h4}-{h12}
azure-client-secret a7B8Q~{w31}
azure-search-key {A42}AzSe{A6}
azure-devops-token {A52}JQQJ99{A26}
bitbucket-token ATBB{A32}
brave-search-key BSA{A28}
brevo-key xkeysib-{h64}-{A16}
brevo-smtp-key xsmtpsib-{h64}-{A16}
browserbase-key bb_live_{A27}
buildkite-token bkua_{h40}
canva-secret cnvca{w51}
cerebras-key csk-{a48}
circleci-token CCIPAT_{A22}_{h40}
clerk-key sk_live_{A42}
clickhouse-key 4b1d{A38}
clojars-token CLOJARS_{a60}
cloudflare-origin-key v1.0-{h24}-{h146}
cloudflare-token cfut_{A48}
cloudsmith-key csa_{h30}{A6}
cockroach-key CCDB1_{A22}_{A40}
configcat-key configcat-sdk-1/{w22}/{w22}
contentful-token CFPAT-{w43}
crates-io-token cio{A32}
cursor-key key_{h64}
databricks-token dapi{h32}
defined-networking-key dnkey-{A26}-{A52}
deno-token ddp_{A36}
devcycle-key dvc_server_{A30}
digitalocean-token dop_v1_{h64}
discord-bot-token MTk4{A21}.{A6}.{A38}
docker-token dckr_pat_{w27}
docker-swarm-key SWMTKN-1-{a50}-{a25}
doppler-personal-token dp.pt.{A43}
doppler-service-token dp.st.prd.{A43}
dropbox-token sl.{A135}
duffel-token duffel_live_{w43}
dynatrace-token dt0c01.{U24}.{U64}
e2b-key e2b_{h40}
easypost-key EZAK{A54}
elastic-key essu_{A90}
elevenlabs-key sk_{h48}
exoscale-key EXO{a26}
facebook-token EAAG{A160}
facebook-app-token {d15}|{A27}
figma-token figd_{w40}
firecrawl-key fc-{h32}
fireworks-key fw_{A24}
flutterwave-key FLWSECK-{a32}-X
flyio-token fm2_{B120}
frameio-token fio-u-{w64}
github-token ghp_{A36}
github-installation-token ghs_{A36}
github-oauth-token gho_{A36}
github-user-token ghu_{A36}
github-refresh-token ghr_{A76}
github-fine-grained-token github_pat_{A22}_{A59}
gitlab-token glpat-{w20}
gitlab-routable-token glpat-{w30}.{a2}.{a9}
gitlab-runner-token glrt-{w20}
gitlab-deploy-token gldt-{w20}
gitlab-trigger-token glptt-{h40}
google-api-key AIza{w35}
google-client-secret GOCSPX-{w28}
google-gemini-key AQ.Ab8RN6{w44}
google-oauth-token ya29.{w120}
google-refresh-token 1//0{w60}
grafana-cloud-token glc_eyJ{A90}
grafana-service-token glsa_{A32}_{h8}
grafana-old-key eyJrIjoi{A80}
groq-key gsk_{A52}
harness-key pat.{w22}.{h24}.{A20}
heroku-key HRKU-AA{w58}
honeycomb-key hcaik_{a58}
hubspot-token pat-na1-{h8}-{h4}-{h4}-{h4}-{h12}
hugging-face-token hf_{A34}
infracost-key ico-{A32}
jina-key jina_{A60}
json-web-token eyJ{A20}.eyJ{A60}.{w43}
klaviyo-key pk_{h34}
langfuse-key sk-lf-{h8}-{h4}-{h4}-{h4}-{h12}
langsmith-key lsv2_pt_{h32}_{h10}
kubernetes-token {a6}.{a16}
launchdarkly-key sdk-{h8}-{h4}-4{h3}-{h4}-{h12}
linear-api-key lin_api_{A40}
llama-cloud-key llx-{A48}
lob-key live_{h35}
logfire-token pylf_v1_eu_{A43}
mailchimp-key {h32}-us12
mailersend-token mlsn.{h64}
mailgun-key key-{h32}
mailgun-signing-key {h32}-{h8}-{h8}
mandrill-key md-{w22}
mapbox-token sk.eyJ{A80}.{A22}
maxmind-key {A6}_{A29}_mmk
mercury-token mercury_production_rma_{A44}_yrucrem
mollie-key live_{A30}
mongodb-key mdb_sa_sk_{A40}
neon-key napi_{a64}
netlify-token nfp_{A36}
new-relic-key NRAK-{U27}
new-relic-license {h32}FFFFNRAL
ngrok-token 2{A26}_{d1}{A20}
notion-token ntn_{d11}{A35}
notion-old-token secret_{A43}
npm-token npm_{A36}
nuget-key oy2{a43}
nvidia-key nvapi-{w64}
octopus-key API-{U26}
okta-token 00{w38}aZ
onesignal-key os_v2_app_{a103}
openai-token sk-proj-{w60}T3BlbkFJ{w60}
openai-old-token sk-{A20}T3BlbkFJ{A20}
openai-service-token sk-svcacct-{w60}T3BlbkFJ{w60}
openrouter-key sk-or-v1-{h64}
deepseek-key sk-{h32}
moonshot-key sk-{A48}
openshift-token sha256~{w43}
paddle-key pdl_live_apikey_{a26}_{A22}_{A3}
paypal-secret EL{w78}
perplexity-key pplx-{A48}
pinecone-key pcsk_{A5}_{A63}
pinterest-token pina_{A60}
plaid-token access-production-{h8}-{h4}-{h4}-{h4}-{h12}
planetscale-token pscale_tkn_{w43}
planetscale-password pscale_pw_{w43}
polar-token polar_oat_{A43}
posthog-key phx_{A43}
postman-key PMAK-{h24}-{h34}
prefect-key pnu_{A36}
pulumi-token pul-{h40}
pypi-token pypi-AgEIcHlwaS5vcmc{w120}
razorpay-key rzp_live_{A14}
readme-key rdme_{a70}
render-key rnd_{A28}
replicate-token r8_{A37}
resend-key re_{A8}_{A24}
rootly-key rootly_{h64}
rubygems-key rubygems_{h48}
runpod-key rpa_{U40}{A6}
salesforce-token 00D{A12}!{A96}
sendgrid-key SG.{w22}.{w43}
sentry-org-token sntrys_eyJ{A120}_{A43}
sentry-user-token sntryu_{h64}
shippo-token shippo_live_{h40}
shopify-token shpat_{h32}
slack-app-token xapp-1-A{U10}-{d13}-{h64}
slack-bot-token xoxb-{d12}-{d13}-{A24}
slack-cookie xoxd-{A120}
slack-user-token xoxp-{d12}-{d12}-{d12}-{h32}
snyk-token snyk_uat.{h8}.{A60}
sonarqube-token squ_{h40}
sourcegraph-token sgp_{h16}_{h40}
square-secret sq0csp-{w43}
square-token EAAAE{w59}
stability-key sk-{A48}
statsig-like-token acme_live_{A32}
stripe-key sk_live_{A24}
stripe-restricted-key rk_live_{A24}
stripe-webhook-secret whsec_{A32}
stytch-secret secret-live-{w36}=
supabase-key sb_secret_{A22}_{A8}
supabase-token sbp_{h40}
tailscale-key tskey-auth-{A12}CNTRL-{A32}
tavily-key tvly-dev-{A32}
telegram-bot-token {d10}:AA{w33}
telnyx-key KEY0{U31}_{A22}
tencent-key AKID{A32}
terraform-token {A14}.atlasv1.{w67}
together-key tgp_v1_{w43}
twilio-key SK{h32}
typeform-token tfp_{A44}_{A14}
vault-token hvs.{A90}
vault-old-token s.{A24}
vercel-token vcp_{A56}
voiceflow-key VF.DM.{h24}.{A16}
voyage-key pa-{w43}
wakatime-key waka_{h8}-{h4}-{h4}-{h4}-{h12}
weights-and-biases-key wandb_v1_{A77}
workato-token wrkaus-eyJ{A20}.{A40}.{w80}
xai-key xai-{A80}
yandex-key AQVN{w36}
zhipu-key {h32}.{A16}
zoho-token 1000.{h32}.{h32}
zuplo-key zpka_{a32}_{h8}
"""


def samples() -> dict[str, str]:
    """Name of the kind -> a secret, the same on every run."""
    lines = [line.split(" ", 1) for line in SAMPLES.strip().splitlines()]
    return {name: made_up(pattern, name) for name, pattern in lines}


def made_up(pattern: str, seed: str) -> str:
    chosen = random.Random(seed)

    def characters(match: re.Match[str]) -> str:
        text = "".join(chosen.choices(ALPHABETS[match[1]], k=int(match[2])))
        if int(match[2]) < 12 or match[1] in "dh":
            return text
        digit = "4" if text[1] != "4" else "7"  # as in every real one
        return text[0] + digit + text[2:5] + "8" + text[6:]

    return re.sub(r"\{(\w)(\d+)\}", characters, pattern)
