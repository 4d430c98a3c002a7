// The list of jobs, and one job with its output as it comes.

import { draw, here } from "../navigation.js";
import { card, definitions, h, link, row, tag, timelineOf, when } from "../page.js";
import { get, nameOf, send, state } from "../state.js";
import { words } from "../words.js";

const FINISHED = ["completed", "failed", "canceled"];
const RESULT_CHARACTERS = 600; // of a tool's output

export const jobs = {
  title: "Jobs",

  draw({ which }) {
    return which ? drawJob(Number(which)) : drawList();
  },

  live: () => (here().which ? null : draw()),
};

async function drawList() {
  const found = await get("/jobs", { limit: 100 });
  const rows = found.map((job) =>
    row(
      `/jobs/${job.job_id}`,
      nameOf(job.project_id),
      tag(job.status),
      job.error || job.prompt,
      timeOf(job),
    ),
  );
  const empty = ["No jobs yet. ", h("code", {}, "fleet jobs submit"), " queues one."];
  return [h("h1", {}, "Jobs"), card(rows, empty, { id: "jobs" })];
}

async function drawJob(number) {
  const [job, { jobs: most }] = await Promise.all([get(`/jobs/${number}`), get("/health")]);
  state.watchedJob = number;
  send({ type: "job.watch", job_id: number });
  const cancelButton = h(
    "button",
    { id: "cancel", type: "button", onclick: () => cancel(number) },
    "Cancel this job",
  );
  const facts = [
    ["prompt", job.prompt],
    ["type", `${words(job.type)}, ${job.model}`],
    ["cost", job.cost_usd === null ? null : `$${job.cost_usd.toFixed(4)}`],
    ["error", job.error],
    ["session", job.session_id && h("code", {}, job.session_id)],
  ];
  return [
    h("h1", {}, `Job ${number}`),
    h(
      "p",
      { class: "meta" },
      h("span", { id: "job-status" }, tag(job.status)),
      link(timelineOf(job.project_id), nameOf(job.project_id)),
      timeOf(job),
      FINISHED.includes(job.status) || most === "off" ? null : cancelButton,
    ),
    definitions(facts),
    h("h2", {}, "Output"),
    h("pre", { class: "log", id: "log", tabindex: 0, "aria-live": "polite" }),
  ];
}

function timeOf(job) {
  if (job.status === "running") return when(job.ts_started, "for");
  return when(job.ts_finished || job.ts_created);
}

function cancel(number) {
  const button = document.getElementById("cancel");
  if (button.dataset.isAsked) {
    send({ type: "job.cancel", job_id: number });
    return;
  }
  button.dataset.isAsked = "true";
  button.textContent = "Press again to cancel it";
}

export function receiveJobMessage(message) {
  const { view, which } = here();
  const isShown = view === "jobs" && Number(which) === message.job_id;
  if (!isShown || message.job_id !== state.watchedJob) return;
  const log = document.getElementById("log");
  const status = document.getElementById("job-status");
  if (message.type === "job.started") {
    log?.replaceChildren();
    status?.replaceChildren(tag("running"));
  } else if (message.type === "job.stream" && log) {
    const isAtEnd = log.scrollTop + log.clientHeight > log.scrollHeight - 30;
    log.append(...linesOf(message.chunk));
    if (isAtEnd) log.scrollTop = log.scrollHeight;
  } else if (message.type === "job.completed") {
    status?.replaceChildren(tag(message.status));
    document.getElementById("cancel")?.remove();
    if (message.error) log?.append(h("div", { class: "error" }, message.error));
  }
}

// What a line of Claude Code's stream tells a person.
function linesOf(chunk) {
  const blocks = Array.isArray(chunk.message?.content) ? chunk.message.content : [];
  const lines = blocks.map(lineOf);
  if (chunk.type === "result" && chunk.is_error) {
    lines.push(h("div", { class: "error" }, String(chunk.result || chunk.errors || "error")));
  }
  return lines.filter(Boolean);
}

function lineOf(block) {
  if (block.type === "text") return h("div", {}, block.text);
  if (block.type === "tool_use") {
    const { command, file_path: path, pattern } = block.input || {};
    return h("div", { class: "tool" }, `· ${block.name} ${command || path || pattern || ""}`);
  }
  if (block.type === "tool_result") {
    const { content } = block;
    const text = typeof content === "string" ? content.slice(0, RESULT_CHARACTERS) : "…";
    return h("div", { class: block.is_error ? "error" : "dim" }, text);
  }
  return null;
}
