// Runs before the first paint, so that a chosen theme does not flash. A file of its own: the page allows no inline script.
try {
  const chosen = JSON.parse(localStorage.getItem("mepassa.settings") ?? "{}");
  if (chosen.theme === "light" || chosen.theme === "dark") document.documentElement.dataset.theme = chosen.theme;
  if (chosen.language === "en") document.documentElement.lang = "en";
} catch {
  // Storage may be closed or spoilt: the system's theme and Portuguese it is.
}
