// Tokens and their list price by day and project: a plot, and the same figures as a table.

import { roster, useData } from "../data.js";
import { html, useState } from "../html.js";
import { Choice, Empty, Link, Problem } from "../parts.js";
import { Plot } from "../plot.js";
import { changeParameters, link, route } from "../router.js";
import { dollars, short, sinceDays, tokensOf } from "./project.js";

const DAYS = [["7", "7 days"], ["30", "30 days"], ["90", "90 days"], ["365", "a year"]];
const MEASURES = [["usd", "List price"], ["tokens", "Tokens"]];
const OTHERS = "other";

export function Usage() {
  const { days = "30", measure = "usd" } = route.value.parameters;
  const count = Math.min(Math.max(Number(days) || 30, 1), 3660);
  const { data, error } = useData("/usage/days", { since: sinceDays(count) }, "minute");
  const { data: models } = useData("/usage", { by: "model", since: sinceDays(count) }, "minute");
  const valueOf = measure === "usd" ? (row) => row.usd ?? 0 : tokensOf;
  const text = measure === "usd" ? dollars : short;
  const series = seriesOf(data ?? [], valueOf);
  const total = series.reduce((sum, one) => sum + one.value, 0);
  return html`
    <h1>Usage</h1>
    <div class="filters" role="group" aria-label="Filters">
      <${Choice} name="days" label="Time" value=${days} options=${DAYS}
        onChange=${(value) => changeParameters({ days: value })} />
      <${Choice} name="measure" label="Measure" value=${measure} options=${MEASURES}
        onChange=${(value) => changeParameters({ measure: value })} />
    </div>
    ${error && html`<${Problem} error=${error} />`}
    ${!data && !error && html`<div class="plot-place" aria-busy="true" aria-label="Loading"></div>`}
    ${
      data && !data.length
        ? html`<${Empty} title=${`Nothing was used in ${DAYS.find(([one]) => one === days)?.[1] ?? `${count} days`}.`}>
            <p>Figures come from the transcripts of finished turns. Choose a longer time.</p>
          <//>`
        : null
    }
    ${
      data?.length > 0 &&
      html`
        <div class="card">
          <p class="total"><strong>${text(total)}</strong> in ${count} days${measure === "usd" ? ", at list prices" : " of tokens"}${roster.value?.usage_today ? html`<span class="note"> · today: ${roster.value.usage_today}</span>` : ""}</p>
          <${Plot} days=${daysOf(count)} series=${series} text=${text} />
        </div>
        <div class="tables">
          <${Table} id="by-project" caption="By project" rows=${series.map((one) => ({
            key: one.key,
            name: one.project_id ? html`<${Link} to=${link("project", one.project_id)}>${one.name}<//>` : one.name,
            at: one.at,
            ...one.sum,
          }))} />
          <${Table} id="by-model" caption="By model" rows=${(models ?? []).map((row) => ({ ...row, name: row.key }))} />
          <${DaysTable} rows=${data} />
        </div>
      `
    }
  `;
}

// The projects in the order of their value, the rest last: {key, name, value, sum, byDay}.
function seriesOf(rows, valueOf) {
  const found = new Map();
  for (const row of rows) {
    const key = row.project_id ?? OTHERS;
    if (!found.has(key)) {
      found.set(key, { key, name: row.project, project_id: row.project_id, value: 0, byDay: new Map(), sum: noUse() });
    }
    const one = found.get(key);
    one.value += valueOf(row);
    one.byDay.set(row.day, (one.byDay.get(row.day) ?? 0) + valueOf(row));
    add(one.sum, row);
  }
  const isRest = (one) => one.key === OTHERS;
  const sorted = [...found.values()].sort((one, other) => isRest(one) - isRest(other) || other.value - one.value);
  return sorted.map((one, at) => ({ ...one, at: isRest(one) ? "rest" : at }));
}

function noUse() {
  return { input_tokens: 0, output_tokens: 0, cache_read_tokens: 0, cache_write_tokens: 0, usd: null };
}

function add(sum, row) {
  for (const name of Object.keys(sum)) {
    if (row[name] !== null) sum[name] = (sum[name] ?? 0) + row[name];
  }
}

function daysOf(count) {
  const days = [];
  for (let back = count - 1; back >= 0; back -= 1) {
    const day = new Date();
    day.setHours(12, 0, 0, 0);
    day.setDate(day.getDate() - back);
    days.push(`${day.getFullYear()}-${two(day.getMonth() + 1)}-${two(day.getDate())}`);
  }
  return days;
}

function two(number) {
  return String(number).padStart(2, "0");
}

function Table({ id, caption, rows }) {
  return html`
    <table id=${id}>
      <caption>${caption}</caption>
      <thead><tr>
        <th scope="col">${caption.replace("By ", "")}</th>
        <th scope="col" class="number">input</th><th scope="col" class="number">output</th>
        <th scope="col" class="number">cache</th><th scope="col" class="number">list price</th>
      </tr></thead>
      <tbody>
        ${rows.map(
          (row) => html`
            <tr key=${row.key}>
              <th scope="row">${row.at !== undefined && html`<span class=${`swatch s-${row.at}`} aria-hidden="true"></span>`}${row.name}</th>
              <td class="number">${short(row.input_tokens)}</td>
              <td class="number">${short(row.output_tokens)}</td>
              <td class="number">${short(row.cache_read_tokens + row.cache_write_tokens)}</td>
              <td class="number">${row.usd === null ? "unknown" : dollars(row.usd)}</td>
            </tr>
          `,
        )}
      </tbody>
    </table>
  `;
}

// The plot in figures, for who cannot see it or wants to copy them.
function DaysTable({ rows }) {
  const [isOpen, setOpen] = useState(false);
  const days = new Map();
  for (const row of rows) {
    if (!days.has(row.day)) days.set(row.day, { key: row.day, name: row.day, ...noUse() });
    add(days.get(row.day), row);
  }
  return html`
    <details onToggle=${(toggle) => setOpen(toggle.target.open)}>
      <summary>By day</summary>
      ${isOpen && html`<${Table} id="by-day" caption="By day" rows=${[...days.values()].reverse()} />`}
    </details>
  `;
}
