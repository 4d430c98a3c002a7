// The dashboard: one module, no build step. The address holds the state; the WebSocket brings what is new, from a
// cursor, so that nothing is missed while the gateway is away. Whatever a session said becomes text, never markup; the
// one exception is a briefing's HTML, which the server has sanitised.

const KEPT = 2000; // events in memory
const REPLAYED = 300; // of the newest, at the start
const BAD = ["blocked", "failed", "error", "doc_drift_warning"];
const WAIT = ["waiting_for_input", "waiting_for_permission", "running", "session_blocked", "queued"];
const GOOD = ["completed", "working"];
const TYPES = ["briefing_added", "session_started", "session_blocked", "doc_drift_warning", "skill_updated", "job_completed", "error"];
const LEVELS = ["silent", "mention", "highlight"];

const main = document.getElementById("main");
const query = document.getElementById("query");
const state = { events: [], names: new Map(), cursor: null, socket: null, watched: null, drawn: 0, isLive: false };

// --- small tools ---

function h(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(3).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

async function get(path, parameters) {
  const search = new URLSearchParams(Object.entries(parameters || {}).filter(([, value]) => value));
  const answer = await fetch(`/api/v1${path}?${search}`);
  if (answer.status === 401) throw new Error("This login is not valid any more. Open the link that `fleet gateway` prints.");
  const body = await answer.json();
  if (!answer.ok) throw new Error(body.error?.message || answer.statusText);
  return body;
}

function words(name) {
  return String(name ?? "").replaceAll("_", " ");
}

function tag(name, kind = name) {
  const tone = BAD.includes(kind) ? "bad" : WAIT.includes(kind) ? "wait" : GOOD.includes(kind) ? "good" : "";
  return h("span", { class: `tag ${tone}` }, words(name));
}

function ago(moment) {
  const seconds = (Date.now() - Date.parse(moment)) / 1000;
  if (Number.isNaN(seconds)) return String(moment ?? "");
  for (const [unit, size] of [["d", 86400], ["h", 3600], ["m", 60]]) if (seconds >= size) return `${Math.floor(seconds / size)}${unit} ago`;
  return "just now";
}

function when(moment) {
  return h("time", { class: "when", datetime: moment, title: moment }, ago(moment));
}

function nameOf(project) {
  return project ? state.names.get(project) || project.split("__")[0] : "–";
}

function row(href, name, label, text, moment, attributes = {}) {
  return h("a", { class: "row", href, "data-link": true, ...attributes }, h("span", { class: "name" }, name), label, h("span", { class: "text" }, text || ""), when(moment));
}

function card(rows, empty, attributes = {}) {
  return h("div", { class: "card", ...attributes }, rows.length ? rows : h("p", { class: "empty" }, empty));
}

// --- events ---

function textOf(event) {
  const { data, type } = event.event;
  const said = data.briefing?.summary || data.error?.message || data.session?.detail || data.docDrift?.docPath || data.skill?.path || data.job?.error || data.job?.summary || data.summary || data.message;
  return typeof said === "string" ? said : type === "session_started" ? "a session started" : "";
}

function statusOf(event) {
  const { data, type } = event.event;
  return data.briefing?.status || data.session?.status || data.job?.status || (type === "doc_drift_warning" ? "docs may be stale" : type);
}

function addressOf(event) {
  const { briefing_id, job_id } = event.event;
  return job_id ? `/jobs/${job_id}` : briefing_id ? `/briefing/${briefing_id}` : `/timeline?project=${encodeURIComponent(event.event.project_id || "")}`;
}

function eventRow(event, isFresh) {
  const kind = event.event.type === "doc_drift_warning" ? "doc_drift_warning" : statusOf(event);
  const what = event.event.type === "job_completed" ? `job ${statusOf(event)}` : statusOf(event);
  return row(addressOf(event), nameOf(event.event.project_id), tag(what, kind), textOf(event), event.ts, { "data-event": event.event_id, class: `row${isFresh ? " fresh" : ""}` });
}

function take(event) {
  if (state.cursor !== null && event.event_id <= state.cursor) return;
  state.cursor = event.event_id;
  state.events.push(event);
  if (state.events.length > KEPT) state.events.splice(0, state.events.length - KEPT);
  soon();
}

let timer = null;
function soon() {
  // Whatever the number of events, the view is drawn again once.
  timer ??= setTimeout(() => {
    timer = null;
    VIEWS[here().view]?.live?.();
  }, 120);
}

// --- the connection ---

let patience = 500;
function connect() {
  const socket = new WebSocket(`ws://${location.host}/ws`);
  state.socket = socket;
  socket.onopen = () => {
    patience = 500;
    socket.send(JSON.stringify({ type: "fleet.subscribe", from_event_id: state.cursor }));
    if (state.watched) socket.send(JSON.stringify({ type: "job.watch", job_id: state.watched }));
  };
  socket.onmessage = (received) => {
    const message = JSON.parse(received.data);
    if (message.type === "fleet.event") take(message);
    else if (message.type === "fleet.live") {
      state.isLive = true;
      state.drawn = state.cursor ?? 0;
      show("live", "live");
    }
    else if (message.type.startsWith("job.")) VIEWS.jobs.message(message);
  };
  socket.onclose = () => {
    show("offline", "reconnecting");
    setTimeout(connect, patience);
    patience = Math.min(patience * 1.6, 5000);
  };
}

function show(kind, text) {
  const place = document.getElementById("connection");
  place.dataset.state = kind;
  place.textContent = text;
}

// --- views ---

const VIEWS = {
  roster: {
    title: "Roster",
    async draw() {
      const told = await get("/overview");
      for (const one of told.projects) state.names.set(one.project_id, one.project);
      const needs = told.needs_human.map((one) => row(one.briefing_id ? `/briefing/${one.briefing_id}` : `/timeline?project=${encodeURIComponent(one.project_id)}`, one.project, tag(one.state), one.detail, one.since));
      const latest = told.projects.map((one) => row(one.briefing_id ? `/briefing/${one.briefing_id}` : `/timeline?project=${encodeURIComponent(one.project_id)}`, one.project, tag(one.status || "no briefing"), one.summary, one.at));
      const sessions = told.sessions.map((one) => row(one.briefing_id ? `/briefing/${one.briefing_id}` : `/timeline?project=${encodeURIComponent(one.project_id)}`, nameOf(one.project_id), tag(one.state), one.detail || `session ${one.session_id.slice(0, 8)}`, one.last_seen_at));
      const { capture, jobs, commander } = told;
      return [
        h("h1", {}, needs.length ? `${needs.length} need${needs.length === 1 ? "s" : ""} you` : "Nobody needs you"),
        needs.length ? card(needs, "", { class: "card needs", id: "needs" }) : null,
        h("h2", {}, "Projects"),
        card(latest, "Nothing was captured yet. Finish a turn in any Claude Code session.", { id: "projects" }),
        h("h2", {}, "Sessions at work"),
        card(sessions, "No session is open.", { id: "sessions" }),
        h("p", { class: "note" }, `Commander: ${commander.new ? `${commander.new} new` : "has been told all"} · Jobs: ${jobs.running} at work, ${jobs.queued} queued · Capture: ${capture.waiting} waiting, ${capture.quarantined} in quarantine`),
      ];
    },
    live: () => draw(),
  },

  timeline: {
    title: "Timeline",
    async draw() {
      const { parameters } = here();
      const chosen = state.events.filter((event) => this.matches(event, parameters));
      const newest = chosen.slice(-200).reverse();
      const rows = newest.map((event) => eventRow(event, state.isLive && event.event_id > state.drawn));
      state.drawn = state.cursor ?? 0;
      return [h("h1", {}, "Timeline"), this.filters(parameters), card(rows, "No events that match.", { id: "events", "aria-live": "polite" })];
    },
    matches(event, parameters) {
      const level = event.event.broadcast_level || "mention";
      return (!parameters.get("project") || event.event.project_id === parameters.get("project")) && (!parameters.get("type") || event.event.type === parameters.get("type")) && (!parameters.get("level") || level === parameters.get("level"));
    },
    filters(parameters) {
      const choice = (name, values, labels = words) =>
        h("label", {}, name, h("select", { name, id: `filter-${name}`, onchange: (change) => go({ [name]: change.target.value }) }, h("option", { value: "" }, "all"), values.map((value) => h("option", { value, selected: parameters.get(name) === value }, labels(value)))));
      const projects = [...new Set([...state.names.keys(), ...state.events.map((event) => event.event.project_id).filter(Boolean)])];
      return h("div", { class: "filters" }, choice("project", projects, nameOf), choice("level", LEVELS), choice("type", TYPES));
    },
    live: () => draw(),
  },

  briefing: {
    title: "Briefing",
    async draw({ which }) {
      const { briefing, summary, html } = await get(`/briefings/${Number(which)}`);
      const facts = [
        ["status", tag(briefing.status)],
        ["impact", briefing.impact_level && tag(briefing.impact_level)],
        ["documents", briefing.doc_drift_risk && `${briefing.doc_drift_risk} risk of being stale`],
        ["branch", briefing.branch],
        ["commits", briefing.head_commit && `${(briefing.base_commit || "").slice(0, 8)}…${briefing.head_commit.slice(0, 8)}`],
        ["ended", when(briefing.ended_at || briefing.created_at)],
        ["session", briefing.session_id && h("code", {}, `claude --resume ${briefing.session_id}`)],
        ["blockers", list(briefing.blockers)],
        ["next steps", list(briefing.next_steps)],
        ["files", briefing.files_touched.length ? briefing.files_touched.slice(0, 60).map((file) => h("code", {}, file)) : null],
      ];
      const prose = h("div", { class: "card prose", id: "text" });
      prose.innerHTML = html; // sanitised by the server
      return [
        h("h1", {}, summary),
        h("p", { class: "note" }, `#${briefing.briefing_id} of `, h("a", { href: `/timeline?project=${encodeURIComponent(briefing.project_id)}`, "data-link": true }, nameOf(briefing.project_id))),
        definitions(facts),
        prose,
      ];
    },
  },

  search: {
    title: "Search",
    async draw() {
      const { parameters } = here();
      const text = parameters.get("q") || "";
      if (document.activeElement !== query) query.value = text;
      const found = text.trim() ? await get("/briefings/search", { q: text, project_id: parameters.get("project") }) : [];
      const rows = found.map((one) => row(`/briefing/${one.briefing_id}`, nameOf(one.project_id), tag(one.status), marked(one.excerpt || one.summary, text), one.ended_at || one.created_at));
      return [h("h1", {}, text.trim() ? `Briefings with “${text.trim()}”` : "Search"), card(rows, text.trim() ? "No briefing has all of these words." : "Type a word or two.", { id: "found" })];
    },
  },

  jobs: {
    title: "Jobs",
    async draw({ which }) {
      if (which) return this.one(Number(which));
      const jobs = await get("/jobs", { limit: 100 });
      const rows = jobs.map((job) => row(`/jobs/${job.job_id}`, nameOf(job.project_id), tag(job.status), job.error || job.prompt, job.ts_created));
      return [h("h1", {}, "Jobs"), card(rows, "No jobs. `fleet jobs submit` queues one.", { id: "jobs" })];
    },
    async one(number) {
      const job = await get(`/jobs/${number}`);
      const isOver = ["completed", "failed", "canceled"].includes(job.status);
      const facts = [
        ["status", h("span", { id: "job-status" }, tag(job.status))],
        ["project", nameOf(job.project_id)],
        ["type", `${words(job.type)}, ${job.model}`],
        ["cost", job.cost_usd === null ? null : `$${job.cost_usd.toFixed(4)}`],
        ["created", when(job.ts_created)],
        ["error", job.error],
        ["session", job.session_id && h("code", {}, job.session_id)],
        ["prompt", job.prompt],
      ];
      state.watched = number;
      if (state.socket?.readyState === WebSocket.OPEN) state.socket.send(JSON.stringify({ type: "job.watch", job_id: number }));
      const cancel = h("button", { id: "cancel", type: "button", onclick: () => state.socket.send(JSON.stringify({ type: "job.cancel", job_id: number })) }, "Cancel this job");
      return [h("h1", {}, `Job ${number}`), definitions(facts), isOver ? null : h("p", {}, cancel), h("h2", {}, "Output"), h("pre", { class: "log", id: "log", tabindex: 0, "aria-live": "polite" })];
    },
    message(message) {
      const { view, which } = here();
      if (message.job_id !== state.watched || view !== "jobs" || Number(which) !== message.job_id) return;
      const log = document.getElementById("log");
      if (message.type === "job.started") log?.replaceChildren();
      if (message.type === "job.stream") {
        const isAtEnd = log.scrollTop + log.clientHeight > log.scrollHeight - 30;
        log?.append(...linesOf(message.chunk));
        if (isAtEnd) log.scrollTop = log.scrollHeight;
      }
      if (message.type === "job.started") document.getElementById("job-status")?.replaceChildren(tag("running"));
      if (message.type === "job.completed") {
        document.getElementById("job-status")?.replaceChildren(tag(message.status));
        document.getElementById("cancel")?.remove();
        if (message.error) log?.append(h("div", { class: "error" }, message.error));
      }
    },
    live: () => (here().which ? null : draw()),
  },

  prelude: {
    title: "Prelude",
    async draw() {
      const { parameters } = here();
      const recap = parameters.get("recap") === "true";
      const told = await get("/prelude", { recap: recap && "true" });
      const choice = h("label", {}, h("input", { type: "checkbox", id: "recap", checked: recap, onchange: (change) => go({ recap: change.target.checked ? "true" : "" }) }), "the longer form that a fresh conversation gets");
      return [
        h("h1", {}, "What the Commander's next prompt would be told"),
        h("div", { class: "filters" }, choice, h("span", { class: "note" }, `after event ${told.after_event_id}, ${told.text.length} characters`)),
        told.text ? h("pre", { id: "prelude" }, told.text) : card([], "Nothing new: it would be told nothing at all."),
      ];
    },
    live: () => draw(),
  },
};

function list(items) {
  return items.length ? h("ul", {}, items.map((item) => h("li", {}, item))) : null;
}

function definitions(facts) {
  return h("dl", {}, facts.filter(([, value]) => value).map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
}

function marked(text, words_) {
  const known = words_.trim().split(/\s+/).filter(Boolean).map((word) => word.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
  const parts = known.length ? text.split(new RegExp(`(${known.join("|")})`, "gi")) : [text];
  return h("span", {}, parts.map((part, at) => (at % 2 ? h("mark", {}, part) : part)));
}

function linesOf(chunk) {
  // What a line of Claude Code's stream says to a person.
  const blocks = Array.isArray(chunk.message?.content) ? chunk.message.content : [];
  const lines = blocks.map((block) => {
    if (block.type === "text") return h("div", {}, block.text);
    if (block.type === "tool_use") return h("div", { class: "tool" }, `· ${block.name} ${block.input?.command || block.input?.file_path || block.input?.pattern || ""}`);
    if (block.type === "tool_result") return h("div", { class: block.is_error ? "error" : "dim" }, `  ${typeof block.content === "string" ? block.content.slice(0, 600) : "…"}`);
    return null;
  });
  if (chunk.type === "result" && chunk.is_error) lines.push(h("div", { class: "error" }, String(chunk.result || chunk.errors || "error")));
  return lines.filter(Boolean);
}

// --- the address ---

function here() {
  const [, view, which] = location.pathname.split("/");
  return { view: VIEWS[view] ? view : "roster", which: which && decodeURIComponent(which), parameters: new URLSearchParams(location.search) };
}

function go(changes) {
  const parameters = here().parameters;
  for (const [name, value] of Object.entries(changes)) value ? parameters.set(name, value) : parameters.delete(name);
  history.replaceState(null, "", `${location.pathname}${parameters.size ? "?" : ""}${parameters}`);
  draw();
}

function open(address, isReplaced) {
  if (isReplaced) history.replaceState(null, "", address);
  else if (address !== location.pathname + location.search) history.pushState(null, "", address);
  state.watched = null;
  draw(true);
}

let drawing = 0;
async function draw(isMoved) {
  const turn = ++drawing;
  const place = here();
  let parts;
  try {
    parts = await VIEWS[place.view].draw(place);
  } catch (error) {
    parts = [h("h1", {}, VIEWS[place.view].title), h("p", { class: "empty", role: "alert" }, error.message)];
  }
  if (turn !== drawing) return; // overtaken by a newer one
  const focused = document.activeElement?.closest?.("a.row")?.getAttribute("href") || null;
  const control = main.contains(document.activeElement) ? document.activeElement.id : "";
  main.replaceChildren(...parts.flat().filter(Boolean));
  document.title = `${place.view === "roster" ? main.querySelector("h1")?.textContent : VIEWS[place.view].title} – Fleet`;
  for (const link of document.querySelectorAll("nav a")) link.dataset.view === place.view ? link.setAttribute("aria-current", "page") : link.removeAttribute("aria-current");
  if (isMoved) {
    scrollTo(0, 0);
    if (document.activeElement !== query) main.focus({ preventScroll: true });
  } else if (focused) [...main.querySelectorAll("a.row")].find((one) => one.getAttribute("href") === focused)?.focus({ preventScroll: true });
  else if (control) document.getElementById(control)?.focus();
}

addEventListener("click", (click) => {
  const link = click.target.closest("a[data-link]");
  if (!link || click.metaKey || click.ctrlKey || click.shiftKey || click.button) return;
  click.preventDefault();
  open(link.getAttribute("href"));
});
addEventListener("popstate", () => draw(true));

let typing = null;
query.addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(() => open(`/search?q=${encodeURIComponent(query.value)}`, here().view === "search"), 150);
});
document.getElementById("search").addEventListener("submit", (submit) => {
  submit.preventDefault();
  open(`/search?q=${encodeURIComponent(query.value)}`, here().view === "search");
  main.querySelector("a.row")?.focus();
});

addEventListener("keydown", (key) => {
  if (key.metaKey || key.ctrlKey || key.altKey) return;
  const isTyping = ["INPUT", "SELECT", "TEXTAREA"].includes(document.activeElement?.tagName);
  if (key.key === "Escape") return document.activeElement === query ? main.focus() : history.back();
  if (isTyping) return;
  const rows = [...main.querySelectorAll("a.row")];
  const at = rows.indexOf(document.activeElement);
  const views = { r: "/", t: "/timeline", o: "/jobs", p: "/prelude" };
  if (key.key === "/") query.focus(), query.select();
  else if (key.key === "j" || key.key === "ArrowDown") rows[Math.min(at + 1, rows.length - 1)]?.focus();
  else if (key.key === "k" || key.key === "ArrowUp") rows[Math.max(at - 1, 0)]?.focus();
  else if (views[key.key]) open(views[key.key]);
  else return;
  key.preventDefault();
});

setInterval(() => {
  for (const time of main.querySelectorAll("time")) time.textContent = ago(time.dateTime);
}, 30000);

async function start() {
  draw(); // the focus stays where a page's beginning is
  for (;;) {
    try {
      for (const one of await get("/projects")) state.names.set(one.project_id, one.repo_name);
      const { last_event_id } = await get("/health");
      state.cursor = Math.max(0, last_event_id - REPLAYED);
      break;
    } catch {
      show("offline", "no answer");
      await new Promise((resolve) => setTimeout(resolve, 1000));
    }
  }
  connect();
}
start();
