// The queue of jobs with a form for another one, and one job with its output as it comes.

import { copy, say } from "../actions.js";
import { watchJob } from "../connection.js";
import { post, refreshSoon, roster, useData } from "../data.js";
import { html, useEffect, useRef, useState } from "../html.js";
import { title } from "../notify.js";
import { Choice, Command, Empty, Facts, Link, Problem, ProjectChoice, Prose, Row, Tag, Waiting } from "../parts.js";
import { changeParameters, link, open, route } from "../router.js";
import { clock, duration, Time, timeText } from "../time.js";
import { words } from "../words.js";
import { dollars } from "./project.js";

const FINISHED = ["completed", "failed", "canceled"];
const RESULT_CHARACTERS = 600; // of a tool's output
const STATUSES = ["queued", "running", ...FINISHED];
const MODELS = [["sonnet", "Sonnet"], ["opus", "Opus"], ["haiku", "Haiku"]];
const MAY = {
  edit: "It runs no commands.",
  read: "It can read and search files. It edits nothing and runs no commands.",
  off: "The setting gateway.jobs does not allow to submit jobs here.",
};

export function Jobs() {
  return route.value.which ? html`<${Job} key=${route.value.which} />` : html`<${List} />`;
}

function List() {
  const { project, status } = route.value.parameters;
  const { data: projects } = useData("/projects", {}, "once");
  const { data, error } = useData("/jobs", { limit: 100, project_id: project, status });
  const most = roster.value?.may_submit_jobs;
  const held = roster.value?.jobs.held;
  if (!most || (!data && !error)) return html`<h1>Jobs</h1><${Waiting} rows=${6} />`;
  return html`
    <h1>Jobs</h1>
    ${
      held &&
      html`<p class="problem" role="status">
        Jobs are on hold until ${timeText(held.until, "clock")}: ${held.reason}</p>`
    }
    <${Submit} projects=${projects} project=${project} most=${most} />
    <div class="filters" role="group" aria-label="Filters">
      <${Choice} name="status" label="Status" value=${status}
        options=${[["", "All"], ...STATUSES.map((one) => [one, words(one)])]}
        onChange=${(value) => changeParameters({ status: value })} />
      <${ProjectChoice} projects=${projects} value=${project}
        onChange=${(value) => changeParameters({ project: value })} />
    </div>
    ${error && html`<${Problem} error=${error} />`}
    ${data && html`<ul class="rows" id="jobs" aria-label="Jobs">
      ${data.map(
        (job) => html`
          <${Row} key=${job.job_id} id=${job.job_id} to=${link("jobs", job.job_id)}
            name=${job.project ?? `job ${job.job_id}`}
            nameTo=${job.project_id ? link("project", job.project_id) : null}
            tag=${html`<${Tag} value=${job.status} />`}
            text=${job.prompt || job.error || words(job.type)}
            at=${job.ts_finished || job.ts_started || job.ts_created}
            kind=${job.status === "running" ? "for" : "ago"}
            more=${html`<span class="asked">${[
              `#${job.job_id}`,
              job.model,
              took(job),
              job.cost_usd === null ? null : dollars(job.cost_usd),
              job.error,
            ].filter(Boolean).join(" · ")}</span>`} />
        `,
      )}
    </ul>`}
    ${
      data && !data.length
        ? html`<${Empty} title=${status || project ? "There is no such job." : "No jobs yet."}>
            <p>A job is a prompt that <code>claude -p</code> works on by itself. Submit one above, or at
              the console: <${Command} text="fleet jobs submit" /></p>
          <//>`
        : null
    }
  `;
}

function took(job) {
  if (!job.ts_started) return "";
  const end = job.ts_finished ?? new Date(Math.max(clock.value, Date.parse(job.ts_started))).toISOString();
  return duration(job.ts_started, end);
}

// `most` is what a job that is submitted here may do at most.
function Submit({ projects, project, most }) {
  const [chosen, setChosen] = useState(project ?? "");
  const [model, setModel] = useState("sonnet");
  const [prompt, setPrompt] = useState("");
  const [mayEdit, setMayEdit] = useState(true);
  const [problem, setProblem] = useState("");
  const [isSending, setSending] = useState(false);
  if (most === "off") {
    return html`<div class="card"><p class="note">${MAY.off}
      <${Command} text="fleet config set gateway.jobs read" /></p></div>`;
  }
  const submit = async () => {
    if (!chosen || !prompt.trim()) {
      setProblem(chosen ? "Write what the job should do." : "Choose a project of the list.");
      return;
    }
    setSending(true);
    try {
      const mode = mayEdit && most === "edit" ? { permission_mode: "acceptEdits" } : {};
      const wish = { project_id: chosen, prompt, model, ...mode };
      const { job_id: jobId } = await post("/jobs", wish);
      say(`Job ${jobId} is queued.`);
      refreshSoon();
      open(link("jobs", jobId));
    } catch (error) {
      setProblem(error.message);
      setSending(false);
    }
  };
  return html`
    <details class="card submit" id="submit">
      <summary>Submit a job</summary>
      <div class="form" role="form" aria-label="Submit a job">
        <div class="filters">
          <${ProjectChoice} id="job-project" projects=${projects} value=${chosen}
            onChange=${setChosen} placeholder="Choose a project" />
          <${Choice} name="model" label="Model" value=${model} options=${MODELS} onChange=${setModel} />
        </div>
        <label class="choice wide"><span>What it should do</span>
          <textarea id="prompt" rows="4" value=${prompt}
            onInput=${(input) => setPrompt(input.target.value)}></textarea></label>
        ${
          most === "edit" &&
          html`<label class="tick"><input type="checkbox" id="may-edit" checked=${mayEdit}
            onChange=${(change) => setMayEdit(change.target.checked)} />
            It may edit files of its project</label>`
        }
        ${problem && html`<p class="problem" role="alert">${problem}</p>`}
        <p class="meta">
          <button type="button" class="main-action" id="send" disabled=${isSending} onClick=${submit}>Submit</button>
          <span class="note">${MAY[most]}</span>
        </p>
      </div>
    </details>
  `;
}

export function Job() {
  const { which } = route.value;
  const { data: job, error } = useData(`/jobs/${encodeURIComponent(which)}`);
  const [live, setLive] = useState({ status: null, lines: [], error: null });
  const log = useRef(null);
  const jobId = Number(which);
  useEffect(() => {
    title.value = `Job ${which}`;
    if (!Number.isSafeInteger(jobId) || jobId < 1) return undefined;
    return watchJob(jobId, (message) => setLive((before) => after(before, message)));
  }, [which]);
  useEffect(() => {
    const place = log.current;
    const isAtEnd = place && place.scrollTop + place.clientHeight > place.scrollHeight - 80;
    if (isAtEnd) place.scrollTop = place.scrollHeight;
  }, [live.lines.length]);
  if (error && !job) return html`<${Problem} error=${error} />`;
  if (!job) return html`<${Waiting} rows=${6} isPage />`;
  const status = live.status ?? job.status;
  const isOver = FINISHED.includes(status);
  return html`
    <p class="crumbs">
      <${Link} to="/jobs">Jobs<//>
      ${job.project && html`<${Link} to=${link("project", job.project_id)}>${job.project}<//>`}
    </p>
    <h1>Job ${job.job_id}</h1>
    <p class="meta">
      <span id="job-status"><${Tag} value=${status} /></span>
      <${Time} at=${job.ts_finished || job.ts_started || job.ts_created} kind=${status === "running" ? "for" : "ago"} />
      ${!isOver && roster.value?.may_submit_jobs !== "off" && html`<${Cancel} jobId=${jobId} />`}
    </p>
    <div class="beside">
      <div>
        <div class="card"><p class="lead">${job.prompt || words(job.type)}</p></div>
        ${(live.error ?? job.error) && html`<p class="problem">${live.error ?? job.error}</p>`}
        ${job.answer_html && html`<h2>Answer</h2><article class="card"><${Prose} id="answer" text=${job.answer_html} /></article>`}
        <h2>Output</h2>
        <div class=${`log${isOver ? " over" : ""}`} id="log" ref=${log} tabindex="0" role="log"
          aria-label="Output">${live.lines}</div>
      </div>
      <aside aria-label="Facts">
        <${Facts} facts=${[
          ["model", job.model],
          ["kind", job.type === "worker_task" ? null : words(job.type)],
          ["took", took(job)],
          ["cost", job.cost_usd === null ? null : dollars(job.cost_usd)],
          ["tokens", job.output_tokens && `${(job.input_tokens ?? 0).toLocaleString("en")} in, ${job.output_tokens.toLocaleString("en")} out`],
          ["attempts", job.attempts > 1 ? job.attempts : null],
          ["session", job.session_id && html`<button type="button" class="quiet code"
            aria-label=${`Copy ${job.session_id.slice(0, 8)}, the session's id`}
            onClick=${() => copy(job.session_id)}>${job.session_id.slice(0, 8)}</button>`],
        ]} />
      </aside>
    </div>
  `;
}

function Cancel({ jobId }) {
  const [isAsked, setAsked] = useState(false);
  const press = async () => {
    if (!isAsked) {
      setAsked(true);
      return;
    }
    await post(`/jobs/${jobId}/cancel`).catch((error) => say(`It was not cancelled: ${error.message}`));
    refreshSoon();
  };
  return html`<button type="button" id="cancel" class="danger" onClick=${press}>
    ${isAsked ? "Press again to cancel it" : "Cancel this job"}</button>`;
}

// What the page knows of a job after a message. The stream begins anew after a reconnection.
function after(before, message) {
  if (message.type === "job.started") return { status: "running", lines: [], error: null };
  if (message.type === "job.stream") {
    return { ...before, lines: [...before.lines, ...linesOf(message.chunk)] };
  }
  if (message.type === "job.completed") {
    refreshSoon(); // its answer and cost
    return { ...before, status: message.status, error: message.error };
  }
  return before;
}

// What a line of Claude Code's stream says to a person.
function linesOf(chunk) {
  const blocks = Array.isArray(chunk.message?.content) ? chunk.message.content : [];
  const lines = blocks.map(lineOf);
  if (chunk.type === "result" && chunk.is_error) {
    lines.push(html`<div class="error">${String(chunk.result || chunk.errors || "error")}</div>`);
  }
  return lines.filter(Boolean);
}

function lineOf(block) {
  if (block.type === "text") return html`<div>${block.text}</div>`;
  if (block.type === "tool_use") {
    const { command, file_path: path, pattern } = block.input || {};
    return html`<div class="tool">· ${block.name} ${command || path || pattern || ""}</div>`;
  }
  if (block.type === "tool_result") {
    const { content } = block;
    const text = typeof content === "string" ? content.slice(0, RESULT_CHARACTERS) : "…";
    return html`<div class=${block.is_error ? "error" : "dim"}>${text}</div>`;
  }
  return null;
}
