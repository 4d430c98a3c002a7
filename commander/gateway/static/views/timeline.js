// What happened, by day, as far back as the database goes. Filters are in the address and in the
// server's SQL; a turn with all its events is one row.

import { addressOf, get, roster, useData } from "../data.js";
import { html, useEffect, useState } from "../html.js";
import {
  Beginning, Choice, Empty, Machine, MachineChoice, Problem, ProjectChoice, Row, Tag, Waiting,
} from "../parts.js";
import { changeParameters, link, route } from "../router.js";
import { dayOf } from "../time.js";
import { EVENT_TYPES, LEVELS, words } from "../words.js";

const PAGE = 50;

export function Timeline() {
  const { project, type, level, machine, until } = route.value.parameters;
  const filters = {
    project_id: project, type, level, machine, until: until && endOf(until), limit: PAGE,
  };
  const { data: projects } = useData("/projects", {}, "once");
  const { data, error, isOther } = useData("/timeline", filters);
  const address = addressOf("/timeline", filters);
  const earlier = useEarlier(address, isOther ? null : data);
  const rows = merged(data?.rows ?? [], earlier.rows);
  const isFiltered = project || type || level || machine || until;
  return html`
    <h1>Timeline</h1>
    <div class="filters" role="group" aria-label="Filters">
      <${Choice} name="type" label="What" value=${type}
        options=${[["", "Everything"], ...Object.entries(EVENT_TYPES).map(([one, text]) => [one, capital(text)])]}
        onChange=${(value) => changeParameters({ type: value })} />
      <${ProjectChoice} projects=${projects} value=${project}
        onChange=${(value) => changeParameters({ project: value })} />
      <${Choice} name="level" label="Level" value=${level}
        options=${[["", "All levels"], ...LEVELS.map((one) => [one, capital(one)])]}
        onChange=${(value) => changeParameters({ level: value })} />
      <${MachineChoice} machines=${roster.value?.machines ?? []} value=${machine} />
      <label class="choice"><span>Until</span>
        <input type="date" id="filter-until" value=${until ?? ""}
          onChange=${(change) => changeParameters({ until: change.target.value })} /></label>
      ${
        isFiltered &&
        html`<button type="button" class="quiet" id="show-all"
          onClick=${() => changeParameters({
            project: "", type: "", level: "", machine: "", until: "",
          })}>
          Show everything</button>`
      }
    </div>
    ${error && html`<${Problem} error=${error} />`}
    ${!data && !error && html`<${Waiting} rows=${10} />`}
    <div id="events">
      ${byDay(rows).map(
        ([day, own]) => html`
          <section key=${day} aria-label=${day}>
            <h2 class="day">${day}</h2>
            <ul class="rows">${own.map((row) => html`<${Happening} key=${row.event_id} row=${row} />`)}</ul>
          </section>
        `,
      )}
      ${
        data && !rows.length
          ? isFiltered
            ? html`<${Empty} title="Nothing of this kind has happened."><p>Choose fewer filters.</p><//>`
            : html`<${Beginning} title="Nothing has happened yet." />`
          : null
      }
    </div>
    <${More} earlier=${earlier} hasRows=${rows.length > 0} />
  `;
}

// The pages before the first one. The first is asked for again when something happens, these are not:
// what is there stays as it is.
function useEarlier(address, first) {
  const [found, setFound] = useState({});
  const own = found.address === address ? found : { address, rows: [], isLoading: false };
  const next = own.next === undefined ? first?.next : own.next;
  const load = async () => {
    if (!next || own.isLoading) return;
    setFound({ ...own, isLoading: true });
    const page = await get(`${address}&before=${next}`).catch(() => null);
    const change = (before) => {
      if (before.address !== address) return before; // another filter was chosen meanwhile
      if (!page) return { ...before, isLoading: false };
      // The rows of the first page stay too when that moves on.
      const known = before.rows.length ? before.rows : first.rows;
      return { address, rows: [...known, ...page.rows], next: page.next, isLoading: false };
    };
    setFound(change);
  };
  return { rows: own.rows, next, load, isLoading: own.isLoading };
}

// A turn that has another event since is in the first page, and not where it was.
function merged(first, earlier) {
  const seen = new Set();
  return [...first, ...earlier].filter((row) => {
    const key = row.briefing_id ? `b${row.briefing_id}` : row.event_id;
    return !seen.has(key) && seen.add(key);
  });
}

function More({ earlier, hasRows }) {
  const [place, setPlace] = useState(null);
  useEffect(() => {
    if (!place) return undefined;
    const watch = new IntersectionObserver((seen) => seen[0].isIntersecting && earlier.load(), {
      rootMargin: "600px",
    });
    watch.observe(place);
    return () => watch.disconnect();
  }, [place, earlier.next, earlier.isLoading]);
  if (earlier.next) {
    return html`<p class="more" ref=${setPlace}>
      <button type="button" class="quiet" id="earlier" onClick=${earlier.load}>Show what was before</button>
    </p>`;
  }
  return hasRows && html`<p class="more note" id="beginning">This is the beginning.</p>`;
}

function byDay(rows) {
  const days = new Map();
  for (const row of rows) {
    const day = dayOf(row.ts);
    days.set(day, [...(days.get(day) ?? []), row]);
  }
  return [...days];
}

export function Happening({ row }) {
  const status = row.type === "doc_drift_warning" ? row.type : row.status || row.type;
  const label = row.type === "job_completed" ? `job ${words(row.status)}` : words(status);
  return html`
    <${Row} id=${row.event_id} to=${addressOfRow(row)} data-session=${row.session_id}
      name=${row.project ?? "–"} nameTo=${row.project_id ? link("project", row.project_id) : null}
      tag=${html`<${Tag} value=${status} text=${label} />`} text=${row.line || row.title || words(row.type)}
      at=${row.ts} kind="clock"
      more=${
        row.also.length || row.title || row.machine
          ? html`
              <${Machine} name=${row.machine} />
              ${row.title && row.line && html`<span class="asked">${row.title}</span>`}
              ${row.also.map(
                (one) => html`<span class="also" key=${one.event_id}>
                  <${Tag} value=${one.type} /> ${one.line}</span>`,
              )}
            `
          : null
      } />
  `;
}

function addressOfRow(row) {
  if (row.job_id) return link("jobs", row.job_id);
  if (row.briefing_id) return link("briefing", row.briefing_id);
  if (row.session_id) return link("session", row.session_id);
  return row.project_id ? link("project", row.project_id) : "/timeline";
}

// The end of a local day, for the server.
function endOf(day) {
  const then = new Date(`${day}T23:59:59.999`);
  return Number.isNaN(then.getTime()) ? "" : then.toISOString();
}

function capital(text) {
  return text[0].toUpperCase() + text.slice(1);
}
