// The words that the page uses for values of the database, and the colour of each.

// The same words as STATE_WORDS in fleet_lib/lines.py.
const STATE_WORDS = {
  waiting_for_permission: "needs permission",
  waiting_for_input: "asks you",
  completed: "done",
};
const OTHER_WORDS = {
  briefing_added: "briefing",
  session_started: "started",
  session_blocked: "needs you",
  doc_drift_warning: "stale documents",
  file_overlap: "same file",
  colleague_news: "colleague",
};
export const EVENT_TYPES = {
  briefing_added: "turns",
  session_started: "started sessions",
  session_blocked: "sessions that need you",
  doc_drift_warning: "stale documents",
  file_overlap: "files of several sessions",
  colleague_news: "what colleagues did",
  skill_updated: "skills",
  job_completed: "jobs",
  error: "errors",
};
export const LEVELS = ["alert", "highlight", "mention", "silent"];
export const STATUSES = ["completed", "waiting_for_input", "blocked", "failed"];

const TONES = {
  bad: ["blocked", "failed", "error"],
  wait: ["waiting_for_input", "waiting_for_permission", "session_blocked", "file_overlap", "doc_drift_warning", "queued"],
  busy: ["working", "running"],
  good: ["completed"],
};

export function words(value) {
  const name = String(value ?? "");
  const table = [STATE_WORDS, OTHER_WORDS].find((one) => Object.hasOwn(one, name));
  return table ? table[name] : name.replaceAll("_", " ");
}

export function toneOf(value) {
  return Object.keys(TONES).find((tone) => TONES[tone].includes(value)) ?? "";
}

export function plural(count, noun) {
  return `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;
}
