// The dashboard: one module, no build step. The address holds the state; the WebSocket brings what is new, from a
// cursor, so that nothing is missed while the gateway is away. Whatever a session said becomes text, never markup; the
// one exception is a briefing's HTML, which the server has sanitised.

const KEPT = 2000; // events in memory
const REPLAYED = KEPT; // of the newest, at the start
const SHOWN = 200;
const BAD = ["blocked", "failed", "error", "doc_drift_warning"];
const WAIT = ["waiting_for_input", "waiting_for_permission", "session_blocked", "queued"];
const BUSY = ["working", "running"];
const GOOD = ["completed"];
const TYPES = { briefing_added: "briefings", session_started: "starts", session_blocked: "stuck sessions", doc_drift_warning: "stale docs", skill_updated: "skills", job_completed: "jobs", error: "errors" };
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
  return h("span", { class: `tag ${toneOf(kind)}` }, words(name));
}

function toneOf(kind) {
  return BAD.includes(kind) ? "bad" : WAIT.includes(kind) ? "wait" : BUSY.includes(kind) ? "busy" : GOOD.includes(kind) ? "good" : "";
}

function dayOf(moment) {
  const date = new Date(moment);
  const days = Math.round((new Date().setHours(0, 0, 0, 0) - new Date(date).setHours(0, 0, 0, 0)) / 86400000);
  if (Number.isNaN(days)) return "At an unknown time";
  return days === 0 ? "Today" : days === 1 ? "Yesterday" : date.toLocaleDateString([], { weekday: "long", day: "numeric", month: "long" });
}

function timeText(moment, kind) {
  const seconds = (Date.now() - Date.parse(moment)) / 1000;
  if (Number.isNaN(seconds)) return String(moment ?? "");
  if (kind === "clock" && dayOf(moment) !== "Today") return new Date(moment).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  const [unit, size] = [["d", 86400], ["h", 3600], ["m", 60]].find(([, size]) => seconds >= size) || [];
  if (!unit) return kind === "for" ? "for a moment" : "just now";
  return kind === "for" ? `for ${Math.floor(seconds / size)}${unit}` : `${Math.floor(seconds / size)}${unit} ago`;
}

// kind: "ago", "for" how long, or "clock", which is the time of day where that was another day.
function when(moment, kind = "ago") {
  const date = new Date(moment);
  const exact = Number.isNaN(date.getTime()) ? moment : date.toLocaleString([], { dateStyle: "full", timeStyle: "medium" });
  return h("time", { class: "when", datetime: moment, title: exact, "data-kind": kind }, timeText(moment, kind));
}

function nameOf(project) {
  return project ? state.names.get(project) || project.split("__")[0] : "–";
}

function row(href, name, label, text, time, attributes = {}) {
  return h("a", { class: "row", href, "data-link": true, "data-key": href, ...attributes }, h("span", { class: "name", title: name }, name), label, h("span", { class: "text" }, text || ""), time);
}

function plural(count, noun) {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}

function timelineOf(project) {
  return `/timeline?project=${encodeURIComponent(project || "")}`;
}

function card(rows, empty, attributes = {}) {
  return h("div", { class: "card", ...attributes }, rows.length ? rows : h("p", { class: "empty" }, empty));
}

// --- events ---

function statusOf(event) {
  const { data, type } = event.event;
  return data.briefing?.status || data.session?.status || data.job?.status || (type === "doc_drift_warning" ? "docs may be stale" : type);
}

function addressOf(event) {
  const { briefing_id, job_id } = event.event;
  return job_id ? `/jobs/${job_id}` : briefing_id ? `/briefing/${briefing_id}` : timelineOf(event.event.project_id);
}

function eventRow(event, isFresh) {
  const kind = event.event.type === "doc_drift_warning" ? "doc_drift_warning" : statusOf(event);
  const what = event.event.type === "job_completed" ? `job ${statusOf(event)}` : statusOf(event);
  return row(addressOf(event), nameOf(event.event.project_id), tag(what, kind), event.event.line, when(event.ts, "clock"), { "data-key": event.event_id, class: `row${isFresh ? " fresh" : ""}` });
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
    // Nobody loses the text that is just being selected.
    if (!getSelection().isCollapsed && main.contains(getSelection().anchorNode)) return soon();
    VIEWS[here().view]?.live?.();
  }, 120);
}

// --- the connection ---

let patience = 500;
let trouble = "";
function connect() {
  const socket = new WebSocket(`ws://${location.host}/ws`);
  state.socket = socket;
  socket.onopen = () => {
    socket.send(JSON.stringify({ type: "fleet.subscribe", from_event_id: state.cursor }));
    if (state.watched) socket.send(JSON.stringify({ type: "job.watch", job_id: state.watched }));
  };
  socket.onmessage = (received) => {
    const message = JSON.parse(received.data);
    if (message.type === "fleet.event") take(message);
    else if (message.type === "fleet.live") {
      // An older database was put in the place of this one: nothing that is shown holds any more.
      if (message.cursor < state.cursor) return location.reload();
      patience = 500;
      state.isLive = true;
      state.drawn = state.cursor ?? 0;
      show("live", "live");
      if (state.failed) draw();
    } else if (message.type === "error") trouble = message.message;
    else if (message.type.startsWith("job.")) VIEWS.jobs.message(message);
  };
  socket.onclose = async () => {
    show("offline", "reconnecting", trouble);
    trouble = "";
    // A handshake does not say why it was refused.
    const answer = await fetch("/api/v1/health").catch(() => null);
    if (answer?.status === 401) return show("offline", "logged out", "Open the link that `fleet gateway` prints.");
    setTimeout(connect, patience);
    patience = Math.min(patience * 1.6, 5000);
  };
}

function show(kind, text, title = "") {
  const place = document.getElementById("connection");
  place.dataset.state = kind;
  place.textContent = text;
  place.title = title;
}

// --- views ---

const VIEWS = {
  roster: {
    title: "Roster",
    async draw() {
      const told = await get("/overview");
      for (const one of told.projects) state.names.set(one.project_id, one.project);
      const { needs_human: needs, projects, capture, jobs, commander } = told;
      const address = (one) => (one.briefing_id ? `/briefing/${one.briefing_id}` : timelineOf(one.project_id));
      const ofSession = (one) => row(address(one), nameOf(one.project_id), tag(one.state), one.detail || `session ${one.session_id.slice(0, 8)}`, when(one.since, one.state === "completed" ? "ago" : "for"), { "data-key": one.session_id });
      const needy = new Set(needs.map((one) => one.session_id));
      const others = told.sessions.filter((one) => !needy.has(one.session_id));
      const working = others.filter((one) => one.state === "working");
      const waiting = others.filter((one) => one.state === "waiting_for_input");
      const idle = others.filter((one) => !working.includes(one) && !waiting.includes(one));
      const latest = projects.map((one) => row(address(one), one.project, tag(one.status || "no briefing"), one.summary, when(one.at)));
      const fact = (href, kind, text) => h(href ? "a" : "span", { class: `fact ${toneOf(kind)}`, href, "data-link": !!href }, text);
      return [
        h("h1", {}, needs.length ? `${needs.length} need${needs.length === 1 ? "s" : ""} you` : "Nobody needs you"),
        h("div", { class: "facts" }, fact(null, working.length && "working", `${working.length} working`), fact(null, waiting.length && "queued", `${waiting.length} waiting for input`), fact("/jobs", jobs.running && "running", jobs.running || jobs.queued ? `${plural(jobs.running, "job")} running, ${jobs.queued} queued` : "no jobs running"), fact("/prelude", "", commander.new ? `Commander: ${commander.new} new` : "Commander: up to date"), capture.waiting ? fact(null, "", `${capture.waiting} being captured`) : null, capture.quarantined ? fact(null, "failed", `${capture.quarantined} in quarantine: run fleet doctor`) : null),
        needs.length ? card(needs.map(ofSession), "", { class: "card needs", id: "needs" }) : null,
        section("Working now", working, ofSession, "working"),
        section("Waiting for input", waiting, ofSession, "waiting"),
        h("h2", {}, "Projects"),
        card(latest, "Nothing was captured yet. Finish a turn in any Claude Code session and it appears here.", { id: "projects" }),
        section("Idle sessions", idle, ofSession, "sessions"),
      ];
    },
    live: () => draw(),
  },

  timeline: {
    title: "Timeline",
    async draw() {
      const { parameters } = here();
      const chosen = state.events.filter((event) => this.matches(event, parameters));
      const rows = [];
      let day = "";
      for (const event of chosen.slice(-SHOWN).reverse()) {
        if (dayOf(event.ts) !== day) rows.push(h("h2", { class: "day" }, (day = dayOf(event.ts))));
        rows.push(eventRow(event, state.isLive && event.event_id > state.drawn));
      }
      state.drawn = state.cursor ?? 0;
      const isFiltered = ["project", "type", "level"].some((name) => parameters.get(name));
      const none = !state.isLive ? "Loading…" : isFiltered ? [`None of the newest ${state.events.length} events matches. `, h("button", { type: "button", onclick: () => go({ project: "", type: "", level: "" }) }, "Show all")] : "Nothing has happened yet. Whatever a session does appears here.";
      return [h("h1", {}, "Timeline"), this.filters(parameters), card(rows, none, { id: "events" }), chosen.length > SHOWN ? h("p", { class: "note" }, `The newest ${SHOWN} of ${chosen.length}.`) : null];
    },
    matches({ event }, parameters, but) {
      const values = { project: event.project_id, type: event.type, level: event.broadcast_level || "mention" };
      return Object.entries(values).every(([name, value]) => name === but || !parameters.get(name) || parameters.get(name) === value);
    },
    filters(parameters) {
      const choice = (name, values, labels = words) =>
        h("label", {}, name, h("select", { name, id: `filter-${name}`, onchange: (change) => go({ [name]: change.target.value }) }, h("option", { value: "" }, "all"), values.map((value) => h("option", { value, selected: parameters.get(name) === value }, labels(value)))));
      const projects = [...new Set([...state.names.keys(), ...state.events.map((event) => event.event.project_id).filter(Boolean)])];
      const counts = new Map();
      for (const event of state.events) if (this.matches(event, parameters, "type")) counts.set(event.event.type, (counts.get(event.event.type) || 0) + 1);
      const type = parameters.get("type") || "";
      const chip = (value, text, count) => h("button", { class: "chip", type: "button", id: `type-${value || "all"}`, value, "aria-pressed": String(value === type), onclick: () => go({ type: value }) }, text, " ", h("span", { class: "count" }, String(count)));
      const known = [...new Set([...Object.keys(TYPES), ...counts.keys()])].filter((value) => counts.get(value) || value === type).map((value) => chip(value, TYPES[value] || words(value), counts.get(value) || 0));
      return h("div", { class: "filters" }, h("div", { class: "chips", id: "filter-type", role: "group", "aria-label": "Type" }, chip("", "everything", [...counts.values()].reduce((sum, count) => sum + count, 0)), known), choice("project", projects, nameOf), choice("level", LEVELS));
    },
    live: () => draw(),
  },

  briefing: {
    title: "Briefing",
    async draw({ which }) {
      const { briefing, summary, html } = await get(`/briefings/${Number(which)}`);
      const facts = [
        ["blockers", list(briefing.blockers)],
        ["next steps", list(briefing.next_steps)],
        ["impact", briefing.impact_level],
        ["documents", briefing.doc_drift_risk && `${briefing.doc_drift_risk} risk of being stale`],
        ["branch", briefing.branch],
        ["commits", briefing.head_commit && `${(briefing.base_commit || "").slice(0, 8)}…${briefing.head_commit.slice(0, 8)}`],
        ["session", briefing.session_id && h("code", {}, `claude --resume ${briefing.session_id}`)],
        ["files", briefing.files_touched.length ? briefing.files_touched.slice(0, 60).map((file) => h("code", {}, file)) : null],
      ];
      const prose = h("div", { class: "card prose", id: "text" });
      prose.innerHTML = html; // sanitised by the server
      return [
        h("h1", {}, summary),
        h("p", { class: "meta" }, tag(briefing.status), h("a", { href: timelineOf(briefing.project_id), "data-link": true }, nameOf(briefing.project_id)), when(briefing.ended_at || briefing.created_at), h("span", {}, `briefing ${briefing.briefing_id}`)),
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
      const found = await (text.trim() ? get("/briefings/search", { q: text, project_id: parameters.get("project") }) : get("/briefings"));
      const rows = found.map((one) => row(`/briefing/${one.briefing_id}`, nameOf(one.project_id), tag(one.status), marked(String(holds(one.summary, text) ? one.summary : one.excerpt || one.summary), text), when(one.ended_at || one.created_at)));
      return [h("h1", {}, text.trim() ? `Briefings with “${text.trim()}”` : "The latest briefings"), card(rows, text.trim() ? "No briefing has all of these words." : "There are no briefings yet.", { id: "found" })];
    },
  },

  jobs: {
    title: "Jobs",
    async draw({ which }) {
      if (which) return this.one(Number(which));
      const jobs = await get("/jobs", { limit: 100 });
      const rows = jobs.map((job) => row(`/jobs/${job.job_id}`, nameOf(job.project_id), tag(job.status), job.error || job.prompt, job.status === "running" ? when(job.ts_started, "for") : when(job.ts_finished || job.ts_created)));
      return [h("h1", {}, "Jobs"), card(rows, ["No jobs yet. ", h("code", {}, "fleet jobs submit"), " queues one."], { id: "jobs" })];
    },
    async one(number) {
      const job = await get(`/jobs/${number}`);
      const isOver = ["completed", "failed", "canceled"].includes(job.status);
      const facts = [
        ["prompt", job.prompt],
        ["type", `${words(job.type)}, ${job.model}`],
        ["cost", job.cost_usd === null ? null : `$${job.cost_usd.toFixed(4)}`],
        ["error", job.error],
        ["session", job.session_id && h("code", {}, job.session_id)],
      ];
      state.watched = number;
      if (state.socket?.readyState === WebSocket.OPEN) state.socket.send(JSON.stringify({ type: "job.watch", job_id: number }));
      const cancel = h("button", { id: "cancel", type: "button", onclick: () => this.cancel(number) }, "Cancel this job");
      return [h("h1", {}, `Job ${number}`), h("p", { class: "meta" }, h("span", { id: "job-status" }, tag(job.status)), h("a", { href: timelineOf(job.project_id), "data-link": true }, nameOf(job.project_id)), job.status === "running" ? when(job.ts_started, "for") : when(job.ts_finished || job.ts_created), isOver ? null : cancel), definitions(facts), h("h2", {}, "Output"), h("pre", { class: "log", id: "log", tabindex: 0, "aria-live": "polite" })];
    },
    cancel(number) {
      const button = document.getElementById("cancel");
      if (button.dataset.asked) return state.socket.send(JSON.stringify({ type: "job.cancel", job_id: number }));
      button.dataset.asked = "true";
      button.textContent = "Press again to cancel it";
    },
    message(message) {
      const { view, which } = here();
      if (message.job_id !== state.watched || view !== "jobs" || Number(which) !== message.job_id) return;
      const log = document.getElementById("log");
      if (message.type === "job.started") log?.replaceChildren();
      if (message.type === "job.stream" && log) {
        const isAtEnd = log.scrollTop + log.clientHeight > log.scrollHeight - 30;
        log.append(...linesOf(message.chunk));
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

function section(title, found, toRow, id) {
  return found.length ? [h("h2", {}, title), card(found.map(toRow), "", { id })] : null;
}

function list(items) {
  return items.length ? h("ul", {}, items.map((item) => h("li", {}, item))) : null;
}

function definitions(facts) {
  return h("dl", {}, facts.filter(([, value]) => value).map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
}

function holds(text, words_) {
  return words_.toLowerCase().split(/\s+/).every((word) => String(text).toLowerCase().includes(word));
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
    if (block.type === "tool_result") return h("div", { class: block.is_error ? "error" : "dim" }, typeof block.content === "string" ? block.content.slice(0, 600) : "…");
    return null;
  });
  if (chunk.type === "result" && chunk.is_error) lines.push(h("div", { class: "error" }, String(chunk.result || chunk.errors || "error")));
  return lines.filter(Boolean);
}

// --- the address ---

function here() {
  const [, view, which] = location.pathname.split("/");
  return { view: VIEWS[view] ? view : "roster", which, parameters: new URLSearchParams(location.search) };
}

function go(changes) {
  const parameters = here().parameters;
  for (const [name, value] of Object.entries(changes)) value ? parameters.set(name, value) : parameters.delete(name);
  history.replaceState(history.state, "", `${location.pathname}${parameters.size ? "?" : ""}${parameters}`);
  draw();
}

function open(address, isReplaced) {
  if (isReplaced) history.replaceState(history.state, "", address);
  else if (address !== location.pathname + location.search) history.pushState({ isInside: true }, "", address);
  state.watched = null;
  draw(true);
}

let drawing = 0;
async function draw(isMoved) {
  const turn = ++drawing;
  const place = here();
  let parts;
  state.failed = false;
  try {
    parts = await VIEWS[place.view].draw(place);
  } catch (error) {
    state.failed = true;
    parts = [h("h1", {}, VIEWS[place.view].title), h("p", { class: "empty", role: "alert" }, error.message)];
  }
  if (turn !== drawing) return; // overtaken by a newer one
  const focused = document.activeElement?.closest?.("a.row")?.dataset.key;
  const control = main.contains(document.activeElement) ? document.activeElement.id : "";
  put(parts.flat(2).filter(Boolean), isMoved);
  document.title = `${place.view === "roster" ? main.querySelector("h1")?.textContent : VIEWS[place.view].title} – Fleet`;
  for (const link of document.querySelectorAll("nav a")) link.dataset.view === place.view ? link.setAttribute("aria-current", "page") : link.removeAttribute("aria-current");
  if (isMoved) {
    scrollTo(0, 0);
    if (document.activeElement !== query) main.focus({ preventScroll: true });
  } else if (focused) [...main.querySelectorAll("a.row")].find((one) => one.dataset.key === focused)?.focus({ preventScroll: true });
  else if (control && document.activeElement.id !== control) document.getElementById(control)?.focus({ preventScroll: true });
}

function put(parts, isMoved) {
  // What has not changed stays, so that an open list of choices stays open while events come in.
  if (isMoved) main.replaceChildren();
  parts.forEach((part, at) => {
    const old = main.children[at];
    if (!old) main.append(part);
    else if (!old.isEqualNode(part)) old.replaceWith(part);
  });
  while (main.children.length > parts.length) main.lastElementChild.remove();
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

const help = document.getElementById("help");
document.getElementById("help-open").addEventListener("click", () => help.showModal());
help.addEventListener("click", () => help.close());

addEventListener("keydown", (key) => {
  if (help.open) return key.key === "?" ? help.close() : undefined; // Escape closes it by itself
  if (key.metaKey || key.ctrlKey || key.altKey) return;
  const isTyping = ["INPUT", "SELECT", "TEXTAREA"].includes(document.activeElement?.tagName);
  if (key.key === "Escape") return document.activeElement === query ? main.focus() : history.state?.isInside ? history.back() : null;
  if (isTyping) return;
  const rows = [...main.querySelectorAll("a.row")];
  const at = rows.indexOf(document.activeElement);
  const views = { r: "/", t: "/timeline", o: "/jobs", p: "/prelude" };
  if (key.key === "?") help.showModal();
  else if (key.key === "/") query.focus(), query.select();
  else if (key.key === "j" || key.key === "ArrowDown") rows[Math.min(at + 1, rows.length - 1)]?.focus();
  else if (key.key === "k" || key.key === "ArrowUp") rows[Math.max(at - 1, 0)]?.focus();
  else if (views[key.key]) open(views[key.key]);
  else return;
  key.preventDefault();
});

setInterval(() => {
  for (const time of main.querySelectorAll("time")) time.textContent = timeText(time.dateTime, time.dataset.kind);
}, 15000);

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
