// One project: its sessions, its latest turns, and where it is.

import { roster, rosterProblem, sessionsOf, useData } from "../data.js";
import { html, useEffect } from "../html.js";
import { title } from "../notify.js";
import { Empty, Facts, Link, Problem, Section, Waiting } from "../parts.js";
import { route } from "../router.js";
import { Copied } from "./briefing.js";
import { SessionRow } from "./home.js";
import { Found } from "./search.js";
import { SessionLine } from "./sessions.js";

const TURNS = 12;
const SESSIONS = 8;
const USED_DAYS = 30;

export function Project() {
  const { which } = route.value;
  const { data, error } = useData(`/projects/${encodeURIComponent(which)}`);
  const filter = { project_id: which };
  const { data: turns } = useData("/briefings", { ...filter, limit: TURNS });
  const { data: sessions } = useData("/sessions", { ...filter, limit: SESSIONS });
  const { data: used } = useData(
    "/usage",
    { by: "project", ...filter, since: sinceDays(USED_DAYS) },
    "minute",
  );
  useEffect(() => {
    if (data) title.value = data.name;
  }, [data?.name]);
  if (error && !data) return html`<${Problem} error=${error} />`;
  const isKnown = roster.value || rosterProblem.value; // what waits
  if (!data || !turns || !sessions || !isKnown) return html`<${Waiting} rows=${8} isPage />`;
  const waiting = ["needs_you", "left_open"].flatMap(sessionsOf).filter((one) => one.project_id === which || one.project === data.name);
  const isWaiting = new Set(waiting.map((one) => one.session_id));
  const others = sessions.filter((one) => !isWaiting.has(one.session_id));
  const project = { project: data.name, project_id: which };
  return html`
    <p class="crumbs"><${Link} to="/">Home<//><span>project</span></p>
    <h1>${data.name}</h1>
    <p class="meta">
      <${Link} to=${`/timeline?project=${encodeURIComponent(which)}`}>Timeline<//>
      <${Link} to=${`/sessions?project=${encodeURIComponent(which)}`}>All sessions<//>
      <${Link} to=${`/search?project=${encodeURIComponent(which)}`}>All briefings<//>
      <${Link} to=${`/jobs?project=${encodeURIComponent(which)}`}>Jobs<//>
      ${data.web && html`<a href=${data.web} target="_blank" rel="noopener noreferrer">${data.web.replace("https://", "")}</a>`}
    </p>
    <div class="beside">
      <div>
        ${
          waiting.length > 0 &&
          html`<${Section} id="needs" title="Waits for you">
            ${waiting.map((one) => html`<${SessionRow} key=${one.session_id} session=${one} project=${project}
              label=${one.session_id.slice(0, 8)} />`)}
          <//>`
        }
        <${Section} id="turns" title="Latest turns">
          ${turns.map((one) => html`<${Found} key=${one.briefing_id} briefing=${one} hasProject=${false} />`)}
        <//>
        ${turns.length === 0 && html`<${Empty} title="No turn has ended here yet." />`}
        ${
          others.length > 0 &&
          html`<${Section} id="project-sessions" title="Sessions">
            ${others.map((one) => html`<${SessionLine} key=${one.session_id} session=${one} hasProject=${false} />`)}
          <//>`
        }
      </div>
      <aside aria-label="Facts">
        <${Facts} facts=${[
          ["folder", html`<${Copied} text=${data.repo_root} />`],
          ["remote", data.git_remote && html`<${Copied} text=${data.git_remote} />`],
          [`used in ${USED_DAYS} days`, used?.length > 0 && inWords(used[0])],
          ["status", data.status === "active" ? null : data.status],
          ["project id", html`<${Copied} text=${data.project_id} />`],
        ]} />
      </aside>
    </div>
  `;
}

// The beginning of a local day, so that the address of the answer stays the same for a day.
export function sinceDays(days) {
  const then = new Date();
  then.setHours(0, 0, 0, 0);
  then.setDate(then.getDate() - days + 1);
  return then.toISOString();
}

export function tokensOf(row) {
  return row.input_tokens + row.output_tokens + row.cache_read_tokens + row.cache_write_tokens;
}

export function short(number) {
  return number.toLocaleString("en", { notation: "compact", maximumFractionDigits: 1 });
}

export function dollars(usd) {
  if (usd > 0 && usd < 0.01) return "under $0.01";
  return usd.toLocaleString("en", { style: "currency", currency: "USD" });
}

function inWords(row) {
  const tokens = `${short(tokensOf(row))} tokens`;
  if (row.usd === null) return `${tokens}, no list price is known`;
  return `${tokens}, list price ${dollars(row.usd)}`;
}
