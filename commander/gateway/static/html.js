// What every part of the page is made with: Preact and htm. What a session wrote becomes text, never
// markup; the one exception is Prose in parts.js.

import htm from "./vendor/htm.js";
import { h } from "./vendor/preact.js";

export { render } from "./vendor/preact.js";
export { useEffect, useLayoutEffect, useRef, useState } from "./vendor/hooks.js";
export { computed, effect, signal } from "./vendor/signals.js";
export const html = htm.bind(h);
