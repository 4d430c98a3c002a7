// What is around every view: the navigation, the search, the state of the connection, messages, help.

import { message, snooze, snoozing, takeBack } from "./actions.js";
import { connection } from "./connection.js";
import { asOf, roster, rosterProblem } from "./data.js";
import { html, signal, useEffect, useLayoutEffect, useRef, useState } from "./html.js";
import { isHelpOpen, PAGES } from "./keys.js";
import { isLoggedIn, loginProblem } from "./login.js";
import { Notifications, title } from "./notify.js";
import { Command, Dialog, Link, Missing } from "./parts.js";
import { changeParameters, open, route } from "./router.js";
import { clock, timeText } from "./time.js";
import { Briefing } from "./views/briefing.js";
import { Commander } from "./views/commander.js";
import { Event } from "./views/event.js";
import { Home } from "./views/home.js";
import { Jobs } from "./views/jobs.js";
import { Project } from "./views/project.js";
import { Search } from "./views/search.js";
import { Session, Sessions } from "./views/sessions.js";
import { Timeline } from "./views/timeline.js";
import { Usage } from "./views/usage.js";

const VIEWS = {
  "": [Home, "Home"],
  timeline: [Timeline, "Timeline"],
  search: [Search, "Search"],
  sessions: [Sessions, "Sessions"],
  session: [Session, "Session"],
  project: [Project, "Project"],
  briefing: [Briefing, "Briefing"],
  event: [Event, "Event"],
  jobs: [Jobs, "Jobs"],
  usage: [Usage, "Usage"],
  commander: [Commander, "Commander"],
  prelude: [Commander, "Commander"], // its address in earlier versions
};
// The same as in app.py: the views alone, and with the id of one thing after it.
const LISTS = ["", "timeline", "search", "sessions", "jobs", "usage", "commander", "prelude"];
const SINGLE = ["session", "project", "briefing", "event", "jobs"];
// Each 16 by 16, drawn with lines.
const ICONS = {
  h: "M2 9.5 4.2 3h7.6L14 9.5V13H2zM2 9.5h3.5l1 1.5h3l1-1.5H14",
  t: "M8 2a6 6 0 1 0 0 12A6 6 0 0 0 8 2zM8 5v3.2l2.2 1.4",
  s: "M2 3h12v10H2zM4.5 6l2 2-2 2M8.5 10.5h3",
  j: "M3 4h1M6.5 4H13M3 8h1M6.5 8H13M3 12h1M6.5 12H13",
  u: "M3 13V9M6.3 13V5M9.6 13V7.5M13 13V3",
  c: "M8 2l1.8 3.9 4.2.5-3.1 2.9.8 4.2L8 11.4l-3.7 2.1.8-4.2L2 6.4l4.2-.5z",
};
const TYPING_PAUSE_MS = 150;
const BLINK_MS = 800; // a gateway that is back by then was not away
const SNOOZES = [
  ["1 hour", () => 3600],
  ["4 hours", () => 4 * 3600],
  ["until tomorrow, 9:00", untilTomorrow],
  ["3 days", () => 3 * 86400],
];
const THEMES = { "": "System", light: "Light", dark: "Dark" };
const theme = signal(document.documentElement.dataset.theme ?? "");

export function Shell() {
  const { view, which } = route.value;
  const isKnown = (which ? SINGLE : LISTS).includes(view);
  const [View, name] = isKnown ? VIEWS[view] : [Missing, "No such page"];
  useLayoutEffect(() => {
    title.value = name; // a view may say a better one later
  }, [name, route.value.address]);
  return html`
    <a class="skip" href="#main" onClick=${skip}>Skip to content</a>
    <header>
      <div class="top">
        <${Link} class="brand" to="/"><span class="mark" aria-hidden="true"></span>Fleet<//>
        <${SearchField} />
      </div>
      <${Navigation} />
      <div class="settings">
        <${Notifications} />
        <div class="switches">
          <${ThemeSwitch} />
          <button type="button" class="quiet" id="help-open" title="Keyboard shortcuts"
            onClick=${() => { isHelpOpen.value = true; }}><kbd aria-hidden="true">?</kbd> Keys</button>
        </div>
        <${Connection} />
      </div>
    </header>
    <main id="main" tabindex="-1">
      ${isLoggedIn.value ? html`<${View} key=${`${view}/${which}`} />` : html`<${LoginNeeded} />`}
    </main>
    <div class="below">
      <div class="message" role="status">${message.value && html`<${Message} />`}</div>
      <${Offline} />
    </div>
    ${isHelpOpen.value && html`<${Help} />`}
    ${snoozing.value && html`<${Snoozing} session=${snoozing.value} />`}
  `;
}

function skip(click) {
  click.preventDefault();
  document.getElementById("main").focus();
}

function Navigation() {
  const counts = roster.value?.counts ?? {};
  const { jobs, commander } = roster.value ?? {};
  const here = { "": "h", session: "s", prelude: "c" }[route.value.view] ?? route.value.view[0];
  const badges = {
    h: [counts.needs_you, "need you", "bad"],
    j: [(jobs?.running ?? 0) + (jobs?.queued ?? 0), "running or queued", ""],
    c: [commander?.new, "new", ""],
  };
  return html`
    <nav aria-label="Pages">
      ${Object.entries(PAGES).map(([key, [to, name]]) => {
        const [count, what, tone] = badges[key] ?? [];
        const isHere = key === here && !["project", "briefing", "search", "event"].includes(route.value.view);
        return html`
          <${Link} key=${key} to=${to} aria-current=${isHere ? "page" : null}
            title=${`g then ${key}`}>
            <svg viewBox="0 0 16 16" aria-hidden="true"><path d=${ICONS[key]} /></svg>
            <span>${name}</span>
            ${
              count
                ? html`<span class=${`badge ${tone}`}>${count > 999 ? "999+" : count}<span
                    class="unseen"> ${what}</span></span>`
                : null
            }
          <//>
        `;
      })}
    </nav>
  `;
}

function SearchField() {
  const field = useRef(null);
  const timer = useRef(null);
  const { view, parameters } = route.value;
  const query = view === "search" ? (parameters.q ?? "") : "";
  useEffect(() => {
    if (document.activeElement !== field.current) field.current.value = query;
  }, [query]);
  const search = () => {
    const q = field.current.value;
    if (route.value.view === "search") changeParameters({ q });
    else open(`/search?q=${encodeURIComponent(q)}`);
    field.current.focus();
  };
  const onInput = () => {
    clearTimeout(timer.current);
    timer.current = setTimeout(search, TYPING_PAUSE_MS);
  };
  const onKeyDown = (press) => {
    if (press.key !== "Enter") return;
    clearTimeout(timer.current);
    search();
    document.querySelector("#main [data-row]")?.focus();
  };
  return html`
    <div role="search" class="search">
      <input type="search" id="query" ref=${field} data-search placeholder="Search"
        aria-label="Search briefings" autocomplete="off" spellcheck=${false}
        onInput=${onInput} onKeyDown=${onKeyDown} />
      <kbd aria-hidden="true">/</kbd>
    </div>
  `;
}

function Connection() {
  const { state, text, title: problem } = connection.value;
  return html`<span id="connection" role="status" data-state=${state} title=${problem}>${text}</span>`;
}

// Says how old the figures are while the gateway or its database is away. It lies over the page:
// nothing moves.
function Offline() {
  const { state, title: reason } = connection.value;
  const problem = state === "offline" ? reason : roster.value && rosterProblem.value;
  const isAway = isLoggedIn.value && (state === "offline" || problem);
  const [isLong, setLong] = useState(false);
  useEffect(() => {
    const timer = setTimeout(() => setLong(Boolean(isAway)), isAway ? BLINK_MS : 0);
    return () => clearTimeout(timer);
  }, [Boolean(isAway)]);
  if (!isAway || !isLong) return null;
  const at = asOf.value ? new Date(asOf.value).toISOString() : "";
  const now = Math.max(clock.value, asOf.value);
  const age = at && `What you see is of ${timeText(at, "clock")}, ${timeText(at, "ago", now)}.`;
  return html`
    <div id="offline" role="alert">
      <strong>${problem ? html`The gateway cannot answer: ${problem}.` : "The gateway does not answer."}</strong>${" "}
      ${age} Trying again …
    </div>
  `;
}

function ThemeSwitch() {
  const change = () => {
    const names = Object.keys(THEMES);
    theme.value = names[(names.indexOf(theme.value) + 1) % names.length];
    if (theme.value) document.documentElement.dataset.theme = theme.value;
    else delete document.documentElement.dataset.theme;
    try {
      localStorage.setItem("fleet-theme", theme.value);
    } catch {
      // the browser does not allow storage: it holds as long as the page
    }
  };
  const name = THEMES[theme.value];
  return html`
    <button type="button" class="quiet" id="theme" onClick=${change}
      title="Change the colours"><span aria-hidden="true">◐</span> ${name}<span class="unseen">
        colours</span></button>
  `;
}

function Message() {
  const { text, undo } = message.value;
  return html`
    <span>${text}</span>
    ${undo && html`<button type="button" onClick=${takeBack}>Undo <kbd aria-hidden="true">z</kbd></button>`}
  `;
}

function Snoozing({ session }) {
  const close = () => {
    snoozing.value = null;
  };
  const choose = (at) => snooze(session, SNOOZES[at][1](), SNOOZES[at][0].replace(/^(\d)/, "for $1"));
  const onKeyDown = (press) => {
    if (SNOOZES[press.key - 1]) choose(press.key - 1);
  };
  return html`
    <${Dialog} id="snooze" title=${`Snooze ${session.project}`} onClose=${close}>
      <p class="note">It is shown again then, or at its next event if that comes first.</p>
      <div class="options" onKeyDown=${onKeyDown}>
        ${SNOOZES.map(
          ([text], at) => html`
            <button type="button" key=${text} onClick=${() => choose(at)}>
              <kbd aria-hidden="true">${at + 1}</kbd> ${text}
            </button>
          `,
        )}
      </div>
    <//>
  `;
}

function untilTomorrow() {
  const then = new Date();
  then.setDate(then.getDate() + 1);
  then.setHours(9, 0, 0, 0);
  return Math.max(60, Math.round((then - Date.now()) / 1000));
}

const KEYS = [
  [["j", "k"], "Next and previous row (also ↓ and ↑)"],
  [["Enter"], "Open the row"],
  [["y", "c"], "Copy the command that leads to the session"],
  [["e"], "Dismiss a session that waits"],
  [["s"], "Snooze a session that waits"],
  [["z"], "Take the last of these back"],
  [["/"], "Search"],
  [["Esc"], "Back"],
  [["?"], "This list"],
];

function Help() {
  const close = () => {
    isHelpOpen.value = false;
  };
  const pages = Object.entries(PAGES).map(([key, [, name]]) => [["g", key], name]);
  return html`
    <${Dialog} id="help" title="Keyboard shortcuts" onClose=${close}>
      <div class="columns">
        ${[KEYS, pages].map(
          (list, at) => html`
            <dl key=${at}>
              ${list.map(
                ([keys, what]) => html`
                  <div key=${what}>
                    <dt>${keys.map((key) => html`<kbd key=${key}>${key}</kbd> `)}</dt>
                    <dd>${what}</dd>
                  </div>
                `,
              )}
            </dl>
          `,
        )}
      </div>
      <button type="button" onClick=${close}>Close</button>
    <//>
  `;
}

function LoginNeeded() {
  const [problem] = useState(loginProblem.value);
  useEffect(() => {
    title.value = "Log in";
  }, []);
  return html`
    <h1>This browser is not logged in</h1>
    <div class="card" id="login">
      ${problem && html`<p role="alert" class="problem">The link did not work: ${problem}.</p>`}
      <p>Run this in a terminal and open the link that it prints:</p>
      <p><${Command} text="fleet gateway link" /></p>
      <p class="note">
        A link logs one browser in, once, within 15 minutes. A login ends when the gateway ends.
        ${problem && " If you did not use this link, another program did: start the gateway again."}
      </p>
    </div>
  `;
}
