// The dashboard starts here: its views, links, search and keys. ES modules, no build step.

import { connect, showConnection, showLoggedOut } from "./connection.js";
import { EVENTS_KEPT } from "./events.js";
import { codeHere, isLoggedIn, logIn } from "./login.js";
import { draw, here, open, useViews } from "./navigation.js";
import { timeText } from "./page.js";
import { get, state } from "./state.js";
import { briefing } from "./views/briefing.js";
import { jobs } from "./views/jobs.js";
import { prelude } from "./views/prelude.js";
import { roster } from "./views/roster.js";
import { search } from "./views/search.js";
import { timeline } from "./views/timeline.js";

const KEYS = { r: "/", t: "/timeline", o: "/jobs", p: "/prelude" };
const TYPING_PAUSE_MS = 150;
const TIMES_EVERY_MS = 15000;
const RETRY_MS = 1000;

const main = document.getElementById("main");
const query = document.getElementById("query");
const help = document.getElementById("help");

// --- links and search ---

addEventListener("click", (click) => {
  const link = click.target.closest("a[data-link]");
  if (!link || click.metaKey || click.ctrlKey || click.shiftKey || click.button) return;
  click.preventDefault();
  open(link.getAttribute("href"));
});
addEventListener("popstate", () => draw(true));
addEventListener("hashchange", () => {
  if (codeHere()) location.reload(); // another link, opened in this tab
});

function openSearch() {
  open(`/search?q=${encodeURIComponent(query.value)}`, here().view === "search");
}

let typing = null;
query.addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(openSearch, TYPING_PAUSE_MS);
});
document.getElementById("search").addEventListener("submit", (submit) => {
  submit.preventDefault();
  openSearch();
  main.querySelector("a.row")?.focus();
});

// --- keys ---

document.getElementById("help-open").addEventListener("click", () => help.showModal());
help.addEventListener("click", () => help.close());

addEventListener("keydown", (press) => {
  if (help.open) {
    if (press.key === "?") help.close(); // the browser closes it on Escape
    return;
  }
  if (press.metaKey || press.ctrlKey || press.altKey) return;
  if (press.key === "Escape") leave();
  else if (!isTyping() && act(press.key)) press.preventDefault();
});

function leave() {
  if (document.activeElement === query) main.focus();
  else if (history.state?.isInside) history.back();
}

function isTyping() {
  return ["INPUT", "SELECT", "TEXTAREA"].includes(document.activeElement?.tagName);
}

// Whether the key means something here.
function act(key) {
  const rows = [...main.querySelectorAll("a.row")];
  const at = rows.indexOf(document.activeElement);
  if (key === "?") help.showModal();
  else if (key === "/") {
    query.focus();
    query.select();
  } else if (key === "j" || key === "ArrowDown") rows[Math.min(at + 1, rows.length - 1)]?.focus();
  else if (key === "k" || key === "ArrowUp") rows[Math.max(at - 1, 0)]?.focus();
  else if (KEYS[key]) open(KEYS[key]);
  else return false;
  return true;
}

// --- start ---

setInterval(() => {
  for (const time of main.querySelectorAll("time")) {
    time.textContent = timeText(time.dateTime, time.dataset.kind);
  }
}, TIMES_EVERY_MS);

async function start() {
  useViews({ roster, timeline, briefing, search, jobs, prelude });
  await logIn().catch(() => null);
  draw(); // not as a move: the focus stays at the beginning of the page
  while (isLoggedIn()) {
    try {
      for (const project of await get("/projects")) {
        state.names.set(project.project_id, project.name);
      }
      const { last_event_id: newest } = await get("/health");
      state.cursor = Math.max(0, newest - EVENTS_KEPT);
      connect();
      return;
    } catch {
      showConnection("offline", "no answer");
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    }
  }
  showLoggedOut();
}
start();
