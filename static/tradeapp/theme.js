// Runs before the page is drawn: the theme a person chose must not flash in late.
(() => {
  const root = document.documentElement;
  root.dataset.theme = localStorage.getItem("theme") || "auto";
  root.dataset.palette = localStorage.getItem("palette") || "";
})();
