// Building blocks of a page: elements, rows, cards, times. What a session wrote becomes text, never
// markup.

import { toneOf, words } from "./words.js";

export function h(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (isNothing(value)) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(3).filter((child) => !isNothing(child)));
  return element;
}

function isNothing(value) {
  return value === null || value === undefined || value === false;
}

export function link(href, text) {
  return h("a", { href, "data-link": true }, text);
}

export function tag(value, tone = toneOf(value)) {
  return h("span", { class: `tag ${tone}` }, words(value));
}

export function row(href, name, label, text, time, attributes = {}) {
  return h(
    "a",
    { class: "row", href, "data-link": true, "data-key": href, ...attributes },
    h("span", { class: "name", title: name }, name),
    label,
    h("span", { class: "text" }, text || ""),
    time,
  );
}

export function card(rows, empty, attributes = {}) {
  const content = rows.length ? rows : h("p", { class: "empty" }, empty);
  return h("div", { class: "card", ...attributes }, content);
}

export function section(title, items, toRow, id) {
  return items.length ? [h("h2", {}, title), card(items.map(toRow), "", { id })] : null;
}

export function list(items) {
  return items.length ? h("ul", {}, items.map((item) => h("li", {}, item))) : null;
}

// facts: [name, value] pairs; one without a value is left out.
export function definitions(facts) {
  const known = facts.filter(([, value]) => value);
  return h("dl", {}, known.map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
}

export function timelineOf(project) {
  return `/timeline?project=${encodeURIComponent(project || "")}`;
}

// --- times ---

export function dayOf(moment) {
  const date = new Date(moment);
  const midnight = new Date(date).setHours(0, 0, 0, 0);
  const days = Math.round((new Date().setHours(0, 0, 0, 0) - midnight) / 86400000);
  if (Number.isNaN(days)) return "Unknown day";
  if (days === 0) return "Today";
  if (days === 1) return "Yesterday";
  return date.toLocaleDateString([], { weekday: "long", day: "numeric", month: "long" });
}

export function timeText(moment, kind) {
  const seconds = (Date.now() - Date.parse(moment)) / 1000;
  if (Number.isNaN(seconds)) return String(moment ?? "");
  if (kind === "clock" && dayOf(moment) !== "Today") {
    return new Date(moment).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  }
  // The same as fleet_lib/clock.py: [unit, from how many seconds on, seconds in one].
  const units = [
    ["w", 14 * 86400, 7 * 86400],
    ["d", 86400, 86400],
    ["h", 3600, 3600],
    ["m", 60, 60],
  ];
  const [unit, , size] = units.find(([, least]) => seconds >= least) || [];
  if (!unit) return kind === "for" ? "for a moment" : "just now";
  const text = `${Math.floor(seconds / size)}${unit}`;
  return kind === "for" ? `for ${text}` : `${text} ago`;
}

// kind: "ago"; "for", how long; or "clock", which is the time of day if that was not today.
export function when(moment, kind = "ago") {
  const date = new Date(moment);
  const exact = Number.isNaN(date.getTime())
    ? moment
    : date.toLocaleString([], { dateStyle: "full", timeStyle: "medium" });
  const attributes = { class: "when", datetime: moment, title: exact, "data-kind": kind };
  return h("time", attributes, timeText(moment, kind));
}
