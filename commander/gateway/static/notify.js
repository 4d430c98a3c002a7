// Being called when a session begins to need you: the page's title, the badge of the installed page,
// the icon, and, once it was asked for by a click, the browser's notifications.

import { roster, sessionsOf } from "./data.js";
import { effect, html, signal } from "./html.js";
import { isLoggedIn } from "./login.js";
import { link, open } from "./router.js";
import { plural, words } from "./words.js";

const canNotify = "Notification" in window && window.isSecureContext;
const permission = signal(canNotify ? Notification.permission : "denied");
export const title = signal(""); // of the view

let known = null; // the sessions that need you, as they were

// Asks once, by a click: the browser remembers the answer.
export function Notifications() {
  if (!canNotify || permission.value !== "default") return null;
  return html`
    <button type="button" class="quiet notify" onClick=${allowNotifications}>
      Notify me when a session needs me
    </button>
  `;
}

async function allowNotifications() {
  permission.value = await Notification.requestPermission();
}

export function needingText(count) {
  return `${plural(count, "session")} ${count === 1 ? "needs" : "need"} you`;
}

export function useNotifications() {
  effect(() => {
    const needing = isLoggedIn.value ? sessionsOf("needs_you") : [];
    const isSaid = title.value === needingText(needing.length);
    const count = needing.length && !isSaid ? `(${needing.length}) ` : "";
    document.title = title.value ? `${count}${title.value} – Fleet` : "Fleet";
    const icon = document.querySelector("link[rel=icon]");
    const file = `/static/icon${needing.length ? "-needs" : ""}.svg`;
    if (icon.getAttribute("href") !== file) icon.setAttribute("href", file);
    showBadge(needing.length);
    if (roster.value) callFor(needing);
  });
}

function showBadge(count) {
  const done = count ? navigator.setAppBadge?.(count) : navigator.clearAppBadge?.();
  done?.catch(() => null); // the page is not installed
}

function callFor(needing) {
  const now = new Map(needing.map((session) => [`${session.session_id} ${session.since}`, session]));
  // What needed you before the page was opened is on it already.
  const fresh = known ? [...now].filter(([key]) => !known.has(key)) : [];
  known = new Set(now.keys());
  if (permission.value !== "granted") return;
  for (const [key, session] of fresh) show(key, session);
}

function show(key, session) {
  try {
    const { project, machine, state, text } = session;
    // The tag makes one of the notifications of several tabs.
    const shown = new Notification(`${project}${machine ? `@${machine}` : ""} ${words(state)}`, { body: text, tag: key });
    shown.onclick = () => {
      window.focus();
      open(link("session", session.session_id));
    };
  } catch {
    permission.value = "denied"; // Android shows none that a page makes without a worker
  }
}
