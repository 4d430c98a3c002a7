// The address holds what the page shows, so every page has a link and the back button works.

import { signal } from "./html.js";

const scrolled = new Map(); // {a place of the history: how far it was scrolled}
let place = history.state?.place ?? 0;
let places = place;

export const route = signal(read());

function read() {
  const [view, ...rest] = location.pathname.slice(1).split("/").map(decoded);
  const parameters = Object.fromEntries(new URLSearchParams(location.search));
  return { view, which: rest.join("/"), parameters, address: location.pathname + location.search };
}

function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

export function open(address, { isReplaced = false } = {}) {
  if (address === location.pathname + location.search && !location.hash) return;
  if (isReplaced) history.replaceState(history.state, "", address);
  else {
    scrolled.set(place, scrollY);
    place = ++places;
    history.pushState({ place, isInside: true }, "", address);
  }
  route.value = read();
  if (isReplaced) return;
  scrollTo(0, 0);
  // The new page is read from its beginning, by a screen reader too.
  requestAnimationFrame(() => {
    const isSearching = document.activeElement?.matches("[data-search]");
    if (!isSearching) document.getElementById("main")?.focus({ preventScroll: true });
  });
}

// Changes parameters of the address; an empty value removes one.
export function changeParameters(changes) {
  const { parameters } = route.value;
  const given = Object.entries({ ...parameters, ...changes }).filter(([, value]) => value);
  const question = given.length ? `?${new URLSearchParams(given)}` : "";
  open(location.pathname + question, { isReplaced: true });
}

export function goBack() {
  if (history.state?.isInside) history.back();
  else open("/");
}

export function link(view, which) {
  return `/${view}/${encodeURIComponent(which)}`;
}

export function useLinks() {
  history.scrollRestoration = "manual";
  addEventListener("click", (click) => {
    const found = click.target.closest?.("a[data-link]");
    if (!found || click.metaKey || click.ctrlKey || click.shiftKey || click.button) return;
    click.preventDefault();
    open(found.getAttribute("href"));
  });
  addEventListener("popstate", () => {
    scrolled.set(place, scrollY);
    place = history.state?.place ?? 0;
    route.value = read();
    const top = scrolled.get(place) ?? 0;
    // What was shown there is kept, so it is as high as it was in the next frame.
    requestAnimationFrame(() => requestAnimationFrame(() => scrollTo(0, top)));
  });
}
