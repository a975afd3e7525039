// The plots of a report, the same on the page and in the file.
import { colour, empty, show, template } from "./chart_tools.js";

const date = (at) => new Date(at);
const percent = (values) => values.map((value) => value * 100);

// `finer` answers candles and fills of a stretch, where there is somebody to ask.
export function drawReport(data, finer = null) {
  const chosen = document.getElementById("report-market"), held = document.getElementById("report-held");
  // A purse that is mostly cash is a flat line beside what holding did: then that is shown on request.
  held.checked = spread(data.curve.held) < 4 * spread(data.curve.equity);
  const curve = () => drawCurve(document.getElementById("report-curve"), data.curve, held.checked);
  held.addEventListener("change", curve);
  const redraw = () => {
    curve();
    drawCandles(document.getElementById("report-candles"), data, chosen.value, finer);
    drawDistribution(document.getElementById("report-distribution"), data.distribution);
    drawWays(document.getElementById("report-ways"), data.trades);
  };
  chosen.addEventListener("change", () => drawCandles(document.getElementById("report-candles"), data, chosen.value, finer));
  document.addEventListener("themechange", redraw);
  redraw();
}

function spread(values) {
  return Math.max(...values) - Math.min(...values);
}

function drawCurve(element, curve, isHeldShown) {
  const x = curve.times.map(date);
  const layout = template(element);
  const line = (name, y, look, more) => ({ type: "scatter", mode: "lines", name, x, y, line: look, hovertemplate: `%{y:,.2f}<extra>${name}</extra>`, ...more });
  const mine = { color: colour("--accent"), width: 1.8 }, held = { color: colour("--faint"), width: 1.3, dash: "dot" };
  layout.yaxis = { ...layout.yaxis, domain: [0.48, 1], tickformat: ",.0f" };
  layout.yaxis2 = { ...layout.yaxis, domain: [0.2, 0.44], ticksuffix: " %", tickformat: ",.0f" };
  layout.yaxis3 = { ...layout.yaxis2, domain: [0, 0.15], rangemode: "tozero", nticks: 3 };
  layout.xaxis.anchor = "y3";
  show(element, [
    ...(isHeldShown ? [line("Holding", curve.held, held), line("Fall of holding", percent(curve.held_drawdown), { ...held, width: 1 }, { yaxis: "y2" })] : []),
    line("Equity", curve.equity, mine),
    line("Fall", percent(curve.drawdown), { color: colour("--loss"), width: 1.3 }, { yaxis: "y2", fill: "tozeroy", fillcolor: faint("--loss") }),
    line("Invested", percent(curve.invested), { color: colour("--bot-1"), width: 1, shape: "hv" }, { yaxis: "y3", fill: "tozeroy", fillcolor: faint("--bot-1") }),
  ], layout);
}

function drawCandles(element, data, symbol, finer) {
  const whole = { ...data.candles[symbol], fills: data.fills.filter((fill) => fill.symbol === symbol) };
  const trades = data.trades;
  for (const event of ["plotly_relayout", "plotly_doubleclick"]) element.removeAllListeners?.(event);
  paintCandles(element, whole, symbol, trades);
  if (!finer) return;
  let asked = 0, range = "";
  element.on("plotly_doubleclick", () => {
    asked++;
    range = "";
    paintCandles(element, whole, symbol, trades, [date(whole.times[0]), date(whole.times.at(-1) + whole.interval_ms)]);
  });
  element.on("plotly_relayout", async (change) => {
    if (!Object.keys(change).some((name) => name.startsWith("xaxis.range"))) return;
    const [begin, end] = element.layout.xaxis.range.map((at) => Date.parse(String(at).replace(" ", "T").replace(/Z?$/, "Z")));
    const wanted = `${begin} ${end}`;
    if (wanted === range || !(end > begin)) return;
    range = wanted;
    const mine = ++asked;
    try {
      const found = await finer(symbol, begin, end);
      if (mine === asked && found.times.length) paintCandles(element, found, symbol, trades, [date(begin), date(end)]);
    } catch {
      // The coarse candles stay: a plot that is less fine is still right.
    }
  });
}

function paintCandles(element, bars, symbol, trades, range = null) {
  if (!bars.times?.length) return empty(element, `No candles of ${symbol}.`);
  const layout = template(element);
  layout.xaxis.rangeslider = { visible: false };
  layout.hovermode = "closest";
  layout.dragmode = "zoom";
  layout.yaxis.fixedrange = true;
  if (range) layout.xaxis.range = range;
  layout.uirevision = `${symbol} ${range}`;
  const begin = bars.times[0], end = bars.times.at(-1) + bars.interval_ms;
  const marks = (side, mark, tone, word) => {
    const mine = bars.fills.filter((fill) => fill.side === side);
    return {
      type: "scatter", mode: "markers", name: word, x: mine.map((fill) => date(fill.time)), y: mine.map((fill) => fill.price), text: mine.map((fill) => fill.reason.replaceAll("_", " ").toLowerCase()),
      marker: { symbol: mark, size: 9, color: colour(tone), line: { color: colour("--card"), width: 1 } }, hovertemplate: `${word} at %{y:,}<br>%{x|%Y-%m-%d %H:%M}<br>%{text}<extra></extra>`,
    };
  };
  show(element, [
    {
      type: "candlestick", name: symbol, x: bars.times.map(date), open: bars.open, high: bars.high, low: bars.low, close: bars.close, hoverinfo: "x+y",
      increasing: { line: { color: colour("--gain"), width: 1 } }, decreasing: { line: { color: colour("--loss"), width: 1 } },
    },
    ...[true, false].map((won) => connections(trades, symbol, bars, begin, end, won)),
    marks("buy", "triangle-up", "--gain", "Bought"), marks("sell", "triangle-down", "--loss", "Sold"),
  ], layout);
}

// A line from the first buy of a trade to its last sale.
function connections(trades, symbol, bars, begin, end, won) {
  const priceAt = new Map(bars.fills.map((fill) => [`${fill.side} ${fill.time}`, fill.price]));
  const x = [], y = [];
  trades.opened.forEach((opened, place) => {
    const closed = trades.closed[place];
    if (trades.symbol[place] !== symbol || opened < begin || closed > end || trades.part[place] > 0 !== won) return;
    const from = priceAt.get(`buy ${opened}`), to = priceAt.get(`sell ${closed}`);
    if (from === undefined || to === undefined) return;
    x.push(date(opened), date(closed), null);
    y.push(from, to, null);
  });
  return { type: "scatter", mode: "lines", x, y, line: { color: colour(won ? "--gain" : "--loss"), width: 1.2, dash: "dot" }, hoverinfo: "skip" };
}

function drawDistribution(element, { edges, counts }) {
  if (!counts.length) return empty(element, "No trade was closed.");
  const layout = template(element);
  layout.hovermode = "closest";
  layout.xaxis = { ...layout.yaxis, ticksuffix: " %", tickformat: ",.2~f", title: { text: "result of a trade" } };
  layout.yaxis = { ...layout.yaxis, title: { text: "trades" } };
  layout.margin = { l: 56, r: 12, t: 8, b: 44 };
  layout.bargap = 0.06;
  const middles = counts.map((_, place) => (edges[place] + edges[place + 1]) * 50);
  layout.shapes = [{ type: "line", x0: 0, x1: 0, yref: "paper", y0: 0, y1: 1, line: { color: colour("--faint"), width: 1 } }];
  show(element, [{
    type: "bar", x: middles, y: counts, width: counts.map((_, place) => (edges[place + 1] - edges[place]) * 94),
    marker: { color: middles.map((middle) => colour(middle > 0 ? "--gain" : "--loss")) },
    customdata: counts.map((_, place) => [edges[place] * 100, edges[place + 1] * 100]), hovertemplate: "%{customdata[0]:.2f} to %{customdata[1]:.2f} %<br>%{y} trades<extra></extra>",
  }], layout);
}

function drawWays(element, trades) {
  if (!trades.part.length) return empty(element, "No trade was closed.");
  const layout = template(element);
  layout.hovermode = "closest";
  layout.xaxis = { ...layout.yaxis, ticksuffix: " %", title: { text: "result of a trade" } };
  layout.yaxis = { ...layout.yaxis, ticksuffix: " %", title: { text: "on the way" } };
  layout.margin = { l: 64, r: 12, t: 8, b: 44 };
  const dots = (name, values, tone, mark) => ({
    type: "scatter", mode: "markers", name, x: percent(trades.part), y: percent(values), marker: { color: colour(tone), size: 6, opacity: 0.65, symbol: mark },
    text: trades.opened.map((at) => new Date(at).toISOString().slice(0, 16).replace("T", " ")), hovertemplate: `${name} %{y:.2f} %<br>result %{x:.2f} %<br>%{text}<extra></extra>`,
  });
  show(element, [dots("Went for it", trades.favourable, "--gain", "triangle-up"), dots("Went against it", trades.adverse, "--loss", "triangle-down")], layout);
}

function faint(name) {
  const tone = colour(name);
  return tone.startsWith("#") ? `${tone}26` : tone;
}
