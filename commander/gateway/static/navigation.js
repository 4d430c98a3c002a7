// The address holds what the page shows. Drawing keeps the focus and whatever did not change.

import { isLoggedIn, loginNeeded } from "./login.js";
import { h } from "./page.js";
import { state } from "./state.js";

const main = document.getElementById("main");
const search = document.getElementById("query");
let views = {}; // {the first part of the address: {title, draw, live}}

export function useViews(given) {
  views = given;
}

export function here() {
  const [, view, which] = location.pathname.split("/");
  const parameters = new URLSearchParams(location.search);
  return { view: views[view] ? view : "roster", which, parameters };
}

export function viewHere() {
  return views[here().view];
}

// Changes parameters of the address; an empty value removes one.
export function changeAddress(changes) {
  const { parameters } = here();
  for (const [name, value] of Object.entries(changes)) {
    if (value) parameters.set(name, value);
    else parameters.delete(name);
  }
  const question = parameters.size ? "?" : "";
  history.replaceState(history.state, "", `${location.pathname}${question}${parameters}`);
  draw();
}

export function open(address, isReplaced) {
  if (isReplaced) history.replaceState(history.state, "", address);
  else if (address !== location.pathname + location.search) {
    history.pushState({ isInside: true }, "", address);
  }
  state.watchedJob = null;
  draw(true);
}

let drawings = 0;
export async function draw(isMoved) {
  const drawing = ++drawings;
  const place = here();
  const view = views[place.view];
  let parts;
  state.hasFailed = false;
  try {
    parts = isLoggedIn() ? await view.draw(place) : [];
  } catch (error) {
    state.hasFailed = true;
    parts = [h("h1", {}, view.title), h("p", { class: "empty", role: "alert" }, error.message)];
  }
  if (drawing !== drawings) return; // a newer one has begun
  if (!isLoggedIn()) parts = loginNeeded();
  const focused = document.activeElement?.closest?.("a.row")?.dataset.key;
  const control = main.contains(document.activeElement) ? document.activeElement.id : "";
  put(parts.flat(2).filter(Boolean), isMoved);
  name(place.view);
  if (isMoved) {
    scrollTo(0, 0);
    if (document.activeElement !== search) main.focus({ preventScroll: true });
  } else restoreFocus(focused, control);
}

function name(view) {
  const isFirst = view === "roster" || !isLoggedIn();
  const title = isFirst ? main.querySelector("h1")?.textContent : views[view].title;
  document.title = `${String(title).replace(/\.$/, "")} – Fleet`;
  for (const link of document.querySelectorAll("nav a")) {
    if (link.dataset.view === view) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

function restoreFocus(focused, control) {
  const rows = [...main.querySelectorAll("a.row")];
  if (focused) rows.find((row) => row.dataset.key === focused)?.focus({ preventScroll: true });
  else if (control && document.activeElement.id !== control) {
    document.getElementById(control)?.focus({ preventScroll: true });
  }
}

function put(parts, isMoved) {
  // What has not changed stays, so that an open list of choices stays open while events come in.
  if (isMoved) main.replaceChildren();
  parts.forEach((part, at) => {
    const old = main.children[at];
    if (!old) main.append(part);
    else if (!old.isEqualNode(part)) old.replaceWith(part);
  });
  while (main.children.length > parts.length) main.lastElementChild.remove();
}
