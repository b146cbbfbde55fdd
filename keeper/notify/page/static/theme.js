// Before the first paint: the theme that was chosen here, if any was; else the system's own holds (page.css).
(() => {
  let chosen = null;
  try { chosen = localStorage.getItem("theme"); } catch { /* a private window keeps nothing */ }
  if (chosen === "dark" || chosen === "light") document.documentElement.dataset.theme = chosen;
})();
