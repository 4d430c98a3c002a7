// The newest events by day, filtered by type, project and broadcast level.

import { eventRow } from "../events.js";
import { changeAddress, draw, here } from "../navigation.js";
import { card, dayOf, h } from "../page.js";
import { nameOf, state } from "../state.js";
import { usedBy } from "../usage.js";
import { BROADCAST_LEVELS, EVENT_TYPES, words } from "../words.js";

const EVENTS_SHOWN = 200;
const FILTERS = ["project", "type", "level"];

export const timeline = {
  title: "Timeline",

  async draw() {
    const { parameters } = here();
    const project = parameters.get("project");
    const used = project ? await usedBy(project) : "";
    const chosen = state.events.filter((event) => matches(event, parameters));
    const rows = [];
    let day = "";
    for (const event of chosen.slice(-EVENTS_SHOWN).reverse()) {
      if (dayOf(event.ts) !== day) {
        day = dayOf(event.ts);
        rows.push(h("h2", { class: "day" }, day));
      }
      rows.push(eventRow(event, state.isLive && event.event_id > state.drawn));
    }
    state.drawn = state.cursor ?? 0;
    const note = `Showing the newest ${EVENTS_SHOWN} of ${chosen.length} events.`;
    return [
      h("h1", {}, "Timeline"),
      filters(parameters),
      used ? h("p", { class: "note", id: "used" }, used) : null,
      card(rows, emptyText(parameters), { id: "events" }),
      chosen.length > EVENTS_SHOWN ? h("p", { class: "note" }, note) : null,
    ];
  },

  live: () => draw(),
};

// `except` names a filter that does not count.
function matches({ event }, parameters, except) {
  const values = {
    project: event.project_id,
    type: event.type,
    level: event.broadcast_level || "mention",
  };
  return FILTERS.every((name) => {
    const wanted = parameters.get(name);
    return name === except || !wanted || wanted === values[name];
  });
}

function emptyText(parameters) {
  if (!state.isLive) return "Loading…";
  if (!FILTERS.some((name) => parameters.get(name))) {
    return "No events yet. Everything that your sessions do appears here.";
  }
  const showAll = () => changeAddress({ project: "", type: "", level: "" });
  return [
    `None of the newest ${state.events.length} events matches. `,
    h("button", { type: "button", onclick: showAll }, "Show all"),
  ];
}

function filters(parameters) {
  const projects = new Set(state.names.keys());
  for (const { event } of state.events) if (event.project_id) projects.add(event.project_id);
  return h(
    "div",
    { class: "filters" },
    typeChips(parameters),
    choice("project", "project", [...projects], nameOf, parameters),
    choice("level", "broadcast level", BROADCAST_LEVELS, words, parameters),
  );
}

function choice(name, label, values, textOf, parameters) {
  const options = values.map((value) =>
    h("option", { value, selected: parameters.get(name) === value }, textOf(value)),
  );
  const onchange = (change) => changeAddress({ [name]: change.target.value });
  const select = h(
    "select",
    { name, id: `filter-${name}`, onchange },
    h("option", { value: "" }, "all"),
    options,
  );
  return h("label", {}, label, select);
}

function typeChips(parameters) {
  const counts = new Map();
  let total = 0;
  for (const event of state.events) {
    if (!matches(event, parameters, "type")) continue;
    total += 1;
    counts.set(event.event.type, (counts.get(event.event.type) || 0) + 1);
  }
  const chosen = parameters.get("type") || "";
  const chip = (value, text, count) =>
    h(
      "button",
      {
        class: "chip",
        type: "button",
        id: `type-${value || "all"}`,
        value,
        "aria-pressed": String(value === chosen),
        onclick: () => changeAddress({ type: value }),
      },
      `${text} `,
      h("span", { class: "count" }, String(count)),
    );
  const types = [...new Set([...Object.keys(EVENT_TYPES), ...counts.keys()])];
  const shown = types.filter((type) => counts.get(type) || type === chosen);
  return h(
    "div",
    { class: "chips", id: "filter-type", role: "group", "aria-label": "Type" },
    chip("", "everything", total),
    shown.map((type) => chip(type, EVENT_TYPES[type] || words(type), counts.get(type) || 0)),
  );
}
