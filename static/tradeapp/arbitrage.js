// Arbitrage: the form that makes a pair of bots, and the results of each pair of bots added up.
import { colour, empty, show, template } from "./chart_tools.js";
import { attempt, send, toast } from "./commands.js";

startForm();
draw();
document.addEventListener("DOMContentLoaded", draw);
document.addEventListener("themechange", draw);
// The part brings fresh rows by itself; the plots stay where they are.
document.body.addEventListener("htmx:afterSettle", draw);

function startForm() {
  const form = document.getElementById("pair-form");
  if (!form) return;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const button = form.querySelector("button[type=submit]");
    button.disabled = true;
    const failure = await attempt(document.getElementById("pair-error"), async () => {
      const made = await send("POST", "/api/v1/pairs", body(form));
      toast(`${made.name} is made, and stopped. Give both sides a share, then start it.`);
      location.reload();
    });
    button.disabled = !failure;
  });
}

function body(form) {
  const value = (name) => form.elements[name].value.trim();
  const chosen = [...form.querySelectorAll("[data-param]")].filter((field) => field.value !== "");
  return {
    account: Number(value("account")), far_account: Number(value("far_account")), symbol: value("symbol"), far_symbol: value("far_symbol"),
    interval: value("interval"), name: value("name"), key: value("key"),
    params: Object.fromEntries(chosen.map((field) => [field.dataset.param, Number(field.value)])),
  };
}

function draw() {
  if (!window.Plotly) return;
  for (const element of document.querySelectorAll("[data-pair-chart]")) {
    const rows = JSON.parse(document.getElementById(element.dataset.pairChart).textContent);
    if (!rows.length) {
      empty(element, "Points come with each pair that is done.");
      continue;
    }
    const layout = template(element);
    layout.yaxis.tickformat = ",.2f";
    const line = {
      type: "scatter", mode: "lines+markers", x: rows.map(([at]) => at), y: rows.map(([, , , total]) => Number(total)),
      customdata: rows.map(([, number, result]) => [number, Number(result)]), line: { color: colour("--accent"), width: 1.5, shape: "hv" }, marker: { size: 5 },
      hovertemplate: "%{y:,.2f}<extra>pair %{customdata[0]}: %{customdata[1]:+,.2f}</extra>",
    };
    show(element, [line], layout);
  }
}
