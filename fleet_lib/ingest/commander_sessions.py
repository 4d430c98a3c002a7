"""The Commander's own entries. They write no briefing and no event, or the Commander would read its own
echo; they move cursors, and only a Stop does: it is the evidence that what a hook printed arrived."""

from fleet_lib.store.conversations import ConversationRepo
from fleet_lib.turn.prepare import Prepared


def apply(conversations: ConversationRepo, home: str, prepared: Prepared) -> str:
    """Apply one entry of a Commander session and say in a few words what it became."""
    entry, session_id = prepared.entry, prepared.session_id
    conversation = conversations.get_or_create_commander(home)
    seed = entry.shown[0] if entry.shown else None
    conversations.join(conversation, session_id, seed)
    prompt_id = prepared.payload.prompt_id or ""
    if entry.event == "SessionStart" and entry.shown:
        conversations.shown_at_start(session_id, entry.shown[1])
        return f"shown to the Commander through event {entry.shown[1]}"
    if entry.event == "UserPromptSubmit" and entry.shown:
        conversations.shown_at_prompt(session_id, prompt_id, entry.shown[1])
        return f"shown to the Commander through event {entry.shown[1]}"
    if entry.event == "Stop":
        conversations.commit_shown(conversation, session_id, prompt_id)
        return "the Commander's turn: its cursor moves past what it was shown"
    return "nothing to record for the Commander"
