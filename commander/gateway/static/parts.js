// Building blocks of the views.

import { copy } from "./actions.js";
import { html, useEffect, useLayoutEffect, useRef, useState } from "./html.js";
import { changeParameters, route } from "./router.js";
import { Time } from "./time.js";
import { toneOf, words } from "./words.js";

const ROW_CHARACTERS = 500; // more than its lines show; a screen reader says all that is there

export function Tag({ value, text = words(value), tone = toneOf(value) }) {
  return html`<span class=${`tag ${tone}`}>${text}</span>`;
}

export function Link({ to, children, ...more }) {
  return html`<a href=${to} data-link ...${more}>${children}</a>`;
}

export function Machine({ name }) {
  return name ? html`<span class="chip machine">@${name}</span>` : null;
}

// [value, text] of a filter. "-" is this machine, whose rows carry no name.
export function machineOptions(machines) {
  return [["", "All machines"], ["-", "This machine"], ...machines.map((one) => [one, `@${one}`])];
}

export function MachineChips({ machines, chosen }) {
  if (!machines.length) return null;
  return html`
    <div class="chips" role="group" aria-label="Machine">
      ${machineOptions(machines).map(
        ([name, text]) => html`
          <button type="button" class="chip" key=${name} aria-pressed=${String(name === chosen)}
            onClick=${() => changeParameters({ machine: name })}>${text}</button>
        `,
      )}
    </div>
  `;
}

// A row that leads somewhere: the whole of it can be clicked, its link is what the keys move to.
export function Row({ id, to, name, nameTo, tag, text, isCode, more, at, kind, children, ...rest }) {
  return html`
    <li class="row" data-key=${id} ...${rest}>
      ${
        nameTo
          ? html`<${Link} class="name" to=${nameTo}>${name}<//>`
          : html`<span class="name">${name}</span>`
      }
      <a class="main" href=${to} data-link data-row>
        <span class="tag-cell">${tag}</span>
        <span class=${`text${isCode ? " is-code" : ""}`}>${cut(text, ROW_CHARACTERS)}</span>
      </a>
      ${at ? html`<${Time} at=${at} kind=${kind} />` : html`<span class="when"></span>`}
      ${more || children ? html`<div class="second">${more}${children}</div>` : null}
    </li>
  `;
}

export function cut(text, most) {
  return typeof text === "string" && text.length > most ? `${text.slice(0, most)}…` : text;
}

export function Section({ id, title, count, children }) {
  return html`
    <section aria-labelledby=${`${id}-title`}>
      <h2 id=${`${id}-title`}>${title} ${count ? html`<span class="count">${count}</span>` : null}</h2>
      <ul class="rows" id=${id}>${children}</ul>
    </section>
  `;
}

// What to do where there is nothing yet.
export function Empty({ title, children }) {
  return html`<div class="empty"><p class="empty-title">${title}</p>${children}</div>`;
}

// What to do where nothing was captured at all.
export function Beginning({ title = "Nothing was captured yet." }) {
  return html`
    <${Empty} title=${title}>
      <ol class="steps">
        <li>Start Claude Code in any repository and finish a turn. It appears here by itself.</li>
        <li>Or take in what is there already: <${Command} text="fleet import --since 30d" /></li>
        <li>If nothing comes: <${Command} text="fleet doctor" /></li>
      </ol>
    <//>
  `;
}

// A part of a long list, and a button for the rest of it.
export function Folding({ items, most, children }) {
  const [isWhole, setWhole] = useState(false);
  const left = items.length - most;
  return html`
    ${(isWhole ? items : items.slice(0, most)).map(children)}
    ${
      left > 0 && !isWhole &&
      html`<li class="rest"><button type="button" class="quiet" onClick=${() => setWhole(true)}>
        Show ${left.toLocaleString("en")} more</button></li>`
    }
  `;
}

export function Command({ text }) {
  return html`
    <span class="command">
      <code>${text}</code>
      <button type="button" class="quiet" onClick=${() => copy(text)}>
        Copy<span class="unseen"> ${text}</span>
      </button>
    </span>
  `;
}

export function Missing() {
  return html`
    <h1>There is no such page</h1>
    <p>Nothing is at <code>${route.value.address}</code>.</p>
    <p><${Link} to="/">Go to the sessions that need you<//></p>
  `;
}

// Something that is gone, or an answer that did not come.
export function Problem({ error }) {
  if (error.status !== 404) return html`<p class="problem" role="alert">${error.message}</p>`;
  return html`
    <h1>Not found</h1>
    <p role="alert">Here is nothing any more: ${error.message}.</p>
    <p><${Link} to="/">Go to the sessions that need you<//></p>
  `;
}

// The space of a list that is not there yet, so that nothing moves when it comes.
export function Waiting({ rows = 6, isPage = false }) {
  const lines = Array.from({ length: rows }, (_, at) => html`<div class="bone" key=${at}></div>`);
  const head = html`<p class="crumbs">\u00a0</p><h1>\u00a0</h1><p class="meta"></p>`;
  return html`${isPage && head}<div class="bones" aria-busy="true" aria-label="Loading">${lines}</div>`;
}

// The one markup that is not built here: the server has rendered and sanitised it.
export function Prose({ text, ...more }) {
  const place = useRef(null);
  useEffect(() => {
    // A table that is wider than the page is scrolled by the keys too.
    for (const table of place.current.querySelectorAll("table")) {
      if (table.scrollWidth > table.clientWidth) table.tabIndex = 0;
    }
  }, [text]);
  return html`<div class="prose" ref=${place} dangerouslySetInnerHTML=${{ __html: text }} ...${more}></div>`;
}

// facts: [name, value] pairs; one without a value is left out.
export function Facts({ facts }) {
  const known = facts.filter(([, value]) => value || value === 0);
  if (!known.length) return null;
  return html`<dl class="facts">
    ${known.map(([name, value]) => html`<div key=${name}><dt>${name}</dt><dd>${value}</dd></div>`)}
  </dl>`;
}

// Words of a search, marked. What stands between quotation marks is one part.
export function Marked({ text, query }) {
  const parts = [...query.matchAll(/"([^"]*)"|([^\s"]+)/g)].map((one) => one[1] || one[2] || "");
  const escaped = parts.filter(Boolean).map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
  if (!escaped.length) return text;
  const pieces = String(text).split(new RegExp(`(${escaped.join("|")})`, "gi"));
  return pieces.map((piece, at) => (at % 2 ? html`<mark>${piece}</mark>` : piece));
}

export function Choice({ name, label, value, options, onChange }) {
  return html`
    <label class="choice">
      <span>${label}</span>
      <select name=${name} id=${`filter-${name}`} value=${value ?? ""}
        onChange=${(change) => onChange(change.target.value)}>
        ${options.map(([one, text]) => html`<option value=${one} key=${one}>${text}</option>`)}
      </select>
    </label>
  `;
}

// A project among hundreds: typed, with the browser's own list of what there is.
// Of a relay's machines; nothing where there is only this one.
export function MachineChoice({ machines, value }) {
  if (!machines.length && !value) return null;
  return html`
    <${Choice} name="machine" label="Machine" value=${value} options=${machineOptions(machines)}
      onChange=${(name) => changeParameters({ machine: name })} />
  `;
}

export function ProjectChoice({ projects, value, onChange, id = "filter-project", ...more }) {
  const named = new Map((projects ?? []).map((one) => [one.name, one.project_id]));
  const known = (projects ?? []).find((one) => one.project_id === value)?.name ?? value ?? "";
  const [text, setText] = useState(known);
  useEffect(() => setText(known), [known]);
  // A name may be typed before the list of them has come.
  useLayoutEffect(() => {
    if (!value && named.has(text)) onChange(named.get(text));
    else if (document.activeElement?.id !== id) setText(known);
  }, [projects]);
  const choose = (written) => {
    setText(written);
    if (!written) onChange("");
    else if (named.has(written)) onChange(named.get(written));
  };
  return html`
    <label class="choice">
      <span>Project</span>
      <input id=${id} type="search" list=${`${id}-list`} autocomplete="off"
        placeholder="All projects" value=${text} onInput=${(input) => choose(input.target.value)}
        onBlur=${() => projects && setText(known)} ...${more} />
      <datalist id=${`${id}-list`}>
        ${[...named.keys()].map((name) => html`<option value=${name} key=${name}></option>`)}
      </datalist>
    </label>
  `;
}

// A window over the page; the browser keeps the focus in it and closes it on Escape.
export function Dialog({ id, title, onClose, children }) {
  const dialog = useRef(null);
  useLayoutEffect(() => dialog.current.showModal(), []);
  const onClick = (click) => click.target === dialog.current && onClose();
  return html`
    <dialog id=${id} ref=${dialog} aria-labelledby=${`${id}-title`} onClose=${onClose}
      onClick=${onClick}>
      <h2 id=${`${id}-title`}>${title}</h2>
      ${children}
    </dialog>
  `;
}
