// An event's address leads to what the event is about; one that is about nothing else is shown.

import { useData } from "../data.js";
import { html, useEffect } from "../html.js";
import { Facts, Link, Machine, Missing, Problem, Tag, Waiting } from "../parts.js";
import { link, open, route } from "../router.js";
import { Time } from "../time.js";
import { words } from "../words.js";

export function Event() {
  const number = Number(route.value.which);
  const isNumber = Number.isSafeInteger(number) && number > 0;
  const { data, error } = useData("/events", { after: isNumber ? number - 1 : 0, limit: 1 }, "once");
  const found = data?.events.find((one) => isNumber && one.event_id === number);
  const place = found && placeOf(found.event);
  useEffect(() => {
    if (place) open(place, { isReplaced: true });
  }, [place]);
  if (error) return html`<${Problem} error=${error} />`;
  if (!data || place) return html`<${Waiting} rows=${6} isPage />`;
  if (!found) return html`<${Missing} />`;
  const { type, line, project_id: projectId } = found.event;
  return html`
    <p class="crumbs"><${Link} to="/timeline">Timeline<//><span>event ${found.event_id}</span></p>
    <h1>${line || words(type)}</h1>
    <p class="meta"><${Tag} value=${type} /><${Time} at=${found.ts} /><${Machine} name=${found.machine} /></p>
    <${Facts} facts=${[
      ["project", projectId && html`<${Link} to=${link("project", projectId)}>${projectId}<//>`],
    ]} />
  `;
}

function placeOf({ briefing_id: briefing, job_id: job, data }) {
  if (job) return link("jobs", job);
  if (briefing) return link("briefing", briefing);
  return typeof data.sessionId === "string" ? link("session", data.sessionId) : null;
}
