// What a person does about a session: copies the command that opens it, dismisses or snoozes it. And
// the short message that says what was done.

import { post, refreshSoon, roster } from "./data.js";
import { signal } from "./html.js";
import { words } from "./words.js";

const SHOWN_MS = 8000;
export const message = signal(null); // {text, undo}
export const snoozing = signal(null); // the session for which a time is being chosen
let timer = null;
let last = null; // what `z` takes back

export function say(text, undo = null) {
  clearTimeout(timer);
  message.value = { text, undo };
  timer = setTimeout(() => {
    message.value = null;
  }, SHOWN_MS);
}

export async function copy(text, name = "") {
  if (!text) {
    say(name ? `No command of this machine leads to ${name}.` : "There is nothing to copy.");
    return;
  }
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    if (!copyAsOldPagesDo(text)) {
      say(`The browser does not allow copying. The text is: ${text}`);
      return;
    }
  }
  say(`Copied${name ? ` the command for ${name}` : ""}: ${text}`);
}

// Over plain http from another machine the browser has no clipboard for pages.
function copyAsOldPagesDo(text) {
  const area = document.createElement("textarea");
  const before = document.activeElement;
  area.value = text;
  document.body.append(area);
  area.select();
  const isCopied = document.execCommand("copy");
  area.remove();
  before?.focus();
  return isCopied;
}

// How a session is called in a message.
export function nameOf(session) {
  const { project, machine, state } = session;
  return `${project}${machine ? `@${machine}` : ""}${state ? ` (${words(state)})` : ""}`;
}

export function dismiss(session) {
  return hide(session, "dismiss", {}, `Dismissed ${nameOf(session)} until its next event.`);
}

export function snooze(session, seconds, text) {
  snoozing.value = null;
  return hide(session, "snooze", { seconds }, `Snoozed ${nameOf(session)} ${text}.`);
}

async function hide(session, act, body, text) {
  const before = roster.value;
  const focusNext = nextRow(session.session_id);
  roster.value = without(before, session.session_id);
  focusNext();
  const address = `/sessions/${encodeURIComponent(session.session_id)}`;
  const sent = post(`${address}/${act}`, body);
  // It may be taken back before the gateway has answered.
  const undo = () => sent.then(() => showAgain(session), () => null);
  last = undo;
  let answer;
  try {
    answer = await sent;
  } catch (error) {
    if (last === undo) last = null;
    roster.value = before;
    say(`${nameOf(session)} was not hidden: ${error.message}.`);
    return;
  }
  say(answer.stays_here ? `${text} Other machines do not learn of this.` : text, undo);
  refreshSoon();
}

export async function showAgain(session) {
  try {
    await post(`/sessions/${encodeURIComponent(session.session_id)}/show`);
    say(`${nameOf(session)} is shown again.`);
  } catch (error) {
    say(`It cannot be shown again: ${error.message}.`);
  }
  refreshSoon();
}

export function takeBack() {
  last?.();
  last = null;
}

// Focuses the row after the session's, so that the next key acts on the next one.
function nextRow(sessionId) {
  const rows = [...document.querySelectorAll("#main [data-row]")];
  const at = rows.findIndex((row) => row.closest("[data-session]")?.dataset.session === sessionId);
  const isThere = at >= 0 && rows[at].closest(".row").contains(document.activeElement);
  const key = (rows[at + 1] ?? rows[at - 1])?.closest(".row").dataset.key;
  return () =>
    requestAnimationFrame(() => {
      if (!isThere || !key) return;
      document.querySelector(`[data-key="${CSS.escape(key)}"] [data-row]`)?.focus();
    });
}

function without(found, sessionId) {
  if (!found) return found;
  const counts = { ...found.counts };
  const projects = found.projects.map((project) => ({
    ...project,
    sessions: project.sessions.flatMap((session) => {
      if (session.session_id !== sessionId) return [session];
      counts[session.group] -= 1;
      const isOver = session.group === "left_open";
      return isOver ? [] : [{ ...session, group: "open" }];
    }),
  }));
  return { ...found, counts, projects };
}
