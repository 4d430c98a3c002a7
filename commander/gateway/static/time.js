// Times as a person reads them.

import { html, signal } from "./html.js";

const EVERY_MS = 15000;
export const clock = signal(Date.now());
setInterval(() => {
  clock.value = Date.now();
}, EVERY_MS);

// kind: "ago"; "for", how long; or "clock", the time of day.
export function Time({ at, kind = "ago" }) {
  const text = timeText(at, kind, clock.value);
  return html`<time class="when" datetime=${at} title=${exactly(at)}>${text}</time>`;
}

export function exactly(moment) {
  const date = new Date(moment);
  if (Number.isNaN(date.getTime())) return String(moment ?? "");
  return date.toLocaleString([], { dateStyle: "full", timeStyle: "medium" });
}

export function dayOf(moment) {
  const date = new Date(moment);
  const midnight = new Date(date).setHours(0, 0, 0, 0);
  const days = Math.round((new Date().setHours(0, 0, 0, 0) - midnight) / 86400000);
  if (Number.isNaN(days)) return "Unknown day";
  if (days === 0) return "Today";
  if (days === 1) return "Yesterday";
  const year = date.getFullYear() === new Date().getFullYear() ? undefined : "numeric";
  return date.toLocaleDateString([], { weekday: "long", day: "numeric", month: "long", year });
}

// The same as fleet_lib/clock.py: [unit, from how many seconds on, seconds in one].
const UNITS = [
  ["w", 14 * 86400, 7 * 86400],
  ["d", 86400, 86400],
  ["h", 3600, 3600],
  ["m", 60, 60],
];

export function timeText(moment, kind, now = Date.now()) {
  const seconds = (now - Date.parse(moment)) / 1000;
  if (Number.isNaN(seconds)) return String(moment ?? "").slice(0, 16);
  if (kind === "clock") {
    return new Date(moment).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  }
  const [unit, , size] = UNITS.find(([, least]) => seconds >= least) || [];
  if (!unit) return kind === "for" ? "a moment" : "just now";
  const text = `${Math.floor(seconds / size)}${unit}`;
  return kind === "for" ? text : `${text} ago`;
}

// How long a session is hidden.
export function hiddenText(until) {
  const date = new Date(until);
  if (Number.isNaN(date.getTime()) || date.getFullYear() > 9000) return "until its next event";
  return `until ${date.toLocaleString([], { dateStyle: "medium", timeStyle: "short" })}`;
}

// How long something took: 4s, 1m 34s, 2h 5m.
export function duration(from, to) {
  const seconds = Math.round((Date.parse(to) - Date.parse(from)) / 1000);
  if (!(seconds >= 0)) return "";
  if (seconds < 60) return `${seconds}s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)}m ${seconds % 60}s`;
  return `${Math.floor(seconds / 3600)}h ${Math.floor((seconds % 3600) / 60)}m`;
}
