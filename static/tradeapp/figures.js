// Figures: the server says value, text and tone; here they are only put in their places.
const TONES = ["gain", "loss", "good", "warn", "bad"];
const SUMMARY_MS = 15000;
const FLASH_MS = 5000;
let known = {};

export function startFigures(stream) {
  stream.on((topic, state) => {
    if (!state.data.figures) return;
    known = { ...known, ...state.data.figures };
    for (const [name, figure] of Object.entries(state.data.figures)) {
      for (const element of document.querySelectorAll(`[data-figure="${CSS.escape(name)}"]`)) put(element, figure);
      if (name.startsWith("health.") && figure.value) putAge(name.slice(7), figure);
    }
  });
  // A part that was fetched may be older than what the stream has said since.
  document.body.addEventListener("htmx:afterSwap", (event) => {
    for (const element of event.target.querySelectorAll("[data-figure]")) {
      const figure = known[element.dataset.figure];
      if (figure) put(element, figure);
    }
  });
  setInterval(summarise, SUMMARY_MS);
}

function put(element, figure) {
  if (element.textContent !== figure.text) {
    element.textContent = figure.text;
    flash(element);
  }
  for (const tone of TONES) element.classList.toggle(tone, figure.tone === tone);
}

// Once in a while: what changes four times a second must not flicker.
function flash(element) {
  const now = Date.now();
  if (element.dataset.figure === "market.time" || now - (element.flashedAt ?? 0) < FLASH_MS) return;
  element.flashedAt = now;
  element.classList.remove("flash");
  void element.offsetWidth;
  element.classList.add("flash");
}

function putAge(kind, figure) {
  for (const dot of document.querySelectorAll("[data-sign]")) {
    if (!dot.dataset.sign.startsWith(kind)) continue;
    dot.dataset.fresh = figure.tone === "good" ? "yes" : "no";
    const age = dot.parentElement.querySelector(".age");
    if (age && !Number.isNaN(Date.parse(figure.value))) age.dateTime = figure.value;
  }
}

function summarise() {
  const equity = known["account.equity"];
  const gain = known["account.pnl"];
  if (equity && gain) document.getElementById("summary").textContent = `Equity ${equity.text}, profit and loss ${gain.text}`;
}
