// Risk left today: one bar for each owner in percent of the day's start, up to the caps.

export function gauge(element, { fetched, plot, template, legend, colour, get, empty }) {
  const only = element.dataset.only;
  let view = null;
  return fetched(element, draw, async () => {
    view = await get(`/api/v1/risk?account=${element.dataset.account}`);
  });

  function draw() {
    if (!view) return;
    const rows = [{ ...view.total, name: "Account" }, ...view.books].filter((row) => !only || String(row.book) === only).reverse();
    if (!rows.length) return empty(element, "Nothing to lose yet.");
    const hard = Number(rows.at(-1).limits.hard_loss_percent);
    const parts = [
      ["Lost today", "lost", "--loss"], ["Open at its worst", "worst", "--warn"], ["Left to the soft cap", "left", "--good"],
    ];
    const traces = parts.map(([name, part, tone]) => ({
      type: "bar", orientation: "h", name, x: rows.map((row) => Number(row[`${part}_percent`])), y: rows.map((row) => row.name),
      marker: { color: colour(tone) }, customdata: rows.map((row) => money(amount(row, part))),
      hovertemplate: `${name} %{x:.2f} % · %{customdata}<extra></extra>`,
    }));
    const layout = template(element);
    const reach = Math.max(hard * 1.08, ...rows.map((row) => ["lost", "worst", "left"].reduce((sum, part) => sum + Number(row[`${part}_percent`]), 0) * 1.04));
    Object.assign(layout, { barmode: "stack", bargap: 0.42, hovermode: "closest", dragmode: false });
    layout.margin = { l: 8, r: 16, t: 22, b: 26 };
    layout.xaxis = { ...layout.xaxis, type: "linear", range: [0, reach], ticksuffix: " %", fixedrange: true, showspikes: false };
    layout.yaxis = { ...layout.yaxis, fixedrange: true, tickfont: { color: colour("--text"), size: 12 }, ticklabelstandoff: 6 };
    const top = rows.at(-1).limits;
    const caps = [["soft", Number(top.soft_loss_percent), "--warn"], ["hard", hard, "--loss"]];
    layout.shapes = caps.map(([, at, tone]) => ({ type: "line", x0: at, x1: at, y0: 0, y1: 1, yref: "paper", line: { color: colour(tone), width: 1.5, dash: "dot" } }));
    layout.annotations = caps.map(([name, at]) => ({ x: at, y: 1, yref: "paper", yanchor: "bottom", text: element.clientWidth < 480 ? name : `${name} cap`, showarrow: false, font: { size: 11, color: colour("--faint") } }));
    plot(element, traces, layout);
    legend(element, traces.map((trace) => ({ name: trace.name, colour: trace.marker.color })));
  }
}

function amount(row, part) {
  return Number(part === "lost" ? Math.max(0, Number(row.lost_today)) : part === "worst" ? row.worst_open : row.left);
}

function money(value) {
  return value.toLocaleString("en-US", { minimumFractionDigits: 2, maximumFractionDigits: 2 });
}
