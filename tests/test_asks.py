"""Whether a message asks its reader, and which sentence asks: tables of messages."""

import json
from pathlib import Path
from typing import Any

import pytest
from support import Fleet, cpu_seconds, is_fast, make_repository, payload

from fleet_lib.turn.asks import question_of

CASES: list[dict[str, Any]] = json.loads(
    (Path(__file__).parent / "cases" / "messages.json").read_text("utf-8")
)
# Nothing but a model can know this; a status from words is not asked for.
NEEDS_A_MODEL = ("prose-model",)


def with_status() -> list[Any]:
    return [
        pytest.param(case["message"], case["expect"]["status"], id=case["name"])
        for case in CASES
        if "status" in case["expect"] and case["kind"] not in NEEDS_A_MODEL
    ]


@pytest.mark.parametrize(("message", "status"), with_status())
def test_a_case_has_the_status_that_a_careful_reader_gives_it(message: str, status: str) -> None:
    question = question_of(message)
    assert (question is None) == (status == "completed")
    if question:
        assert question in " ".join(message.replace("`", "").replace("**", "").split())


# --- what follows a question ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "question"),
    [
        ("I can fix it.\n\nShall I? It is a line.", "Shall I?"),
        ("Want me to drop it?\n\nNothing else reads that table.", "Want me to drop it?"),
        ("Which one do you want?\n\n- red\n- blue\n  - dark blue", "Which one do you want?"),
        ("Should the key be a hash?\n\n```sql\nkey TEXT\n```\n\nIt is text today.", "Should the key be a hash?"),
        ("Shall I pin it?\n\n| a | b |\n|---|---|\n| 1 | 2 |", "Shall I pin it?"),
        ("Shall I pin it?\n---\n", "Shall I pin it?"),
        ("Shall I pin it?\n\n---\n\nSources:\n- [notes](https://example.com/n)", "Shall I pin it?"),
        ("Shall I pin it?\n\nSources: https://example.com/n?", "Shall I pin it?"),
        ("Shall I pin it?\n\n> It was pinned in spring.", "Shall I pin it?"),
        ("Shall I pin it?\n\n— Claude", "Shall I pin it?"),
        ("Shall I pin it? 🙏🏽 👍", "Shall I pin it?"),
        ("Shall I pin it? (yes/no)", "Shall I pin it?"),
        ("Shall I pin it? `[Y/n]`", "Shall I pin it?"),
        ("Shall I pin it?…", "Shall I pin it?…"),
        ("Shall I pin it!?", "Shall I pin it!?"),
        ("**Shall I pin it?**", "Shall I pin it?"),
        ("*Shall I* pin [it](https://example.com)?", "Shall I pin it?"),
        ("It is pinned (shall I keep the old one?)", "It is pinned (shall I keep the old one?)"),
        ("I chose option 1. Want me to build it?", "Want me to build it?"),
        ("We could wait, e.g. Until spring. Shall we?", "Shall we?"),
        ("1. The cache is cold\n2. The queue is full\nWhich should I look at first?", "Which should I look at first?"),
        ("> quoted words\nIs that what you meant?", "Is that what you meant?"),
        ("| a |\n|---|\n| 1 |\nDo you want the rest?", "Do you want the rest?"),
        ("## Shall I merge it?", "Shall I merge it?"),
        ("## Open questions for you\n\n1. Is the limit per team?\n2. Who owns the queue?", "Who owns the queue?"),
        ("Do you want both?\n\n## Details\n\n- The first is small.", "Do you want both?"),
        ("Anything else to add, or shall I publish it?", "Anything else to add, or shall I publish it?"),
        ("Shall I publish it, or is there anything else?", "Shall I publish it, or is there anything else?"),
        ("Would you like me to:\n\n1. Rename the flag\n2. Drop it", "Would you like me to: Rename the flag; Drop it"),
        ("Should I:\n- keep it\n- drop it\n- something else?", "Should I: keep it; drop it; something else?"),
        ("Should the limit be:\n\nA) per user\n\nB) per team\n\nC) Something else?", "Should the limit be: A) per user; B) per team; C) Something else?"),
        ("Should the limit be:\nA) per user\nB) per team", "Should the limit be: A) per user; B) per team"),
        ("Can you run this:\n\n```sh\nmake up\n```", "Can you run this"),
        ("What's next?", "What's next?"),
        ("How should the limit be counted?\n\n**A)** Per user, as today.\n\n**B)** Per team. It takes a table.\n\n**C)** Not at all.", "How should the limit be counted?"),
        ("How large is a team? I saw three sizes.\n\n**A) Small** — up to ten. We merge it at night (or on your command).\n\n**B) Large** — all others.", "How large is a team?"),
        ("Which kind of limit helps you most? I can show an example of each.", "Which kind of limit helps you most?"),
        ("需要我接着做吗？比如先写测试？", "需要我接着做吗？比如先写测试？"),
        ("Shall I start it again? Or is the test over?", "Shall I start it again? Or is the test over?"),
        ("¿Lo publico ahora? ¿O prefieres esperar?", "¿Lo publico ahora? ¿O prefieres esperar?"),
        ("What do you think? Should we:\n- keep it\n- drop it", "Should we: keep it; drop it"),
        ("Is the limit per user? And should it be stored?", "Is the limit per user? And should it be stored?"),
        ("- It still says \"one limit per user.\" Want me to drop that?\n- The rest is fine.", 'It still says "one limit per user." Want me to drop that?'),
        ("Is the limit stored here or in the cache? I write nothing until you call it.", "Is the limit stored here or in the cache?"),
        ("Shall I look at the server? (I'd need your key for that.)", "Shall I look at the server?"),
        ("Do you want me to:\n1. Rename the flag?\n2. Or should we drop it?", "Do you want me to: Rename the flag?; Or should we drop it?"),
    ],
)  # fmt: skip
def test_the_sentence_that_asks_is_found_whatever_follows_it(message: str, question: str) -> None:
    assert question_of(message) == question


@pytest.mark.parametrize(
    "message",
    [
        "Why does it fail? The cache is cold.",
        "Why does it fail?\n\nThe cache is cold.",
        "## Why does it fail?\n\nThe cache is cold.",
        "**What changed?**\n\n- the key is a hash",
        "What is new?\n- the key is a hash\n- the table is gone",
        "## FAQ\n\n### Do I need to restart?\n\nNo, it is read again.\n\n### Can I undo it?\n\nYes, with `undo`.",
        "> Shall I go on?\n\nThat was the question of the ticket, and it is answered.",
        "The dialog now says “Do you want to save?” before it closes.",
        'The dialog now says "Do you want to save?"',
        "「続けますか？」という表示を直しました。",
        "It matches `colou?r` and `*.p?`.",
        "```\nShall I go on?\n```",
        "    Shall I go on?",
        "```\nShall I go on?",
        "It is at https://example.com/a?b=c and <https://example.com/?>",
        "See [the page](https://example.com/?).",
        "Shall I use the table?\n\nI used the table.\n\nIt is small.\n\nThe tests pass.",
        "I asked whether you want it, and the ticket says yes.",
        "The limit is per user.\n\n- unit: pass\n- e2e: pass",
        "```briefing\nstatus: blocked\nsummary: Which one?\n```",
        "",
        "?",
    ],
)  # fmt: skip
def test_a_question_that_is_not_put_to_the_reader_asks_nothing(message: str) -> None:
    assert question_of(message) is None


# --- courtesy and offers ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "message",
    [
        "It is done. Anything else?",
        "Is there anything else you would like me to change?",
        "Any other questions?",
        "Does this help?",
        "Let me know if you have any questions.",
        "Let me know if you'd like changes.",
        "Let me know if you run into problems!",
        "Let me know if anything looks off.",
        "Feel free to reach out, and tell me if it breaks.",
        "If you want, I can also add a test.",
        "If you'd rather keep the old name, say the word and I'll put it back.",
        "Happy to split it up further.",
        "Hope this helps!",
        "You can restart it whenever you like.",
        "Please note that the old flag is gone.",
        "Please restart the shell for the changes to take effect.",
        "The server replies with 404 once you have deleted the page.",
        "The endpoint waits for confirmation of the queue before it answers.",
        "The form asks the user to pick one and then confirm.",
        "Two agents are still running. I will report back.",
        "Waiting for the last two checks.",
        "The branch is ready to merge.",
        "Nothing here needs your input.",
        "I kept both, as you asked.",
        "And for your own books? The command line is enough.",
        "I'll watch it and share the results.",
        "The pipeline can't start until the queue is up.",
        "Waiting for your next instruction.",
        "I'll wait for the two agents before I look into limit.go again.",
        "1. Run the script\n2. Confirm the release\n3. Send the mail",
        "- Review the table\n- Choose a name for the flag",
    ],
)
def test_courtesy_offers_and_advice_ask_nothing(message: str) -> None:
    assert question_of(f"The guide is written.\n\n{message}") is None


# --- requests without a mark ------------------------------------------------------------------


@pytest.mark.parametrize(
    "message",
    [
        "Once you have saved it, let me know.",
        "When the server is up, let me know and I'll go on.",
        "Let me know which of the two you prefer.",
        "Let me know how you'd like to proceed.",
        "Let me know if you'd like me to proceed.",
        "Please read it and let me know if you want anything else in it before we start building.",
        "Say which of the two and I'll merge it.",
        "Let me know if this matches what you had in mind.",
        "Tell me which one.",
        "Say the word and I'll merge it.",
        "Say `go` and I'll merge it.",
        "Give me the go-ahead and I'll start.",
        "Waiting for your approval.",
        "Awaiting your decision on the key.",
        "Holding for your review before I touch the table.",
        "I'll wait for your answer before I change it.",
        "This needs your decision: keep the table or drop it.",
        "I need your API key to go on.",
        "I need you to log in first.",
        "I can't continue without access to the queue.",
        "Reply with 1 or 2.",
        "Answer with a number.",
        "Pick one and I'll write it.",
        "Choose an option: red or blue.",
        "Please confirm that the table may go.",
        "Please run `make up` and paste the output.",
        "Please disable the hook and I'll go on.",
        "Could you start the database",
        "Please start the database and run it again.",
        "Run the script and tell me what it prints.",
        "Once you approve, I'll apply it.",
        "I'll apply it as soon as you confirm.",
        "Ready to start when you are.",
        "Ready to build and publish it when you are.",
        "Holding on the new table until you say which limit counts.",
        "Your call.",
        "I kept the table for now, but it's up to you.",
        "With your permission, I'll drop it.",
        "**Select:** [R] Review the plan [C] Continue",
        "- **[R]** Review the plan\n- **[C]** Continue",
        "1. Run the script\n2. Send me its output",
    ],
)
def test_a_request_asks_without_a_question_mark(message: str) -> None:
    assert question_of(f"The plan is written.\n\n{message}") is not None


# --- languages --------------------------------------------------------------------------------

ASKS = """
Ya está listo el parser. ¿Quieres que suba los cambios?
Dime cuál de las dos opciones prefieres.
Cuando lo hayas guardado, avísame y sigo.
Cuando tengas la clave nueva, avisame y lo publicamos.
Una vez que inicies sesión, volvé a pedirme la copia.
Por favor, confirma si puedo borrar la tabla.
Ich habe beide Wege geprüft. Soll ich den ersten nehmen?
Bitte bestätige, dass ich die Datei löschen darf.
Sag mir Bescheid, sobald der Server läuft.
Ich warte auf deine Freigabe.
J'ai préparé le plan. Veux-tu que je commence ?
Dites-moi quelle option vous préférez.
J'attends ton feu vert avant de toucher au code.
O plano está pronto. Posso continuar?
Aguardo sua confirmação para aplicar a migração.
Il piano è pronto. Procedo?
Fammi sapere quando hai salvato il file.
Lancia lo script e dimmi cosa vedi.
Serve una tabella separata per gli utenti?
Het plan is klaar. Zal ik beginnen?
Laat me weten welke optie je kiest.
План готов. Продолжать?
Дайте знать, когда сервер будет запущен.
Жду вашего подтверждения.
План готовий. Чи продовжувати?
Daj znać, gdy zapiszesz plik.
Plán je hotový. Mám pokračovat?
Onayınızı bekliyorum.
Planen är klar. Ska jag fortsätta?
Säg till när du har sparat.
Το σχέδιο είναι έτοιμο. Να συνεχίσω;
Πες μου ποια επιλογή προτιμάς.
أخبرني بالخيار الذي تفضله.
התוכנית מוכנה. להמשיך?
برنامه آماده است. ادامه بدهم؟
कृपया पुष्टि करें कि मैं आगे बढ़ सकता हूँ।
方案已经准备好了。要不要现在提交
你希望用哪一种方案呢
保存之后请告诉我。
等你确认后我再改数据库。
点完之后截图给我。
把端口号发给我，我接着写。
跑完告诉我一声。
需要您提供测试账号。
方案有兩個，您想用哪一個？
計画ができました。進めてもよろしいですか。
どちらの方法にしますか
保存したら教えてください。
承認をお待ちしています。
계획이 준비되었습니다. 진행할까요?
어떤 방법을 원하시나요
저장하신 후 알려주세요.
แผนพร้อมแล้ว ให้ทำต่อไหม
Vui lòng xác nhận trước khi tôi xóa bảng.
Mohon konfirmasi sebelum saya menghapus tabel.
""".strip().splitlines()

ASKS_NOTHING = """
El parser está listo. ¿Algo más?
Avísame si necesitas algo más.
Si quieres, puedo añadir una prueba.
Ya confirmé que la prueba pasa.
Der Parser ist fertig. Sonst noch etwas?
Sag Bescheid, wenn du noch etwas brauchst.
Ich habe die Änderung bestätigt und alles läuft.
N'hésite pas si tu as d'autres questions.
Pronto. Mais alguma coisa?
Tutto pronto. Serve altro?
Готово. Что-нибудь ещё?
Если нужно что-то ещё, дайте знать.
Подтвердил: тесты проходят.
已经完成。还有什么需要我帮忙的吗？
如果有问题，请随时告诉我。
请注意，旧接口仍然可用。
下次想改哪里，截图告诉我就行。
接口返回给我们的是空数组。
完了しました。他に何かありますか？
ご不明な点がありましたらお知らせください。
続けるかどうか。それは別の話です。
완료했습니다. 더 필요한 것이 있으신가요?
Έτοιμο. Κάτι άλλο;
تم. هل هناك شيء آخر؟
Gotowe. Coś jeszcze?
x = 1; y = 2;
""".strip().splitlines()


@pytest.mark.parametrize("message", ASKS)
def test_a_question_or_request_of_another_language_asks(message: str) -> None:
    assert question_of(message) is not None


@pytest.mark.parametrize("message", ASKS_NOTHING)
def test_courtesy_and_statements_of_another_language_ask_nothing(message: str) -> None:
    assert question_of(message) is None


# --- when it is known that it asks, and size --------------------------------------------------


def test_a_far_question_is_found_once_it_is_known_that_the_message_asks() -> None:
    message = "Is it urgent?\n\n" + "It is long.\n\n" * 9
    assert question_of(message) is None
    assert question_of(message, surely=True) == "Is it urgent?"


def test_a_question_at_the_end_of_a_huge_message_is_found_outside_its_code() -> None:
    code = "```\n" + "Shall I go on?\n" * 100_000
    assert question_of(f"{code}```\n\nShall I stop?") == "Shall I stop?"
    assert question_of(code) is None


SLOW = ["`", "`a``b```c", "[", "[a](", "*x", '"a ', "<a ", "_a ", ">", "- ", "|a|\n|-|\n", "\n"]
SLOW += [
    "http://",
    "...",
    "```\n",
    "let me know ",
    "say the word ",
    "if you ",
    "please ",
    "? ",
    "、",
]


@pytest.mark.parametrize("part", SLOW)
def test_no_message_is_slow(part: str) -> None:
    text = part * (1_000_000 // len(part))
    assert is_fast(lambda: cpu_seconds(lambda: question_of(text)) < 2)


# --- what is stored ---------------------------------------------------------------------------


def test_the_question_is_the_summary_of_a_turn_that_asks(fleet: Fleet) -> None:
    project = make_repository(fleet.folder / "api")
    message = "The plan is written.\n\nWant me to start? It takes an hour."
    call = payload("Stop") | {"session_id": "s", "last_assistant_message": message}
    fleet.hook("stop", call, project)
    fleet.drain()
    assert fleet.rows("SELECT status, summary, question FROM briefings JOIN turns USING (briefing_id)") == [
        ("waiting_for_input", "Want me to start?", "Want me to start?")
    ]  # fmt: skip


def test_what_a_briefing_says_of_itself_wins(fleet: Fleet) -> None:
    project = make_repository(fleet.folder / "api")
    block = "```briefing\nstatus: completed\nsummary: The plan is written.\n```"
    call = payload("Stop") | {"last_assistant_message": f"{block}\n\nShall I start?"}
    fleet.hook("stop", call, project)
    fleet.drain()
    assert fleet.rows("SELECT status, summary, question FROM briefings JOIN turns USING (briefing_id)") == [
        ("completed", "The plan is written.", None)
    ]  # fmt: skip
