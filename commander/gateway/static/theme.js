// Light or dark, before anything is painted. A script of its own, since the page allows no inline one.

try {
  const theme = localStorage.getItem("fleet-theme");
  if (theme) document.documentElement.dataset.theme = theme;
} catch {
  // the browser does not allow storage: the system's setting holds
}
