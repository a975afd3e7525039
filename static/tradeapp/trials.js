// Trials: the form that asks for one, and the bots of one beside each other.
import { colour, template } from "./charts.js";
import { send, toast } from "./commands.js";

startForm();
draw();
document.addEventListener("themechange", draw);
// While a trial runs the page brings fresh figures by itself.
document.body.addEventListener("htmx:afterSettle", draw);
document.body.addEventListener("changed", () => document.getElementById("trial-body") && location.reload());

function startForm() {
  const form = document.getElementById("trial-form");
  if (!form) return;
  const error = document.getElementById("trial-error");
  form.addEventListener("change", () => choose(form));
  choose(form);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    error.hidden = true;
    const button = form.querySelector("button[type=submit]");
    button.disabled = true;
    try {
      const trial = await send("POST", "/api/v1/trials", body(form));
      toast("The trial begins.");
      location.assign(`/trials/${trial.id}/`);
    } catch (failure) {
      error.textContent = failure.message;
      error.hidden = false;
      button.disabled = false;
    }
  });
}

function choose(form) {
  const kind = form.elements.kind.value;
  for (const part of form.querySelectorAll("[data-kind]")) part.hidden = part.dataset.kind !== kind;
}

function body(form) {
  const value = (name) => form.elements[name].value.trim();
  const bots = [...form.querySelectorAll("input[name=bots]:checked")].map((box) => box.value);
  if (!bots.length) throw new Error("Choose the bots to compare.");
  const asked = { kind: form.elements.kind.value, account: Number(form.dataset.account), hours: Number(value("hours")), bots };
  if (asked.kind === "account") return { ...asked, rounds: Number(value("rounds") || 1), budget: value("budget") || null };
  return { ...asked, begin_at: `${value("begin")}T00:00:00Z`, end_at: `${value("end")}T00:00:00Z`, allocation: value("allocation") };
}

function draw() {
  const data = document.getElementById("trial-rows");
  if (!data || !window.Plotly) return;
  const rows = JSON.parse(data.textContent).sort((one, other) => one.book - other.book);
  drawCurves(document.getElementById("trial-curves"), rows);
  drawWins(document.getElementById("trial-wins"), rows);
}

function drawCurves(element, rows) {
  const layout = template(element);
  layout.xaxis = { ...layout.xaxis, type: "linear", ticksuffix: " h" };
  layout.yaxis.tickformat = "~g";
  layout.showlegend = true;
  layout.legend = { orientation: "h", y: -0.15, font: { color: colour("--faint") } };
  layout.margin = { ...layout.margin, b: 60 };
  const traces = rows.map((row, place) => ({
    type: "scatter", mode: "lines", name: row.bot, x: row.curve.map(([hours]) => hours), y: row.curve.map(([, level]) => level),
    line: { color: colour(`--bot-${place % 8}`), width: 1.5 }, hovertemplate: "%{y:.4f}<extra>%{fullData.name}</extra>",
  }));
  show(element, traces, layout);
}

function drawWins(element, rows) {
  const known = rows.filter((row) => row.win_rate !== null).reverse();
  const layout = template(element);
  layout.hovermode = "closest";
  layout.xaxis = { ...layout.xaxis, type: "linear", tickformat: ".0%", range: [0, 1] };
  layout.yaxis = { ...layout.yaxis, type: "category", tickformat: "", automargin: true, side: "left" };
  const names = known.map((row) => row.bot);
  const rates = {
    type: "scatter", mode: "markers", x: known.map((row) => row.win_rate), y: names, marker: { color: colour("--accent"), size: 8 },
    error_x: { type: "data", symmetric: false, array: known.map((row) => row.win_rate_high - row.win_rate), arrayminus: known.map((row) => row.win_rate - row.win_rate_low), color: colour("--accent") },
    hovertemplate: "%{y}<br>win rate %{x:.1%}<extra></extra>",
  };
  const even = known.filter((row) => row.break_even_win_rate !== null);
  const marks = {
    type: "scatter", mode: "markers", x: even.map((row) => row.break_even_win_rate), y: even.map((row) => row.bot),
    marker: { color: colour("--text"), size: 9, symbol: "diamond-open" }, hovertemplate: "%{y}<br>break-even %{x:.1%}<extra></extra>",
  };
  layout.showlegend = false;
  show(element, [rates, marks], layout);
}

function show(element, traces, layout) {
  window.Plotly.react(element, traces, layout, { displayModeBar: false, responsive: true });
}
