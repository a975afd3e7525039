// The plot of a comparison, the same on the page and in the file.
import { colour, show, template } from "./chart_tools.js";

const COLOURS = 8;

export function drawComparison(items) {
  const element = document.getElementById("comparison-plot"), held = document.getElementById("show-held");
  const draw = () => drawCurves(element, items.filter((item) => held.checked || !item.is_benchmark));
  document.addEventListener("themechange", draw);
  held.addEventListener("change", draw);
  draw();
}

function drawCurves(element, items) {
  if (!element.isConnected) return;
  const layout = template(element);
  const traces = items.flatMap((item) => {
    const line = item.is_benchmark ? { color: colour("--faint"), width: 1.5, dash: "dot" } : { color: colour(`--bot-${item.number % COLOURS}`), width: 1.6 };
    const shared = { type: "scatter", mode: "lines", name: item.name, x: item.times.map((at) => new Date(at)), line, legendgroup: item.name };
    return [
      ...flowMarks(item, line.color),
      { ...shared, y: item.equity, hovertemplate: `%{y:,.2f}<extra>${item.name}</extra>` },
      { ...shared, y: item.drawdown.map((fall) => fall * 100), yaxis: "y2", hoverinfo: "skip" },
    ];
  });
  layout.yaxis = { ...layout.yaxis, domain: [0.36, 1], tickformat: ",.0f" };
  layout.yaxis2 = { ...layout.yaxis, domain: [0, 0.28], ticksuffix: " %", tickformat: ",.0f" };
  layout.xaxis.anchor = "y2";
  show(element, traces, layout);
}

// Where money came and went: up is a deposit. Returns and falls count neither.
function flowMarks(item, tint) {
  const flows = item.flows ?? [];
  if (!flows.length) return [];
  const words = flows.map((flow) => `${flow.amount > 0 ? "deposit" : "withdrawal"} ${Math.abs(flow.amount).toLocaleString("en", { minimumFractionDigits: 2, maximumFractionDigits: 2 })}`);
  return [{
    type: "scatter", mode: "markers", name: item.name, legendgroup: item.name, showlegend: false, x: flows.map((flow) => new Date(flow.at)), y: flows.map((flow) => flow.equity),
    marker: { color: tint, size: 9, symbol: flows.map((flow) => (flow.amount > 0 ? "triangle-up" : "triangle-down")) }, text: words, hovertemplate: `%{text}<extra>${item.name}</extra>`,
  }];
}
