// The login. The link's fragment holds a code, which is exchanged for a session. The session is
// kept in this page's storage, whose origin is random at each start of the gateway, and is sent as
// a header; the browser sends it nowhere by itself.

import { card, h } from "./page.js";

const KEY = "fleet-session";

let session = stored();
let problem = "";

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
  else problem = body.error.message;
}

export function isLoggedIn() {
  return session !== "";
}

export function loginMessage() {
  return { type: "login", bearer: session };
}

// Asks the API. The whole answer is read into memory, so a download is a blob of this page.
export async function ask(path) {
  const answer = await fetch(`/api/v1${path}`, { headers: { Authorization: `Bearer ${session}` } });
  // 403: the gateway was started again, under another name.
  if (answer.status === 401 || answer.status === 403) keep("");
  return answer;
}

export function loginNeeded() {
  return [
    h("h1", {}, "This browser is not logged in"),
    card(
      [
        problem && h("p", { role: "alert" }, `The link did not work: ${problem}.`),
        h("p", {}, "Run this in a terminal and open the link that it prints:"),
        h("pre", {}, "fleet gateway link"),
        h(
          "p",
          { class: "note" },
          "A link logs one browser in, once, within 15 minutes. A login ends when the gateway ends.",
          problem && " If you did not use this link, another program did: start the gateway again.",
        ),
      ],
      "",
      { class: "card prose", id: "login" },
    ),
  ];
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
  try {
    if (value) localStorage.setItem(KEY, value);
    else localStorage.removeItem(KEY);
  } catch {
    // as above
  }
}
