// Sweeps: the form that asks for one, its heat-map and its parallel coordinates.
import { show } from "./chart_tools.js";
import { colour, empty, get, template } from "./charts.js";
import { attempt, send, toast } from "./commands.js";
import { frictionsOf } from "./frictions.js";

const LINES = 300;
const BANDS = 5;

startForm();
startMap();
// The map comes with the first chunk, after this script ran.
document.body.addEventListener("htmx:afterSettle", startMap);

function startForm() {
  const form = document.getElementById("sweep-form");
  if (!form) return;
  const error = document.getElementById("sweep-error");
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const button = form.querySelector("button[type=submit]");
    button.disabled = true;
    const failure = await attempt(error, async () => {
      const sweep = await send("POST", "/api/v1/sweeps", body(form));
      toast("The sweep is queued.");
      location.assign(`/sweeps/${sweep.id}/`);
    });
    button.disabled = !failure;
  });
}

function body(form) {
  const value = (name) => form.elements[name].value.trim();
  const words = (name) => value(name).split(/\s+/).filter(Boolean);
  return {
    strategy: value("strategy"), grid: words("grid"), fixed: words("fixed"), sample: Number(value("sample") || 0),
    symbol: value("symbol"), interval: value("interval"), folder: form.elements.folder ? value("folder") : "",
    begin_at: `${value("begin")}T00:00:00Z`, end_at: `${value("end")}T00:00:00Z`, fee: value("fee"),
    ...frictionsOf(form),
  };
}

function startMap() {
  const element = document.getElementById("sweep-map");
  if (!element || element.dataset.started) return;
  element.dataset.started = "yes";
  const lines = document.getElementById("sweep-lines");
  const choices = ["x", "y", "figure", "kind"].map((name) => document.getElementById(`map-${name}`));
  keepApart(choices[0], choices[1]);
  choices.forEach((choice) => choice.addEventListener("change", draw));
  document.addEventListener("themechange", draw);
  document.body.addEventListener("htmx:afterSwap", (event) => event.detail.target.id === "sweep-progress" && draw());
  draw();

  async function draw() {
    const [x, y, figure, kind] = choices.map((choice) => choice.value);
    const address = `/api/v1/sweeps/${element.dataset.sweep}`;
    try {
      const [map, trials] = [
        get(`${address}/heatmap?${new URLSearchParams({ x, y, figure })}`), get(`${address}/trials?${new URLSearchParams({ figure, limit: LINES })}`),
      ];
      // Who fails is told by the one that is waited for first.
      trials.catch(() => undefined);
      drawMap(element, await map, kind);
      // The map is what a person came for: the lines are not in the way of its first picture.
      await new Promise((painted) => requestAnimationFrame(() => setTimeout(painted)));
      drawLines(lines, await trials);
    } catch {
      for (const chart of [element, lines]) {
        Plotly.purge(chart);
        empty(chart, "The first chunk of trials is not done yet.");
      }
    }
  }
}

// A map has two different parameters: whoever chooses the other one gets them the other way round.
function keepApart(across, up) {
  let shown = [across.value, up.value];
  const swap = (other, before) => {
    if (across.value === up.value) other.value = before;
    shown = [across.value, up.value];
  };
  across.addEventListener("change", () => swap(up, shown[0]));
  up.addEventListener("change", () => swap(across, shown[1]));
}

function drawMap(element, map, kind) {
  const cells = map[kind];
  const layout = template(element);
  layout.hovermode = "closest";
  layout.xaxis = { ...layout.yaxis, title: { text: map.x }, type: "category" };
  layout.yaxis = { ...layout.yaxis, title: { text: map.y }, type: "category" };
  layout.margin = { l: 64, r: 12, t: 8, b: 48 };
  if (map.best) {
    const [row, column] = map.best;
    layout.shapes = [{ type: "rect", x0: column - 0.5, x1: column + 0.5, y0: row - 0.5, y1: row + 0.5, line: { color: colour("--text"), width: 2 } }];
  }
  const trace = {
    type: "heatmap", x: map.x_values.map(String), y: map.y_values.map(String), z: cells, colorscale: scale(), zmid: middle(cells),
    hoverongaps: false, hovertemplate: `${map.x} %{x}<br>${map.y} %{y}<br>${map.figure} %{z:.4g}<extra></extra>`,
    colorbar: { thickness: 12, tickfont: { color: colour("--faint"), size: 11 }, outlinewidth: 0 },
  };
  show(element, [trace], layout);
}

// Zero is the middle where a figure may be a loss; otherwise the colours share its range.
function middle(cells) {
  const known = cells.flat().filter((value) => value !== null);
  return known.some((value) => value < 0) && known.some((value) => value > 0) ? 0 : undefined;
}

function scale() {
  return [[0, colour("--loss")], [0.5, colour("--raised")], [1, colour("--gain")]];
}

function drawLines(element, trials) {
  if (!trials.items.length) return empty(element, "No trial has this figure: there are too few days or trades.");
  const names = [...trials.parameters, "trades", "win_rate", "max_drawdown", trials.figure].filter((name, place, all) => all.indexOf(name) === place);
  const columns = names.map((name) => axisOf(trials.items.map((row) => row[name])));
  const traces = Array.from({ length: BANDS }, (_, band) => ({
    type: "scatter", mode: "lines", x: [], y: [], text: [], hovertemplate: "%{text}<extra></extra>", connectgaps: false,
    line: { color: band === 0 ? colour("--accent") : colour("--faint"), width: band === 0 ? 1.6 : 0.8 }, opacity: 1 - band * 0.17,
  }));
  trials.items.forEach((row, rank) => {
    const trace = traces[Math.min(BANDS - 1, Math.floor(rank * BANDS / trials.items.length))];
    names.forEach((name, place) => {
      trace.x.push(place);
      trace.y.push(columns[place].at(row[name]));
      trace.text.push(`${name} ${typeof row[name] === "number" ? Number(row[name].toPrecision(4)) : row[name] ?? "unknown"}`);
    });
    trace.x.push(null);
    trace.y.push(null);
    trace.text.push("");
  });
  const layout = template(element);
  layout.hovermode = "closest";
  layout.xaxis = { ...layout.yaxis, tickvals: names.map((_, place) => place), ticktext: names.map((name, place) => `${name}<br>${columns[place].words}`), range: [-0.2, names.length - 0.8] };
  layout.yaxis = { ...layout.yaxis, showticklabels: false, range: [-0.05, 1.05] };
  layout.margin = { l: 12, r: 12, t: 8, b: 56 };
  show(element, traces.reverse(), layout);
}

function axisOf(values) {
  const numbers = values.filter((value) => typeof value === "number");
  if (numbers.length) {
    const low = Math.min(...numbers), high = Math.max(...numbers);
    return { words: `${low.toPrecision(3)} – ${high.toPrecision(3)}`, at: (value) => value == null ? null : high > low ? (value - low) / (high - low) : 0.5 };
  }
  const words = [...new Set(values)].sort();
  return { words: `${words.length} values`, at: (value) => words.length > 1 ? words.indexOf(value) / (words.length - 1) : 0.5 };
}
