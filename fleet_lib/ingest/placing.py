"""Follow-ups find their turn. One whose line the transcript did not have yet was stored as a turn
of its own; once the line is seen the two become one: one briefing, its events under the same id."""

from __future__ import annotations

from collections.abc import Iterable

from fleet_lib.ingest import provisional
from fleet_lib.ingest.compose import meaning_of, with_more_files
from fleet_lib.ingest.news import News
from fleet_lib.records import replace
from fleet_lib.store.background import ProvisionalTurn
from fleet_lib.store.briefings import Turn
from fleet_lib.store.repos import Repos
from fleet_lib.turn.follow_ups import Place
from fleet_lib.turn.prepared import EarlierTurn, Prepared
from fleet_lib.turn.stored_text import stored_paths
from fleet_lib.turn.title import title_or

TYPE_CHECKING = False  # typing is slow to import
if TYPE_CHECKING:
    from typing import Any


def place(repos: Repos, prepared: Prepared) -> Prepared:
    """The entry of a Stop, StopFailure or SessionEnd with the turn that it belongs to; turns that
    the transcript shows to be follow-ups are merged. Raises turn.prepared.NotRead."""
    session_id, prompt = prepared.session_id, prepared.payload.prompt_id
    _place_others(repos, prepared)
    if not prompt or prepared.entry.event == "SessionEnd":
        return prepared
    turn_key = repos.background.turn_of(session_id, prepared.turn_key)
    if turn_key == prompt:
        return replace(prepared, turn_prompt=turn_key)
    seen = EarlierTurn(
        Place(turn_key), prepared.touched_files, prepared.turn_started_at, prepared.title
    )
    _join(repos, session_id, prompt, seen, prepared.received_at)
    return replace(prepared, turn_prompt=turn_key, is_placed=True)


def _place_others(repos: Repos, prepared: Prepared) -> None:
    """The session's turns whose prompts no transcript showed. A Stop whose own prompt is there
    shows all earlier ones that will ever be there."""
    is_end = prepared.entry.event == "SessionEnd"
    if not prepared.payload.transcript_path or not (is_end or prepared.turn.opening):
        return
    session_id = prepared.session_id
    for turn_key, stopped_at in repos.background.unplaced(session_id):
        if turn_key == prepared.payload.prompt_id or stopped_at >= prepared.received_at:
            continue
        found = prepared.earlier_turn(turn_key)
        root = repos.background.turn_of(session_id, found.place.turn)
        if root != turn_key:
            found = replace(found, place=Place(root))
            _join(repos, session_id, turn_key, found, prepared.received_at)
        elif found.place.is_seen or not is_end:
            repos.background.set_placed(session_id, turn_key)
            if turn := repos.briefings.get_turn(session_id, turn_key):
                title = title_or(found.title, turn.title)
                if title != turn.title:
                    repos.briefings.set_title(session_id, turn_key, title)
                add_files(repos, turn, found.files, found.started_at, prepared.received_at)


def _join(repos: Repos, session_id: str, prompt: str, seen: EarlierTurn, at: str) -> None:
    """From now on the prompt is a follow-up of the turn where it was seen to belong; what was
    stored as its own moves there."""
    turn_key = seen.place.turn
    repos.background.add_follow_up(session_id, prompt, turn_key)
    own = repos.briefings.get_turn(session_id, prompt)
    into = repos.briefings.get_turn(session_id, turn_key)
    if own and into:
        _merge(repos, into, own, seen, at)
    elif own:
        repos.background.rename_turn(session_id, prompt, turn_key)
        renamed = replace(
            own, turn_key=turn_key, is_placed=True, title=title_or(seen.title, own.title)
        )
        repos.briefings.save_turn(renamed)
        add_files(repos, renamed, seen.files, seen.started_at, at)


def add_files(
    repos: Repos, turn: Turn, files: Iterable[str], started_at: str | None, at: str
) -> None:
    """Add files, and an earlier start, to a turn whose last words stand."""
    record = repos.briefings.get(turn.briefing_id)
    assert record is not None  # a turn goes with its briefing
    held = repos.background.release(turn.session_id, turn.turn_key)
    news = News.from_json(held.news) if held else None
    record, derived = provisional.real_level(record, repos.derivations.get(turn.briefing_id), news)
    more, derived = with_more_files(record, derived, stored_paths(files))
    more["started_at"] = _earliest(record.started_at, started_at)
    fields = provisional.fields_of(record) | more
    _store(repos, turn, fields, derived, [news] if news else [], held)
    if not held:
        provisional.announce_stored(repos, turn, None, at)


def _merge(repos: Repos, into: Turn, own: Turn, seen: EarlierTurn, at: str) -> None:
    """Two turns become one, under the first one's key and briefing, with the later one's words."""
    later, earlier = (own, into) if own.stopped_at >= into.stopped_at else (into, own)
    held = repos.background.release(later.session_id, later.turn_key)
    held_earlier = repos.background.release(earlier.session_id, earlier.turn_key)
    found = [News.from_json(each.news) for each in (held_earlier, held) if each]
    fields, derived, announced = _merged(repos, later, earlier, seen, found[-1] if held else None)
    if fields["task_id"] == own.turn_key:
        fields["task_id"] = into.turn_key
    repos.background.delete_merged(
        own.session_id, own.turn_key, own.briefing_id, into.turn_key, into.briefing_id
    )
    turn = replace(
        later,
        turn_key=into.turn_key,
        briefing_id=into.briefing_id,
        is_placed=True,
        title=into.title or own.title,
        revision=max(later.revision, earlier.revision),
        meaning=later.meaning or earlier.meaning,
    )
    if later.revision and earlier.revision and fields["broadcast_level"] in announced:
        # Both were announced, and the files of both, so nothing of it is news.
        turn = replace(turn, meaning=meaning_of(turn.summary, fields, turn.question))
    repos.briefings.save_turn(turn)
    news = _store(repos, turn, fields, derived, found, held)
    if not held:
        provisional.announce_stored(repos, turn, news, at)


def _merged(
    repos: Repos, later: Turn, earlier: Turn, seen: EarlierTurn, news: News | None
) -> tuple[dict[str, Any], dict[str, Any], tuple[str | None, ...]]:
    """(the fields of the one briefing, which of them were derived, the levels of the two)."""
    record, other = repos.briefings.get(later.briefing_id), repos.briefings.get(earlier.briefing_id)
    assert record is not None and other is not None
    record, derived = provisional.real_level(record, repos.derivations.get(later.briefing_id), news)
    files = (*other.files_touched, *stored_paths(seen.files))
    more, derived = with_more_files(record, derived, files)
    more["started_at"] = _earliest(record.started_at, other.started_at, seen.started_at)
    more["base_commit"] = other.base_commit or record.base_commit
    levels = (record.broadcast_level, other.broadcast_level)
    return provisional.fields_of(record) | more, derived, levels


def _store(
    repos: Repos,
    turn: Turn,
    fields: dict[str, Any],
    derived: dict[str, Any],
    found: list[News],
    held: ProvisionalTurn | None,
) -> News:
    """Write a turn's briefing, silently while it is provisional; the news that are not announced."""
    news = News(
        fields["broadcast_level"],
        bool(fields["files_touched"] or fields["docs_touched"]),
        tuple(dict.fromkeys(skill for each in found for skill in each.skills)),
        found[-1].drift if found else (),
    )
    if held:
        fields, derived = provisional.silenced(fields, derived)
        repos.background.hold(replace(held, turn_key=turn.turn_key, news=news.to_json()))
    repos.briefings.update(turn.briefing_id, **fields)
    changed_something = news.changed_something and fields["status"] != "failed" and not held
    repos.derivations.save(turn.briefing_id, derived, changed_something=changed_something)
    return news


def _earliest(*moments: str | None) -> str | None:
    return min((moment for moment in moments if moment), default=None)
