// Ages: how long ago a moment was, counted on every second.
export function startAges() {
  tick();
  setInterval(tick, 1000);
  document.body.addEventListener("htmx:afterSwap", tick);
}

function tick() {
  const now = Date.now();
  for (const element of document.querySelectorAll("time.age")) {
    const at = Date.parse(element.dateTime);
    element.textContent = Number.isNaN(at) ? "–" : words(Math.max(0, Math.round((now - at) / 1000)));
  }
}

function words(seconds) {
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h`;
  return `${Math.floor(seconds / 86400)} d`;
}
