// What needs attention, which sessions are working, and each project's latest briefing.

import { draw } from "../navigation.js";
import { card, h, row, section, tag, timelineOf, when } from "../page.js";
import { get, nameOf, state } from "../state.js";
import { plural, toneOf } from "../words.js";

const NO_PROJECTS =
  "Nothing was captured yet. Finish a turn in any Claude Code session and it appears here.";

export const roster = {
  title: "Roster",

  async draw() {
    const overview = await get("/overview");
    for (const project of overview.projects) {
      state.names.set(project.project_id, project.project);
    }
    const needing = overview.needs_human;
    const isNeeding = new Set(needing.map((session) => session.session_id));
    const others = overview.sessions.filter((session) => !isNeeding.has(session.session_id));
    const working = others.filter((session) => session.state === "working");
    const asking = others.filter((session) => session.state === "waiting_for_input");
    const rest = others.filter((session) => ![...working, ...asking].includes(session));
    return [
      h("h1", {}, titleOf(needing.length)),
      h("div", { class: "facts" }, factsOf(overview, working.length, asking.length)),
      needing.length
        ? card(needing.map(sessionRow), "", { class: "card needs", id: "needs" })
        : null,
      section("Working", working, sessionRow, "working"),
      section("Asking you", asking, sessionRow, "asking"),
      h("h2", {}, "Projects"),
      card(overview.projects.map(projectRow), NO_PROJECTS, { id: "projects" }),
      section("Other open sessions", rest, sessionRow, "sessions"),
    ];
  },

  live: () => draw(),
};

function titleOf(count) {
  if (!count) return "Nothing needs your attention.";
  return count === 1 ? "1 session needs you" : `${count} sessions need you`;
}

function factsOf({ jobs, commander, capture }, working, asking) {
  const hasJobs = jobs.running || jobs.queued;
  return [
    fact(null, working && "working", `${working} working`),
    fact(null, asking && "waiting_for_input", `${asking} asking you`),
    fact(
      "/jobs",
      jobs.running && "running",
      hasJobs ? `${plural(jobs.running, "job")} running, ${jobs.queued} queued` : "No jobs running",
    ),
    fact("/prelude", "", `Commander: ${commander.new ? `${commander.new} new` : "up to date"}`),
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

function sessionRow(session) {
  return row(
    addressOf(session),
    nameOf(session.project_id),
    tag(session.state),
    session.detail || `session ${session.session_id.slice(0, 8)}`,
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
