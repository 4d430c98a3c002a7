// Briefings that hold every word of the search, best match first; without words, the latest.

import { here } from "../navigation.js";
import { card, h, row, tag, when } from "../page.js";
import { get, nameOf } from "../state.js";

const query = document.getElementById("query");

export const search = {
  title: "Search",

  async draw() {
    const { parameters } = here();
    const text = parameters.get("q") || "";
    const words = text.trim();
    if (document.activeElement !== query) query.value = text;
    const found = words
      ? await get("/briefings/search", { q: text, project_id: parameters.get("project") })
      : await get("/briefings");
    const rows = found.map((briefing) => foundRow(briefing, words));
    const empty = words ? "No briefing has all of these words." : "There are no briefings yet.";
    return [
      h("h1", {}, words ? `Briefings with “${words}”` : "Latest briefings"),
      card(rows, empty, { id: "found" }),
    ];
  },
};

function foundRow(briefing, words) {
  const text = holds(briefing.summary, words)
    ? briefing.summary
    : briefing.excerpt || briefing.summary;
  return row(
    `/briefing/${briefing.briefing_id}`,
    nameOf(briefing.project_id),
    tag(briefing.status),
    highlighted(String(text), words),
    when(briefing.ended_at || briefing.created_at),
  );
}

function holds(text, words) {
  const lower = String(text).toLowerCase();
  return parts(words).every((word) => lower.includes(word.toLowerCase()));
}

function highlighted(text, words) {
  const escaped = parts(words).map(escapedForRegExp);
  const pieces = escaped.length ? text.split(new RegExp(`(${escaped.join("|")})`, "gi")) : [text];
  return h("span", {}, pieces.map((piece, at) => (at % 2 ? h("mark", {}, piece) : piece)));
}

// What stands between quotation marks is one part.
function parts(words) {
  return [...words.matchAll(/"([^"]*)"|([^\s"]+)/g)].map((found) => found[1] || found[2] || "")
    .filter(Boolean);
}

function escapedForRegExp(word) {
  return word.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
}
