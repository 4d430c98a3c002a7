// The dashboard starts here. ES modules, no build step.

import { become, start } from "./connection.js";
import { refreshRoster } from "./data.js";
import { effect, html, render } from "./html.js";
import { useKeys } from "./keys.js";
import { codeHere, isLoggedIn, logIn } from "./login.js";
import { useNotifications } from "./notify.js";
import { useLinks } from "./router.js";
import { Shell } from "./shell.js";

useLinks();
useKeys();
useNotifications();
addEventListener("hashchange", () => {
  if (codeHere()) location.reload(); // another link, opened in this tab
});
await logIn().catch(() => null);
effect(() => {
  if (!isLoggedIn.value) become("offline", "logged out");
});
render(html`<${Shell} />`, document.getElementById("app"));
if (isLoggedIn.value) {
  refreshRoster();
  start();
}
