// All sessions, and one session with its turns.

import { copy } from "../actions.js";
import { addressOf, get, roster, rosterProblem, sessionsOf, useData } from "../data.js";
import { html, useEffect, useState } from "../html.js";
import { shownSession } from "../keys.js";
import { title } from "../notify.js";
import {
  Beginning, Choice, Empty, Facts, Link, Machine, MachineChoice, Problem, ProjectChoice, Row, Tag, Waiting,
} from "../parts.js";
import { changeParameters, link, route } from "../router.js";
import { clock, duration, Time } from "../time.js";
import { plural } from "../words.js";
import { Copied, Files } from "./briefing.js";
import { Actions, ShowAgain } from "./home.js";

const PAGE = 50;
const STATES = [
  ["", "All sessions"],
  ["needs_you", "Needs you"],
  ["left_open", "Left open"],
  ["live", "Not ended"],
  ["working", "Working"],
  ["failed", "Failed"],
  ["ended", "Ended"],
];
const ALL_TURNS = 100000;

export function Sessions() {
  const { project, state, machine } = route.value.parameters;
  const { data: projects } = useData("/projects", {}, "once");
  const filters = { project_id: project, state, machine, limit: PAGE };
  const { data, error } = useData("/sessions", filters);
  const address = addressOf("/sessions", filters);
  const [earlier, setEarlier] = useState({ address, rows: [], isOver: false });
  const more = earlier.address === address ? earlier : { address, rows: [], isOver: false };
  const known = new Set((data ?? []).map((one) => one.session_id));
  const rows = [...(data ?? []), ...more.rows.filter((one) => !known.has(one.session_id))];
  const load = async () => {
    const last = rows.at(-1);
    const page = await get(
      addressOf("/sessions", { ...filters, before: last.last_at, before_id: last.session_id }),
    ).catch(() => null);
    if (page) setEarlier({ address, rows: [...more.rows, ...page], isOver: page.length < PAGE });
  };
  return html`
    <h1>Sessions</h1>
    <div class="filters" role="group" aria-label="Filters">
      <${Choice} name="state" label="State" value=${state} options=${STATES}
        onChange=${(value) => changeParameters({ state: value })} />
      <${ProjectChoice} projects=${projects} value=${project}
        onChange=${(value) => changeParameters({ project: value })} />
      <${MachineChoice} machines=${roster.value?.machines ?? []} value=${machine} />
    </div>
    ${error && html`<${Problem} error=${error} />`}
    ${!data && !error && html`<${Waiting} rows=${10} />`}
    ${
      data &&
      html`<ul class="rows" id="sessions" aria-label="Sessions">
        ${rows.map((session) => html`<${SessionLine} key=${session.session_id} session=${session} />`)}
      </ul>`
    }
    ${
      data && !rows.length
        ? state || project || machine
          ? html`<${Empty} title="There is no such session."><p>Choose fewer filters.</p><//>`
          : html`<${Beginning} title="There are no sessions yet." />`
        : null
    }
    ${
      rows.length >= PAGE && !more.isOver
        ? html`<p class="more"><button type="button" class="quiet" onClick=${load}>Show earlier sessions</button></p>`
        : null
    }
  `;
}

export function SessionLine({ session, hasProject = true }) {
  const { session_id: id, state, text, title: asked, turns } = session;
  return html`
    <${Row} id=${id} to=${link("session", id)} data-session=${id}
      name=${hasProject ? session.project : id.slice(0, 8)}
      nameTo=${hasProject ? link("project", session.project_id) : null}
      tag=${html`<${Tag} value=${state} />`}
      text=${asked || text || `session ${id.slice(0, 8)}`}
      at=${session.last_at}
      more=${html`
        <${Machine} name=${session.machine} />
        <span class="asked">${[
          turns ? plural(turns, "turn") : "no turn has ended yet",
          session.branch,
          session.is_live ? null : "ended",
          session.attention && asked && text !== asked ? text : null,
        ].filter(Boolean).join(" · ")}</span>
      `} />
  `;
}

export function Session() {
  const { which } = route.value;
  const [turns, setTurns] = useState(null); // as many as the server gives by itself
  const { data, error } = useData(`/sessions/${encodeURIComponent(which)}`, { turns });
  const heading = data ? data.title || `Session ${data.session_id.slice(0, 8)}` : "";
  useEffect(() => {
    if (heading) title.value = heading;
  }, [heading]);
  useEffect(() => {
    shownSession.value = data ?? null;
    return () => {
      shownSession.value = null;
    };
  }, [data]);
  if (error && !data) return html`<${Problem} error=${error} />`;
  const isKnown = roster.value || rosterProblem.value; // whether it waits
  if (!data || !isKnown) return html`<${Waiting} rows=${8} isPage />`;
  const waiting = [...sessionsOf("needs_you"), ...sessionsOf("left_open")].find(
    (one) => one.session_id === data.session_id,
  );
  const isPermission = waiting?.state === "waiting_for_permission";
  return html`
    <p class="crumbs">
      <${Link} to=${link("project", data.project_id)}>${data.project}<//>
      <span>session ${data.session_id.slice(0, 8)}</span>
    </p>
    <h1>${heading}</h1>
    <p class="meta">
      <${Tag} value=${waiting?.state ?? data.state} />
      <${Time} at=${data.since} kind=${data.is_live ? "for" : "ago"} />
      ${!data.is_live && html`<span>ended</span>`}
      <${Machine} name=${data.machine} />
      ${
        !waiting && data.resume &&
        html`<button type="button" id="resume" title=${data.resume}
          onClick=${() => copy(data.resume, data.project)}>Copy resume command <kbd aria-hidden="true">y</kbd></button>`
      }
    </p>
    ${
      waiting &&
      html`<div class="card waits" data-session=${data.session_id}>
        <p class=${`question${isPermission ? " is-code" : ""}`}>${waiting.text || "It waits for you."}</p>
        <${Actions} session=${waiting} />
      </div>`
    }
    ${isHidden(data) && html`<div class="card hidden"><${ShowAgain} session=${data} /></div>`}
    <div class="beside">
      <section aria-labelledby="turns-title">
        <h2 id="turns-title">${plural(data.turns_in_all, "turn")}${data.turns_in_all > 1 ? ", the newest first" : ""}</h2>
        ${
          data.turns.length
            ? html`<ul class="rows turns" id="turns">
                ${[...data.turns].reverse().map((turn) => html`<${Turn} key=${turn.briefing_id} turn=${turn} />`)}
              </ul>`
            : html`<${Empty} title="No turn has ended yet."><p>It appears here when it does.</p><//>`
        }
        ${
          data.earlier_turns > 0 &&
          html`<p class="more"><button type="button" class="quiet" id="earlier" onClick=${() => setTurns(ALL_TURNS)}>
            Show ${plural(data.earlier_turns, "earlier turn")}</button></p>`
        }
      </section>
      <aside aria-label="Facts">
        <${Facts} facts=${[
          ["open", data.where],
          ["first seen", html`<${Time} at=${data.first_at} />`],
          ["last active", html`<${Time} at=${data.last_at} />`],
          ["branch", data.branch && html`<${Copied} text=${data.branch} />`],
          ["folder", data.folder && html`<${Copied} text=${data.folder} />`],
          ["session id", html`<${Copied} text=${data.session_id} />`],
          ["usage", data.usage],
        ]} />
        <${Files} name="file" files=${data.files} places=${data.places} />
      </aside>
    </div>
  `;
}

function isHidden({ hidden_until: until }) {
  return until && until > new Date(clock.value).toISOString();
}

function Turn({ turn }) {
  const { title: asked, summary, question } = turn;
  const took = turn.started_at && duration(turn.started_at, turn.ended_at);
  const files = turn.files_touched.length;
  return html`
    <${Row} id=${turn.briefing_id} to=${link("briefing", turn.briefing_id)}
      name=${`#${turn.briefing_id}`}
      tag=${html`<${Tag} value=${turn.is_provisional ? "working" : turn.status} />`}
      text=${asked || summary} at=${turn.ended_at}
      more=${html`
        ${asked && html`<span class="said">${question || summary}</span>`}
        <span class="asked">${[files && plural(files, "file"), took, turn.usage].filter(Boolean).join(" · ")}</span>
      `} />
  `;
}
