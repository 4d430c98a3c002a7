// The projects with their sessions: what needs you on top, each project in one place.

import { copy, dismiss, nameOf, showAgain, snoozing } from "../actions.js";
import { quiet, refreshRoster, roster, rosterProblem, useData } from "../data.js";
import { html, signal, useEffect } from "../html.js";
import { needingText, Notifications, title } from "../notify.js";
import {
  Beginning, cut, Empty, Link, Machine, MachineChips, Problem, Row, Section, Tag, Waiting,
} from "../parts.js";
import { link, route } from "../router.js";
import { hiddenText } from "../time.js";
import { plural } from "../words.js";

// [group, id of its list, its name, how many projects are shown before it folds]
const GROUPS = [
  ["needs_you", "needs", "Needs you", 50],
  ["left_open", "left-open", "Left open", 6],
  ["working", "working", "Working", 12],
];
const MORE = 100;
const COUNTED = 5000; // of what is new to the Commander; more are not counted
const unfolded = signal(new Set()); // groups and projects of which everything is shown

export function Home() {
  const { machine } = route.value.parameters;
  if (machine) return html`<${OfMachine} machine=${machine} />`;
  const found = roster.value;
  if (found) return html`<${Overview} found=${found} />`;
  const problem = rosterProblem.value;
  return html`<h1>${problem ? "The gateway cannot answer" : html`\u00a0`}</h1>
    ${problem ? html`<p class="problem" role="alert">${problem}</p>` : html`<${Waiting} rows=${8} />`}`;
}

// The title, the badge and the keys stay with the sessions of all machines.
function OfMachine({ machine }) {
  const { data, error } = useData("/roster", { machine, quiet: quiet.value });
  if (data) return html`<${Overview} found=${data} machine=${machine} />`;
  return error ? html`<${Problem} error=${error} />` : html`<h1>\u00a0</h1><${Waiting} rows=${8} />`;
}

function Overview({ found, machine = "" }) {
  const { counts, projects, machines } = found;
  const heading = headingOf(counts);
  useEffect(() => {
    title.value = counts.needs_you ? heading : heading.replace(/\.$/, "");
  }, [heading]);
  return html`
    <h1>${heading}</h1>
    <${Summary} found=${found} />
    <${MachineChips} machines=${machines} chosen=${machine} />
    <div id="projects">
      ${GROUPS.map(([group, id, name, most]) => {
        const chosen = projects.filter((project) => groupOf(project) === group);
        const shown = unfolded.value.has(id) ? chosen : chosen.slice(0, most);
        if (!chosen.length) return null;
        return html`
          <${Section} key=${id} id=${id} title=${name} count=${counts[group]}>
            ${shown.map((project) => html`<${Waiters} key=${project.project_id} project=${project} />`)}
            ${
              chosen.length > shown.length
                ? html`<li class="fold"><button type="button" class="quiet" onClick=${() => toggle(id)}>
                    Show ${plural(chosen.length - shown.length, "more project")}
                  </button></li>`
                : null
            }
          <//>
        `;
      })}
      <${Recent} found=${found} projects=${projects} />
      ${found.hidden.length > 0 && html`<${Hidden} sessions=${found.hidden} />`}
    </div>
    ${
      !projects.length && !found.quiet_projects &&
      (machine ? html`<${Empty} title="No session is open on this machine.">
          <p><${Link} to=${`/search?machine=${encodeURIComponent(machine)}`}>Its latest briefings<//></p><//>` : html`<${Beginning} />`)
    }
    <${Notifications} />
  `;
}

function headingOf({ needs_you: needing, left_open: leftOpen }) {
  if (needing) return needingText(needing);
  if (leftOpen) return `${plural(leftOpen, "session")} ${leftOpen === 1 ? "is" : "are"} left open`;
  return "Nothing needs your attention.";
}

function groupOf(project) {
  const groups = GROUPS.map(([group]) => group);
  return groups.find((group) => project.sessions.some((session) => session.group === group)) ?? "";
}

function Summary({ found }) {
  const { counts, capture, commander, usage_today: used } = found;
  const parts = [
    counts.working && html`<span class="busy">${counts.working} working</span>`,
    counts.needs_you && counts.left_open && html`<span>${counts.left_open} left open</span>`,
    used && html`<${Link} to="/usage">Today: ${used}<//>`,
    commander.new &&
      html`<${Link} to="/commander">${plural(commander.new, "event")}${commander.new >= COUNTED ? " or more" : ""}${" "}
        for the Commander<//>`,
    capture.waiting && html`<span class="wait">${plural(capture.waiting, "capture")} waiting</span>`,
    capture.drainer && html`<span class="bad">${capture.drainer}</span>`,
    capture.quarantined &&
      html`<span class="bad">${capture.quarantined} in quarantine: run <code>fleet doctor</code></span>`,
    ...(capture.put_off ?? []).map((one) => html`<span class="wait">${one.line}</span>`),
  ].filter(Boolean);
  return html`<p class="summary">${parts.length ? parts : html`<span>No session is working.</span>`}</p>`;
}

// A project with sessions that wait or work: its name once, beside the first of them.
function Waiters({ project }) {
  const waiting = project.sessions.filter((session) => session.group !== "open");
  const open = project.sessions.filter((session) => session.group === "open");
  const isUnfolded = unfolded.value.has(project.project_id);
  const shown = [...waiting, ...(isUnfolded ? open : [])];
  return html`
    ${shown.map(
      (session, at) => html`
        <${SessionRow} key=${session.session_id} session=${session} project=${project}
          isFirst=${at === 0} />
      `,
    )}
    ${
      open.length
        ? html`<li class="fold"><button type="button" class="quiet" aria-expanded=${isUnfolded}
            onClick=${() => toggle(project.project_id)}>
            ${isUnfolded ? "Hide" : "Show"} ${plural(open.length, "other open session")}
            <span class="unseen"> of ${project.project}</span>
          </button></li>`
        : null
    }
  `;
}

// `label` stands where the project's name would be, on a page of that project.
export function SessionRow({ session, project, isFirst = true, label }) {
  const isWaiting = session.group === "needs_you" || session.group === "left_open";
  const isPermission = isWaiting && session.state === "waiting_for_permission";
  const state = session.group === "working" ? "working" : session.state;
  const named = { ...session, project: project.project };
  const asked = session.title;
  const text = session.text || asked || `session ${session.session_id.slice(0, 8)}`;
  return html`
    <${Row} id=${session.session_id} data-session=${session.session_id}
      to=${link("session", session.session_id)}
      name=${label ?? (isFirst ? project.project : html`<span class="unseen">${project.project}</span>`)}
      nameTo=${isFirst && !label ? link("project", project.project_id) : null}
      tag=${html`<${Tag} value=${state} />`} text=${text} isCode=${isPermission}
      at=${session.since} kind=${session.state === "completed" ? "ago" : "for"}
      class=${`row ${session.group}${isFirst ? "" : " nested"}`}
      more=${html`
        <${Machine} name=${session.machine} />
        ${session.text && asked ? html`<span class="asked">${asked}</span>` : null}
        ${isWaiting && html`<${Actions} session=${named} />`}
        ${session.hidden_until && html`<${ShowAgain} session=${named} />`}
      `}
    />
  `;
}

export function Actions({ session }) {
  const name = `${session.project}: ${cut(session.text || session.title || session.session_id, 100)}`;
  const actions = [
    ["Copy command", "y", "for", () => copy(session.resume, nameOf(session))],
    ["Snooze", "s", "", () => { snoozing.value = session; }],
    ["Dismiss", "e", "", () => dismiss(session)],
  ];
  return html`
    <span class="actions">
      ${actions.map(
        ([text, key, more, act]) => html`
          <button type="button" class="quiet" key=${key} onClick=${act}
            title=${key === "y" ? session.resume : null}>
            ${text} <kbd aria-hidden="true">${key}</kbd><span class="unseen"> ${more} ${name}</span>
          </button>
        `,
      )}
    </span>
  `;
}

export function ShowAgain({ session }) {
  const word = new Date(session.hidden_until).getFullYear() > 9000 ? "Dismissed" : "Snoozed";
  return html`
    <span class="actions">
      <span class="note">${word} ${hiddenText(session.hidden_until)}</span>
      <button type="button" class="quiet" onClick=${() => showAgain(session)}>
        Show again<span class="unseen"> ${session.project}: ${cut(session.text, 100)}</span>
      </button>
    </span>
  `;
}

function toggle(name) {
  const next = new Set(unfolded.value);
  if (!next.delete(name)) next.add(name);
  unfolded.value = next;
}

// The other projects, the latest first. Hundreds of them are a list that folds.
function Recent({ found, projects }) {
  const recent = projects
    .filter((project) => !groupOf(project))
    .sort((one, other) => (String(one.at) < String(other.at) ? 1 : -1));
  const isShown = ({ sessions }) => !sessions.length;
  const left = found.quiet_projects - found.projects.filter(isShown).length;
  if (!recent.length) return null;
  const more = () => {
    quiet.value += MORE;
    refreshRoster();
  };
  return html`
    <${Section} id="recent" title="Recent">
      ${recent.map((project) => html`<${ProjectRow} key=${project.project_id} project=${project} />`)}
      ${
        left > 0 &&
        html`<li class="fold"><button type="button" class="quiet" id="more-projects" onClick=${more}>
          Show ${Math.min(left, MORE)} more of ${left} quiet projects
        </button></li>`
      }
    <//>
  `;
}

// What was dismissed or snoozed, at the very end.
function Hidden({ sessions }) {
  const isUnfolded = unfolded.value.has("hidden");
  return html`
    <${Section} id="hidden" title="Hidden" count=${sessions.length}>
      ${
        isUnfolded
          ? sessions.map(
              (session) => html`<${SessionRow} key=${session.session_id} session=${session}
                project=${session} />`,
            )
          : html`<li class="fold"><button type="button" class="quiet" onClick=${() => toggle("hidden")}>
              Show what is dismissed or snoozed</button></li>`
      }
    <//>
  `;
}

function ProjectRow({ project }) {
  const isUnfolded = unfolded.value.has(project.project_id);
  const { sessions } = project;
  const to = project.briefing_id
    ? link("briefing", project.briefing_id)
    : link("project", project.project_id);
  return html`
    <${Row} id=${project.project_id} to=${to} name=${project.project}
      nameTo=${link("project", project.project_id)}
      data-session=${project.session_id}
      tag=${html`<${Tag} value=${project.status ?? ""} text=${project.status ? undefined : "no turn yet"} />`}
      text=${project.summary} at=${project.at}
      more=${
        sessions.length > 1 || sessions.some((one) => one.machine)
          ? html`
              ${[...new Set(sessions.map((one) => one.machine))].map(
                (name) => html`<${Machine} key=${name} name=${name} />`,
              )}
              ${
                sessions.length > 1 &&
                html`<button type="button" class="quiet" aria-expanded=${isUnfolded}
                  onClick=${() => toggle(project.project_id)}>
                  ${isUnfolded ? "Hide" : "Show"} ${plural(sessions.length, "open session")}
                </button>`
              }
            `
          : null
      } />
    ${
      isUnfolded
        ? sessions.map(
            (session) => html`<${SessionRow} key=${session.session_id} session=${session}
              project=${project} isFirst=${false} />`,
          )
        : null
    }
  `;
}
