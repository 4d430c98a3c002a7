// What the page knows besides its address, and how it asks the API.

import { signal, useEffect, useRef, useState } from "./html.js";
import { ask, isLoggedIn } from "./login.js";
import { clock } from "./time.js";

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

// {data, error, isOther}: the answer for an address, asked for again when it may be old: at each
// event, each minute, or never ("once"). Until it is there, what was there for this address before;
// while a filter changes, the rows of the one before it, which `isOther` says.
export function useData(path, parameters, again = "event") {
  const address = addressOf(path, parameters);
  const [found, setFound] = useState({});
  const running = useRef(null); // one request at a time, however fast events come in
  const minute = again === "minute" ? Math.floor(clock.value / 60000) : 0;
  const seen = again === "event" ? version.value : 0;
  useEffect(() => {
    const begin = () => {
      const own = { address, isOld: false };
      running.current = own;
      const finish = (change) => {
        if (running.current !== own) return; // the address has changed, or the view has gone
        running.current = null;
        setFound(change);
        if (own.isOld) begin();
      };
      get(address).then(
        (data) => {
          keep(address, data);
          finish({ path, address, data });
        },
        (error) => finish((before) => ({ ...before, path, address, error })),
      );
    };
    if (running.current?.address === address) running.current.isOld = true;
    else begin();
  }, [address, seen, minute]);
  useEffect(
    () => () => {
      running.current = null;
    },
    [],
  );
  if (found.address === address) return found;
  if (kept.has(address)) return { data: kept.get(address) };
  return { data: found.path === path ? found.data : undefined, isOther: true };
}

function keep(address, data) {
  kept.delete(address);
  kept.set(address, data);
  if (kept.size > KEPT) kept.delete(kept.keys().next().value);
}

let isAsked = false;
let isOld = false;
const RETRY_MS = 5000; // the database cannot be read: nothing says when it can again
const ROUTINE_MS = 60000; // whether it still can: no event says that it was removed
let retry = null;

setInterval(() => isLoggedIn.value && !document.hidden && refreshRoster(), ROUTINE_MS);

export async function refreshRoster() {
  isOld = isAsked;
  if (isAsked) return;
  isAsked = true;
  try {
    roster.value = await get(addressOf("/roster", { quiet: quiet.value }));
    if (rosterProblem.value) version.value += 1; // the view's own answer did not come either
    rosterProblem.value = "";
  } catch (error) {
    rosterProblem.value = error.message;
    clearTimeout(retry);
    if (error.status >= 500) retry = setTimeout(refreshRoster, RETRY_MS);
  }
  isAsked = false;
  if (isOld) refreshRoster();
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
