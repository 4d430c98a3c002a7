"""The Commander's own entries. They write no briefing and no event, or the Commander would read its
own echo; they move cursors, and only a Stop does: it is the evidence that what a hook printed
arrived."""

from fleet_lib.store.conversations import ConversationRepo
from fleet_lib.turn.prepared import Prepared


def apply(conversations: ConversationRepo, home: str, prepared: Prepared) -> str:
    """Apply one entry of a Commander session and say in a few words what it became."""
    entry, session_id = prepared.entry, prepared.session_id
    conversation = conversations.get_or_create_commander(home)
    seed = entry.shown[0] if entry.shown else None
    conversations.join(conversation, session_id, seed, entry.client)
    prompt_id = prepared.payload.prompt_id or ""
    if entry.event == "SessionStart" and prepared.payload.source == "resume":
        conversations.take_up(session_id)
    if entry.event == "SessionStart" and entry.shown:
        conversations.shown_at_start(session_id, entry.shown[1], entry.client)
        return f"shown to the Commander through event {entry.shown[1]}"
    if entry.event == "UserPromptSubmit" and entry.shown:
        conversations.shown_at_prompt(session_id, prompt_id, entry.shown[1])
        return f"shown to the Commander through event {entry.shown[1]}"
    if entry.event == "StopFailure":
        conversations.continue_branch(session_id, entry.client)
        return "the Commander's turn failed: what it was shown is not confirmed"
    if entry.event == "Stop":
        conversations.commit_shown(conversation, session_id, prompt_id, entry.client)
        return "the Commander's turn: its cursor moves past what it was shown"
    return "nothing to record for the Commander"
