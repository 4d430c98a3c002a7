// What the page knows besides its address, and how it asks the API.

import { signal, useEffect, useState } from "./html.js";
import { ask } from "./login.js";

const KEPT = 60; // answers, so that going back shows at once what was there
const kept = new Map(); // {address: answer}

export const version = signal(0); // grows when what is shown may be old
export const asOf = signal(0); // when the gateway answered last
export const roster = signal(null); // the answer of /roster, which the whole page needs
export const rosterProblem = signal("");
export const quiet = signal(12); // how many projects without a session are shown

export async function get(address) {
  return read(await ask(address));
}

export async function post(address, body = {}) {
  return read(await ask(address, body));
}

async function read(answer) {
  const body = await answer.json();
  if (!answer.ok) throw Object.assign(new Error(body.error?.message), { status: answer.status });
  asOf.value = Date.now();
  return body;
}

export function addressOf(path, parameters = {}) {
  const given = Object.entries(parameters).filter(([, value]) => value || value === 0);
  return given.length ? `${path}?${new URLSearchParams(given)}` : path;
}

// {data, error, isOther}: the answer for an address, asked for again whenever it may be old. Until it
// is there, what was there for this address before; while a filter changes, the rows of the one
// before it, which `isOther` says.
export function useData(path, parameters) {
  const address = addressOf(path, parameters);
  const [found, setFound] = useState({});
  const seen = version.value;
  useEffect(() => {
    let isOver = false;
    get(address).then(
      (data) => {
        keep(address, data);
        if (!isOver) setFound({ path, address, data });
      },
      (error) => {
        if (!isOver) setFound((before) => ({ ...before, path, address, error }));
      },
    );
    return () => {
      isOver = true;
    };
  }, [address, seen]);
  if (found.address === address) return found;
  if (kept.has(address)) return { data: kept.get(address) };
  return { data: found.path === path ? found.data : undefined, isOther: true };
}

function keep(address, data) {
  kept.delete(address);
  kept.set(address, data);
  if (kept.size > KEPT) kept.delete(kept.keys().next().value);
}

export async function refreshRoster() {
  try {
    roster.value = await get(addressOf("/roster", { quiet: quiet.value }));
    rosterProblem.value = "";
  } catch (error) {
    rosterProblem.value = error.message;
  }
}

const DELAY_MS = 120;
let timer = null;

// However many events come in, the page asks once.
export function refreshSoon() {
  timer ??= setTimeout(() => {
    timer = null;
    version.value += 1;
    refreshRoster();
  }, DELAY_MS);
}

// The sessions of the roster that are in a group.
export function sessionsOf(group) {
  const projects = roster.value?.projects ?? [];
  return projects.flatMap((project) =>
    project.sessions
      .filter((session) => session.group === group)
      .map((session) => ({ ...session, project: project.project })),
  );
}
