// The login. The link's fragment holds a code, which is exchanged for a session. The session is
// kept in this page's storage, whose origin is random at each start of the gateway, and is sent as
// a header; the browser sends it nowhere by itself.

import { signal } from "./html.js";

const KEY = "fleet-session";

let session = stored();
export const isLoggedIn = signal(session !== "");
export const loginProblem = signal("");

export function codeHere() {
  return new URLSearchParams(location.hash.slice(1)).get("code");
}

// Takes the code out of the address, where it must not stay, and logs in with it.
export async function logIn() {
  const code = codeHere();
  if (!code) return;
  history.replaceState(history.state, "", location.pathname + location.search);
  const answer = await fetch("/api/v1/session", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ code }),
  });
  const body = await answer.json();
  if (answer.ok) keep(body.bearer);
  else loginProblem.value = body.error.message;
}

export function loginMessage() {
  return { type: "login", bearer: session };
}

// Asks the API; with a body, which may be {}, it posts.
export async function ask(path, body) {
  const headers = { Authorization: `Bearer ${session}` };
  const posting = { method: "POST", body: JSON.stringify(body) };
  const answer = await fetch(`/api/v1${path}`, { headers, ...(body && posting) });
  // 403: the gateway was started again, under another name.
  if (answer.status === 401 || answer.status === 403) keep("");
  return answer;
}

function stored() {
  try {
    return localStorage.getItem(KEY) || "";
  } catch {
    return ""; // the browser does not allow storage: the session lasts as long as the page
  }
}

function keep(value) {
  session = value;
  isLoggedIn.value = value !== "";
  try {
    if (value) localStorage.setItem(KEY, value);
    else localStorage.removeItem(KEY);
  } catch {
    // as above
  }
}
