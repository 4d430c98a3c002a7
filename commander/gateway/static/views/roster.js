// What needs attention, what is left open, which sessions are working, and each project's latest
// briefing.

import { draw } from "../navigation.js";
import { card, h, row, section, tag, timelineOf, when } from "../page.js";
import { get, nameOf, state } from "../state.js";
import { plural, toneOf } from "../words.js";

const NO_PROJECTS =
  "Nothing was captured yet. Finish a turn in any Claude Code session and it appears here.";

// Why a session waits for a person, as the state that has a word and a colour.
const STATE_OF_REASON = { permission: "waiting_for_permission", question: "waiting_for_input" };

export const roster = {
  title: "Roster",

  async draw() {
    const overview = await get("/overview");
    for (const project of overview.projects) {
      state.names.set(project.project_id, project.project);
    }
    const { needs_you: needing, left_open: leftOpen, working } = overview;
    const isListed = new Set([...needing, ...working].map((session) => session.session_id));
    const rest = overview.sessions.filter((session) => !isListed.has(session.session_id));
    return [
      h("h1", {}, titleOf(needing.length, leftOpen.length)),
      h("div", { class: "facts" }, factsOf(overview)),
      needing.length
        ? card(needing.map(openRow), "", { class: "card needs", id: "needs" })
        : null,
      section("Left open", leftOpen, openRow, "left-open"),
      section("Working", working, workingRow, "working"),
      h("h2", {}, "Projects"),
      card(overview.projects.map(projectRow), NO_PROJECTS, { id: "projects" }),
      section("Other open sessions", rest, sessionRow, "sessions"),
    ];
  },

  live: () => draw(),
};

function titleOf(needing, leftOpen) {
  if (needing) return needing === 1 ? "1 session needs you" : `${needing} sessions need you`;
  if (leftOpen) return leftOpen === 1 ? "1 session is left open" : `${leftOpen} sessions are left open`;
  return "Nothing needs your attention.";
}

function factsOf(overview) {
  const { left_open: leftOpen, working, jobs, commander, capture, usage_today: used } = overview;
  const hasJobs = jobs.running || jobs.queued;
  return [
    fact(null, working.length && "working", `${working.length} working`),
    fact(null, leftOpen.length && "waiting_for_input", `${leftOpen.length} left open`),
    fact(
      "/jobs",
      jobs.running && "running",
      hasJobs ? `${plural(jobs.running, "job")} running, ${jobs.queued} queued` : "No jobs running",
    ),
    fact("/prelude", "", `Commander: ${commander.new ? `${commander.new} new` : "up to date"}`),
    used ? fact(null, "", `Today: ${used}`) : null,
    capture.waiting ? fact(null, "", `${plural(capture.waiting, "capture")} waiting`) : null,
    capture.quarantined
      ? fact(null, "failed", `${capture.quarantined} in quarantine: run fleet doctor`)
      : null,
  ];
}

function fact(href, kind, text) {
  const attributes = { class: `fact ${toneOf(kind)}`, href, "data-link": Boolean(href) };
  return h(href ? "a" : "span", attributes, text);
}

function addressOf(item) {
  return item.briefing_id ? `/briefing/${item.briefing_id}` : timelineOf(item.project_id);
}

function openRow(session) {
  const state = STATE_OF_REASON[session.reason] ?? session.reason;
  return sessionRow({ ...session, state, detail: session.text });
}

function workingRow(session) {
  return sessionRow({ ...session, state: "working", detail: session.title });
}

function sessionRow(session) {
  return row(
    addressOf(session),
    nameOf(session.project_id),
    tag(session.state),
    session.detail || session.title || `session ${session.session_id.slice(0, 8)}`,
    when(session.since, session.state === "completed" ? "ago" : "for"),
    { "data-key": session.session_id },
  );
}

function projectRow(project) {
  return row(
    addressOf(project),
    project.project,
    tag(project.status || "no briefing"),
    project.summary,
    when(project.at),
  );
}
