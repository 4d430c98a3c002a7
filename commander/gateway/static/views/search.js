// Briefings that hold every word, best match first; without words, the latest. And projects whose
// name begins so, which is the shortest way to a project.

import { roster, useData } from "../data.js";
import { html, useEffect } from "../html.js";
import { title } from "../notify.js";
import {
  Beginning, Choice, Empty, Machine, MachineChoice, Marked, Problem, ProjectChoice, Row, Tag, Waiting,
} from "../parts.js";
import { changeParameters, link, route } from "../router.js";
import { STATUSES, words } from "../words.js";

const DAY_MS = 86400000;
const TIMES = [
  ["", "Any time"],
  ["1", "Last day"],
  ["7", "Last week"],
  ["30", "Last month"],
  ["365", "Last year"],
];
const NAMES = 5; // projects that are named

export function Search() {
  const { q = "", project, status, days, machine } = route.value.parameters;
  const query = q.trim();
  const { data: projects } = useData("/projects", {}, "once");
  const filters = { project_id: project, status, since: since(days), machine, limit: 50 };
  const path = query ? "/briefings/search" : "/briefings";
  const { data, error } = useData(path, query ? { q, ...filters } : filters);
  const heading = query ? `Briefings with “${query}”` : "Latest briefings";
  useEffect(() => {
    title.value = heading;
  }, [heading]);
  const rows = data ?? [];
  const isFiltered = project || status || days || machine;
  const named = query ? matching(projects ?? [], query) : [];
  return html`
    <h1>${heading}</h1>
    <div class="filters" role="group" aria-label="Filters">
      <${Choice} name="status" label="Status" value=${status}
        options=${[["", "Any status"], ...STATUSES.map((one) => [one, words(one)])]}
        onChange=${(value) => changeParameters({ status: value })} />
      <${ProjectChoice} projects=${projects} value=${project}
        onChange=${(value) => changeParameters({ project: value })} />
      <${Choice} name="days" label="When" value=${days} options=${TIMES}
        onChange=${(value) => changeParameters({ days: value })} />
      <${MachineChoice} machines=${roster.value?.machines ?? []} value=${machine} />
    </div>
    ${error && html`<${Problem} error=${error} />`}
    ${!data && !error && html`<${Waiting} rows=${8} />`}
    ${
      data && named.length > 0 &&
      html`<ul class="rows" id="found-projects" aria-label="Projects">
        ${named.map(
          (one) => html`<${Row} key=${one.project_id} id=${one.project_id} name=${one.name}
            to=${link("project", one.project_id)} tag=${html`<${Tag} value="project" />`}
            text=${one.repo_root} />`,
        )}
      </ul>`
    }
    ${
      data &&
      html`<ul class="rows" id="found" aria-label="Briefings">
        ${rows.map((briefing) => html`<${Found} key=${briefing.briefing_id} briefing=${briefing} query=${query} />`)}
      </ul>`
    }
    ${
      data && !rows.length && (query || isFiltered)
        ? html`<${Empty} title=${query ? "No briefing has all of these words." : "There is no such briefing."}>
            <p>${
              isFiltered
                ? "Choose fewer filters."
                : "Try fewer or shorter words; the beginning of a word is enough."
            }</p>
          <//>`
        : null
    }
    ${
      data && !rows.length && !query && !isFiltered
        ? html`<${Beginning} title="There are no briefings yet." />`
        : null
    }
  `;
}

// On a page of its project, the briefing's number stands where the project's name would be.
export function Found({ briefing, query = "", hasProject = true }) {
  const { summary, excerpt, title: asked } = briefing;
  const text = !query || holds(summary, query) ? summary : excerpt || summary;
  return html`
    <${Row} id=${briefing.briefing_id} to=${link("briefing", briefing.briefing_id)}
      data-session=${briefing.session_id}
      name=${hasProject ? briefing.project : `#${briefing.briefing_id}`}
      nameTo=${hasProject ? link("project", briefing.project_id) : null}
      tag=${html`<${Tag} value=${briefing.status} />`}
      text=${html`<${Marked} text=${text} query=${query} />`}
      at=${briefing.ended_at || briefing.created_at}
      more=${
        asked || briefing.machine
          ? html`<${Machine} name=${briefing.machine} />
              <span class="asked"><${Marked} text=${asked ?? ""} query=${query} /></span>`
          : null
      } />
  `;
}

function holds(text, query) {
  const lower = String(text).toLowerCase();
  return query.toLowerCase().replaceAll('"', "").split(/\s+/).every((word) => lower.includes(word));
}

function matching(projects, query) {
  const lower = query.toLowerCase();
  return projects.filter((one) => one.name.toLowerCase().includes(lower)).slice(0, NAMES);
}

// Rounded to the hour, so that the address of the answer does not change with every moment.
function since(days) {
  if (!Number(days)) return "";
  return new Date(Math.floor((Date.now() - days * DAY_MS) / 3600000) * 3600000).toISOString();
}
