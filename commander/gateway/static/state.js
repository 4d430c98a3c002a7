// What the page knows besides its address, and how it asks the API.

import { ask } from "./login.js";

export const state = {
  events: [],
  names: new Map(), // of projects, by their ids
  cursor: null, // the newest event that came in
  drawn: 0, // the newest event that the timeline has shown
  isLive: false, // the replay has ended
  hasFailed: false, // the page shows an error
  socket: null,
  watchedJob: null,
};

export async function get(path, parameters) {
  const given = Object.entries(parameters || {}).filter(([, value]) => value);
  const answer = await ask(`${path}?${new URLSearchParams(given)}`);
  const body = await answer.json();
  if (!answer.ok) throw new Error(body.error?.message || answer.statusText);
  return body;
}

export function nameOf(project) {
  return project ? state.names.get(project) || project.split("__")[0] : "–";
}

// While the socket is closed a message is dropped; what matters is sent again after a reconnect.
export function send(message) {
  if (state.socket?.readyState === WebSocket.OPEN) state.socket.send(JSON.stringify(message));
}
