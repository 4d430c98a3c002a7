// What a project used, in words. Asked again after a minute, not at each event.

import { get } from "./state.js";

const DAYS = 30;
const ASKED_AGAIN_MS = 60000;
const asked = new Map(); // {project: {at, text}}

export async function usedBy(project) {
  const known = asked.get(project);
  if (known && Date.now() - known.at < ASKED_AGAIN_MS) return known.text;
  const since = new Date(Date.now() - DAYS * 86400000).toISOString();
  const parameters = { by: "project", project_id: project, since };
  // The page is worth more than the figure.
  const rows = await get("/usage", parameters).catch(() => []);
  const text = rows.length ? `Used in ${DAYS} days: ${inWords(rows[0])}` : "";
  asked.set(project, { at: Date.now(), text });
  return text;
}

function inWords(row) {
  const { input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, usd } = row;
  const tokens = input_tokens + output_tokens + cache_read_tokens + cache_write_tokens;
  const short = tokens.toLocaleString("en", { notation: "compact", maximumFractionDigits: 1 });
  if (usd === null) return `${short} tokens, no list price is known`;
  const price = usd.toLocaleString("en", { style: "currency", currency: "USD" });
  return `${short} tokens, list price ${price}`;
}
