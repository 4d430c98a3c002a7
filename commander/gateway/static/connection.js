// The WebSocket: events from a cursor, so that none is missed while the gateway is away, and the
// output of jobs.

import { drawSoon, receive } from "./events.js";
import { ask, isLoggedIn, loginMessage } from "./login.js";
import { draw } from "./navigation.js";
import { send, state } from "./state.js";
import { receiveJobMessage } from "./views/jobs.js";

const FIRST_PAUSE_MS = 500;
const LAST_PAUSE_MS = 5000;

let pause = FIRST_PAUSE_MS;
let problem = "";

export function connect() {
  const scheme = location.protocol === "https:" ? "wss" : "ws";
  const socket = new WebSocket(`${scheme}://${location.host}/ws`);
  state.socket = socket;
  socket.onopen = () => {
    send(loginMessage()); // a browser cannot send headers here
    send({ type: "fleet.subscribe", from_event_id: state.cursor });
    if (state.watchedJob) send({ type: "job.watch", job_id: state.watchedJob });
  };
  socket.onmessage = (received) => {
    const message = JSON.parse(received.data);
    if (message.type === "fleet.event") receive(message);
    else if (message.type === "fleet.live") becomeLive(message);
    else if (message.type === "fleet.sessions") drawSoon();
    else if (message.type === "error") problem = message.message;
    else if (message.type.startsWith("job.")) receiveJobMessage(message);
  };
  socket.onclose = async () => {
    showConnection("offline", "reconnecting", problem);
    problem = "";
    // A failed handshake does not say why, so ask the API.
    await ask("/health").catch(() => null);
    if (!isLoggedIn()) {
      showLoggedOut();
      return;
    }
    setTimeout(connect, pause);
    pause = Math.min(pause * 1.6, LAST_PAUSE_MS);
  };
}

export function showLoggedOut() {
  showConnection("offline", "logged out");
  draw();
}

function becomeLive(message) {
  // The database was replaced by an older one: nothing that the page shows is valid any more.
  if (message.cursor < state.cursor) {
    location.reload();
    return;
  }
  pause = FIRST_PAUSE_MS;
  state.isLive = true;
  state.drawn = state.cursor ?? 0;
  showConnection("live", "live");
  if (state.hasFailed) draw();
}

export function showConnection(kind, text, title = "") {
  const place = document.getElementById("connection");
  place.dataset.state = kind;
  place.textContent = text;
  place.title = title;
}
