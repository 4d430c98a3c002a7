// One briefing, with its facts and its text.

import { definitions, h, link, list, tag, timelineOf, when } from "../page.js";
import { get, nameOf } from "../state.js";

const FILES_SHOWN = 60;

export const briefing = {
  title: "Briefing",

  async draw({ which }) {
    const page = await get(`/briefings/${Number(which)}`);
    const { briefing: record, title, summary, html, usage } = page;
    const text = h("div", { class: "card prose", id: "text" });
    text.innerHTML = html; // the one markup that is not built here: the server has sanitised it
    return [
      h("h1", {}, summary),
      h(
        "p",
        { class: "meta" },
        tag(record.status),
        link(timelineOf(record.project_id), nameOf(record.project_id)),
        when(record.ended_at || record.created_at),
        h("span", {}, `briefing ${record.briefing_id}`),
      ),
      definitions([["title", title], ...factsOf(record), ...Object.entries(usage)]),
      text,
    ];
  },
};

function factsOf(record) {
  const risk = record.doc_drift_risk;
  const base = (record.base_commit || "").slice(0, 8);
  const head = record.head_commit?.slice(0, 8);
  const files = record.files_touched.slice(0, FILES_SHOWN).map((file) => h("code", {}, file));
  return [
    ["blockers", list(record.blockers)],
    ["next steps", list(record.next_steps)],
    ["impact", record.impact_level],
    ["documents", risk && `${risk} risk of being stale`],
    ["branch", record.branch],
    ["commits", head && `${base}…${head}`],
    ["session", record.session_id && h("code", {}, `claude --resume ${record.session_id}`)],
    ["files", files.length ? files : null],
  ];
}
