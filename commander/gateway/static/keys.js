// The keyboard. A row's link has the focus, so Enter opens it and a screen reader says it.

import { copy, dismiss, nameOf, snoozing, takeBack } from "./actions.js";
import { sessionsOf } from "./data.js";
import { signal } from "./html.js";
import { goBack, open } from "./router.js";

export const isHelpOpen = signal(false);
// {the key after g: [its page, its name]}
export const PAGES = {
  h: ["/", "Home"],
  t: ["/timeline", "Timeline"],
  s: ["/sessions", "Sessions"],
  j: ["/jobs", "Jobs"],
  u: ["/usage", "Usage"],
  c: ["/commander", "Commander"],
};
const SECOND_KEY_MS = 1500;
let goneAt = -SECOND_KEY_MS; // when g was pressed

// What a page shows of one session, for the keys that act on a session: {session_id, project, …}.
export const shownSession = signal(null);

export function useKeys() {
  addEventListener("keydown", (press) => {
    if (press.metaKey || press.ctrlKey || press.altKey) return;
    if (document.querySelector("dialog[open]")) {
      if (press.key === "?" && isHelpOpen.value) isHelpOpen.value = false;
      return;
    }
    if (press.key === "Escape") leave();
    else if (!isTyping() && act(press.key, press.timeStamp)) press.preventDefault();
  });
}

function leave() {
  if (isTyping()) document.activeElement.blur();
  else goBack();
}

function isTyping() {
  const found = document.activeElement;
  return ["INPUT", "SELECT", "TEXTAREA"].includes(found?.tagName) && found.type !== "checkbox";
}

// Whether the key means something here. `at` is when it was pressed: a page that is busy comes to it later.
function act(key, at) {
  const isSecond = at - goneAt < SECOND_KEY_MS;
  goneAt = -SECOND_KEY_MS;
  if (isSecond && PAGES[key]) {
    open(PAGES[key][0]);
    return true;
  }
  const session = chosenSession();
  const actions = {
    g: () => {
      goneAt = at;
    },
    "?": () => {
      isHelpOpen.value = true;
    },
    "/": focusSearch,
    j: () => move(1),
    k: () => move(-1),
    ArrowDown: () => move(1),
    ArrowUp: () => move(-1),
    z: takeBack,
    e: session && (() => dismiss(session)),
    s: session && (() => { snoozing.value = session; }),
  };
  const found = session ?? resumable();
  if (found) actions.c = actions.y = () => copy(found.resume, nameOf(found));
  const hasMeaning = Boolean(actions[key]);
  if (hasMeaning) actions[key]();
  return hasMeaning;
}

function focusSearch() {
  const field = [...document.querySelectorAll("[data-search]")].find((one) => one.offsetParent);
  if (field) {
    field.focus();
    field.select();
  } else open("/search");
}

function move(step) {
  const rows = [...document.querySelectorAll("#main [data-row]")];
  const at = rows.findIndex((row) => row.closest(".row").contains(document.activeElement));
  const next = at < 0 ? (step > 0 ? 0 : rows.length - 1) : at + step;
  rows[Math.min(Math.max(next, 0), rows.length - 1)]?.focus();
}

// The session that waits and that the focus is on, or whose page this is.
function chosenSession() {
  const id = document.activeElement?.closest?.("[data-session]")?.dataset.session;
  const waiting = [...sessionsOf("needs_you"), ...sessionsOf("left_open")];
  return waiting.find((one) => one.session_id === (id ?? shownSession.value?.session_id)) ?? null;
}

// What `y` copies where no waiting session is chosen: the one of the row or page, else the first one
// that needs you.
function resumable() {
  const id = document.activeElement?.closest?.("[data-session]")?.dataset.session;
  const all = ["needs_you", "left_open", "working", "open"].flatMap(sessionsOf);
  const first = sessionsOf("needs_you")[0] ?? null;
  return all.find((one) => one.session_id === id) ?? shownSession.value ?? first;
}
