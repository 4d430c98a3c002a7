// One briefing: what the turn said, and beside it the facts.

import { copy } from "../actions.js";
import { useData } from "../data.js";
import { html, useEffect } from "../html.js";
import { shownSession } from "../keys.js";
import { title } from "../notify.js";
import { Facts, Folding, Link, Machine, Problem, Prose, Tag, Waiting } from "../parts.js";
import { link, route } from "../router.js";
import { Time } from "../time.js";
import { plural } from "../words.js";

const FILES_SHOWN = 30;
const ITEMS_SHOWN = 12; // of next steps and the like
const COMMIT_SHOWN = 8; // characters
const isHere = /^(127\.0\.0\.1|\[::1\]|localhost|.*\.localhost)$/.test(location.hostname);

export function Briefing() {
  const { which } = route.value;
  const { data, error } = useData(`/briefings/${encodeURIComponent(which)}`, { front_matter: "false" });
  const heading = data ? data.title || data.summary : "";
  useEffect(() => {
    if (heading) title.value = heading;
  }, [heading]);
  useEffect(() => {
    const session = data?.briefing.session_id;
    shownSession.value = session
      ? { session_id: session, project: data.project, resume: data.resume }
      : null;
    return () => {
      shownSession.value = null;
    };
  }, [data]);
  if (error && !data) return html`<${Problem} error=${error} />`;
  if (!data) return html`<${Waiting} rows=${10} isPage />`;
  const { briefing: record, html: text } = data;
  const isSaid = data.title && !plain(text).startsWith(plain(data.summary).slice(0, 60));
  return html`
    <p class="crumbs">
      <${Link} to=${link("project", record.project_id)}>${data.project}<//>
      ${
        record.session_id &&
        html`<${Link} to=${link("session", record.session_id)}>session ${record.session_id.slice(0, 8)}<//>`
      }
      <span>briefing ${record.briefing_id}</span>
    </p>
    <h1>${heading}</h1>
    <p class="meta">
      <${Tag} value=${record.status} />
      <${Time} at=${record.ended_at || record.created_at} />
      <${Machine} name=${record.machine} />
      ${
        data.resume &&
        html`<button type="button" id="resume" title=${data.resume}
          onClick=${() => copy(data.resume, data.project)}>Copy resume command <kbd aria-hidden="true">y</kbd></button>`
      }
      <span class="steps-between">
        ${data.before && html`<${Link} to=${link("briefing", data.before)} rel="prev">← turn before<//>`}
        ${data.after && html`<${Link} to=${link("briefing", data.after)} rel="next">turn after →<//>`}
      </span>
    </p>
    <div class="beside">
      <article class="card">
        ${data.question && html`<p class="question">${data.question}</p>`}
        ${isSaid && html`<p class="lead">${data.summary}</p>`}
        ${text.trim() && html`<${Prose} id="text" text=${text} />`}
        ${!text.trim() && !isSaid && html`<p class="lead" id="text">${data.summary}</p>`}
      </article>
      <aside aria-label="Facts">
        <${List} name="Blockers" items=${record.blockers} />
        <${List} name="Next steps" items=${record.next_steps} />
        <${Facts} facts=${factsOf(record, data)} />
        <${Files} name="file" files=${record.files_touched} places=${data.places} />
        <${Files} name="document" files=${extra(record)} places=${data.places} />
        <${List} name="Warnings" items=${data.warnings} />
      </aside>
    </div>
  `;
}

function plain(text) {
  return String(text).replace(/<[^>]*>/g, "").replace(/[*_`\s]+/g, " ").trim();
}

// The documents that are not among the files.
function extra(record) {
  return record.docs_touched.filter((file) => !record.files_touched.includes(file));
}

function factsOf(record, { usage, places }) {
  const risk = record.doc_drift_risk;
  const { base_commit: base, head_commit: head } = record;
  return [
    ["impact", record.impact_level],
    ["documents", risk && risk !== "none" && risk !== "low" && `${risk} risk of being stale`],
    ["branch", record.branch && html`<${Copied} text=${record.branch} />`],
    [
      "commit",
      head && html`<${Copied} text=${head} shown=${head.slice(0, COMMIT_SHOWN)} web=${places[head]?.web} />`,
    ],
    [
      "from",
      base && base !== head &&
        html`<${Copied} text=${base} shown=${base.slice(0, COMMIT_SHOWN)} web=${places[base]?.web} />`,
    ],
    ...Object.entries(usage),
  ];
}

export function Copied({ text, shown = text, web, path }) {
  return html`
    <span class="copied">
      <button type="button" class="quiet code" title=${`Copy ${text}`} aria-label=${`Copy ${shown}`}
        onClick=${() => copy(text)}>${shown}</button>
      ${path && isHere && html`<a href=${editorLink(path)} aria-label=${`edit ${shown} in VS Code`}>edit</a>`}
      ${web && html`<a href=${web} target="_blank" rel="noopener noreferrer"
        aria-label=${`web page of ${shown}`}>web</a>`}
    </span>
  `;
}

function editorLink(path) {
  return `vscode://file${path.split("/").map(encodeURIComponent).join("/")}`;
}

export function Files({ name, files, places }) {
  if (!files.length) return null;
  return html`
    <h2>${plural(files.length, name)}</h2>
    <ul class="files">
      <${Folding} items=${files} most=${FILES_SHOWN}>
        ${(file) => html`<li key=${file}>
          <${Copied} text=${file} web=${places[file]?.web} path=${places[file]?.path} /></li>`}
      <//>
    </ul>
  `;
}

function List({ name, items }) {
  if (!items?.length) return null;
  return html`<h2>${name}</h2>
    <ul class="items">
      <${Folding} items=${items} most=${ITEMS_SHOWN}>${(item, at) => html`<li key=${at}>${item}</li>`}<//>
    </ul>`;
}
