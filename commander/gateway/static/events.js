// Events as they come in, and an event as a row.

import { viewHere } from "./navigation.js";
import { row, tag, timelineOf, when } from "./page.js";
import { nameOf, state } from "./state.js";
import { toneOf, words } from "./words.js";

export const EVENTS_KEPT = 2000; // in memory; as many are replayed when the page opens
const DRAW_DELAY_MS = 120;

const main = document.getElementById("main");

export function receive(event) {
  if (state.cursor !== null && event.event_id <= state.cursor) return;
  state.cursor = event.event_id;
  state.events.push(event);
  if (state.events.length > EVENTS_KEPT) state.events.splice(0, state.events.length - EVENTS_KEPT);
  drawSoon();
}

let timer = null;
export function drawSoon() {
  // However many events come in, the view is drawn once.
  timer ??= setTimeout(() => {
    timer = null;
    // A drawing would drop the text that is being selected.
    const selection = getSelection();
    if (!selection.isCollapsed && main.contains(selection.anchorNode)) drawSoon();
    else viewHere().live?.();
  }, DRAW_DELAY_MS);
}

export function eventRow(event, isFresh) {
  const { type, project_id: project } = event.event;
  const status = statusOf(event);
  const label = type === "job_completed" ? `job ${words(status)}` : status;
  return row(
    addressOf(event),
    nameOf(project),
    tag(label, toneOf(status)),
    event.event.line,
    when(event.ts, "clock"),
    { "data-key": event.event_id, class: `row${isFresh ? " fresh" : ""}` },
  );
}

function statusOf(event) {
  const { data, type } = event.event;
  if (type === "doc_drift_warning") return type;
  return data.briefing?.status || data.session?.status || data.job?.status || type;
}

function addressOf(event) {
  const { briefing_id: briefing, job_id: job, project_id: project } = event.event;
  if (job) return `/jobs/${job}`;
  return briefing ? `/briefing/${briefing}` : timelineOf(project);
}
