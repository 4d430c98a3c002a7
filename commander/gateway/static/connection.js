// The WebSocket: it says when something has happened, from a cursor on, so that nothing is missed
// while the gateway was away; and it brings the output of a job as it comes.

import { get, refreshSoon } from "./data.js";
import { signal } from "./html.js";
import { ask, isLoggedIn, loginMessage } from "./login.js";

const FIRST_PAUSE_MS = 500;
const LAST_PAUSE_MS = 5000;
// A connection that a network lost without a word stays open for minutes: so it is asked, and given up
// if it does not answer.
const PING_MS = 20000;
const ANSWER_MS = 8000;

export const connection = signal({ state: "connecting", text: "connecting", since: Date.now() });

let socket = null;
let cursor = null; // the newest event that came in
let pause = FIRST_PAUSE_MS;
let problem = "";
let isFirst = true;
let watched = null; // {jobId, receive}

export async function start() {
  while (isLoggedIn.value) {
    try {
      ({ last_event_id: cursor } = await get("/health"));
      connect();
      return;
    } catch (error) {
      isFirst = false; // what the page has asked for meanwhile did not come either
      const reason = error.status ? error.message : "";
      if (isLoggedIn.value) become("offline", "no answer", reason);
      await new Promise((resolve) => setTimeout(resolve, FIRST_PAUSE_MS));
    }
  }
}

// Sends a job's stream to `receive`, from its beginning, also after a reconnection.
export function watchJob(jobId, receive) {
  watched = { jobId, receive };
  send({ type: "job.watch", job_id: jobId });
  return () => {
    watched = null;
  };
}

function connect() {
  const scheme = location.protocol === "https:" ? "wss" : "ws";
  const own = new WebSocket(`${scheme}://${location.host}/ws`);
  let patience = null;
  const giveUp = () => {
    own.close();
    own.onclose?.();
  };
  const asking = setInterval(() => {
    send({ type: "ping" });
    patience ??= setTimeout(giveUp, ANSWER_MS);
  }, PING_MS);
  socket = own;
  own.onopen = () => {
    send(loginMessage()); // a browser cannot send headers here
    send({ type: "fleet.subscribe", from_event_id: cursor });
    if (watched) send({ type: "job.watch", job_id: watched.jobId });
  };
  own.onmessage = (received) => {
    clearTimeout(patience);
    patience = null;
    take(JSON.parse(received.data));
  };
  own.onclose = () => {
    own.onclose = own.onmessage = null;
    clearInterval(asking);
    clearTimeout(patience);
    removeEventListener("offline", giveUp);
    reconnect();
  };
  addEventListener("offline", giveUp);
}

function take(message) {
  if (message.type === "fleet.event") {
    cursor = message.event_id;
    refreshSoon();
  } else if (message.type === "fleet.live") becomeLive(message);
  else if (message.type === "fleet.sessions") refreshSoon();
  else if (message.type === "error") problem = message.message;
  else if (watched && message.job_id === watched.jobId) watched.receive(message);
}

async function reconnect() {
  if (connection.value.state !== "offline") become("offline", "reconnecting", problem);
  problem = "";
  // A failed handshake does not say why, so ask the API.
  await ask("/health").catch(() => null);
  if (!isLoggedIn.value) return;
  setTimeout(connect, pause);
  pause = Math.min(pause * 1.6, LAST_PAUSE_MS);
}

function becomeLive(message) {
  // The database was replaced by an older one: nothing that the page shows is valid any more.
  if (message.cursor < cursor) {
    location.reload();
    return;
  }
  pause = FIRST_PAUSE_MS;
  if (!isFirst) refreshSoon();
  isFirst = false;
  become("live", "live");
}

function send(message) {
  // While the socket is closed a message is dropped; what matters is sent again.
  if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message));
}

export function become(state, text, title = "") {
  connection.value = { state, text, title, since: Date.now() };
}
