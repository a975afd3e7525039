// Charts: one Plotly template; history comes from the API, the newest point from the stream.
import { colour, empty, show, template } from "./chart_tools.js";
import { exposure } from "./exposure.js";
import { gauge } from "./gauge.js";

export { colour, empty, template };

const DRAW_MS = 1500;
const FETCH_MS = 3000;
const charts = [];

export function startCharts(stream) {
  for (const element of document.querySelectorAll("[data-chart]")) {
    const chart = make[element.dataset.chart](element);
    charts.push(chart);
    chart.load().catch((failure) => empty(element, `The chart could not be loaded: ${failure.message}`));
  }
  for (const ranges of document.querySelectorAll(".ranges")) {
    ranges.addEventListener("click", (event) => choose(ranges, event.target.closest("button")));
  }
  stream.on((topic, state) => charts.forEach((chart) => chart.hear(topic.split(":")[0], state)));
  document.addEventListener("themechange", () => charts.forEach((chart) => chart.draw()));
}

const make = {
  risk(element) {
    return gauge(element, { fetched, plot, template, legend, colour, get, empty });
  },

  exposure(element) {
    return exposure(element, { fetched, plot, template, legend, colour, get, empty });
  },

  equity(element) {
    // A book that had no money yet is no line at zero.
    const funded = (points) => points.slice(Math.max(0, points.findIndex((point) => point[1] !== 0)));
    const bots = JSON.parse(element.dataset.bots);
    const only = element.dataset.only;
    const lines = new Map();
    const chart = base(element, draw);
    chart.load = async () => {
      const keys = only ? [only] : ["account", ...bots.map((bot) => String(bot.book))];
      const answers = await Promise.all(keys.map((key) => items(`/api/v1/accounts/${element.dataset.account}/equity?limit=3000${key === "account" ? "" : `&book=${key}`}`)));
      keys.forEach((key, place) => lines.set(key, funded(answers[place].map((point) => [point.market_at, Number(point.equity)]))));
      draw();
    };
    chart.hear = (topic, state) => {
      if (topic !== "portfolio" || !state.data.point?.at || !lines.size) return;
      const { at, ...values } = state.data.point;
      for (const [key, points] of lines) {
        if (values[key] === undefined) continue;
        if (points.length && points.at(-1).isLive) points.pop();
        if (points.length && points.at(-1)[0] >= at) continue;
        const point = [at, Number(values[key])];
        // The newest point moves until a closed candle makes it history.
        point.isLive = !isMinuteFive(at, points);
        points.push(point);
      }
      chart.later();
    };
    return chart;

    function draw() {
      if (![...lines.values()].some((points) => points.length > 1)) return empty(element, "Points come with each closed candle.");
      const traces = [...lines].map(([key, points]) => {
        const bot = bots.find((one) => String(one.book) === key);
        const is_account = key === "account";
        return {
          type: "scatter", mode: "lines", name: is_account ? "Account" : bot.name,
          x: points.map((point) => point[0]), y: points.map((point) => point[1]),
          line: { color: is_account ? colour("--text") : colour(`--bot-${bot.colour}`), width: is_account ? 2 : 1.5 },
          visible: !hidden(element).has(is_account ? "Account" : bot.name), yaxis: is_account || only ? "y" : "y2", hovertemplate: "%{y:,.2f}<extra>%{fullData.name}</extra>",
        };
      });
      const layout = template(element);
      layout.yaxis.tickformat = ",.2f";
      if (!only && bots.length) {
        layout.yaxis.domain = [0.56, 1];
        layout.yaxis2 = { ...layout.yaxis, domain: [0, 0.48] };
        layout.xaxis.anchor = "y2";
      }
      plot(element, traces, layout);
      legend(element, traces.map((trace) => ({ name: trace.name, colour: trace.line.color })), draw);
    }
  },

  allocation(element) {
    const bots = JSON.parse(element.dataset.bots);
    const chart = base(element, draw);
    let state = null;
    chart.load = async () => {
      const plan = await get(`/api/v1/allocations?account=${element.dataset.account}`);
      state = { unallocated: plan.unallocated, shares: Object.fromEntries(plan.shares.map((share) => [share.book, { target: share.target, actual: share.funded }])) };
      draw();
    };
    chart.hear = (topic, fresh) => {
      if (topic !== "allocation" || !fresh.data.shares) return;
      state = fresh.data;
      chart.later();
    };
    return chart;

    function draw() {
      if (!state || !bots.length) return empty(element, "No shares yet: create bots first.");
      const names = [...bots.map((bot) => bot.name), "Unallocated"];
      const colours = [...bots.map((bot) => colour(`--bot-${bot.colour}`)), colour("--chip")];
      const sum = (kind) => bots.map((bot) => Math.max(0, Number(state.shares[bot.book]?.[kind] ?? 0)));
      const free = Math.max(0, Number(state.unallocated));
      const ring = (values, hole, domain, name) => ({
        type: "pie", name, labels: names, values, hole, domain, sort: false, direction: "clockwise", textinfo: "percent",
        textposition: "inside", insidetextorientation: "horizontal", marker: { colors: colours, line: { color: colour("--card"), width: 2 } },
        textfont: { color: colour("--on-bot"), size: 11 }, hovertemplate: `%{label}<br>%{value:,.2f} (%{percent})<extra>${name}</extra>`,
      });
      const layout = template(element);
      delete layout.xaxis;
      delete layout.yaxis;
      layout.margin = { l: 8, r: 8, t: 8, b: 8 };
      plot(element, [
        ring([...sum("target"), free], 0.76, { x: [0, 1], y: [0, 1] }, "target"),
        ring([...sum("actual"), free], 0.62, { x: [0.14, 0.86], y: [0.14, 0.86] }, "actual"),
      ], layout);
      legend(element, names.map((name, place) => ({ name, colour: colours[place] })));
    }
  },

  candles(element) {
    const { symbol, interval, book, account, market, bot } = element.dataset;
    const chart = base(element, draw);
    let candles = [], fills = [], stops = [], seen = { opened_at: [], plots: [] }, closed = null;
    chart.load = async () => {
      [candles, fills, stops, seen] = await Promise.all([
        items(`/api/v1/candles?symbol=${encodeURIComponent(symbol)}&market=${market}&interval=${interval}&limit=500`),
        items(`/api/v1/fills?account=${account}&book=${book}&limit=300`),
        items(`/api/v1/orders?account=${account}&book=${book}&limit=200`),
        get(`/api/v1/bots/${bot}/indicators?limit=500`),
      ]);
      fills = fills.filter((fill) => fill.symbol === symbol);
      stops = stops.filter((order) => order.symbol === symbol && order.stop_price && order.type.startsWith("STOP"));
      draw();
    };
    chart.hear = (topic, state) => {
      if (topic === "bot" && state.data.bar_closed_at !== closed) {
        const is_first = closed === null;
        closed = state.data.bar_closed_at;
        if (!is_first) chart.load().catch(() => {});
      }
    };
    return chart;

    function draw() {
      if (!candles.length) return empty(element, `No candles of ${symbol} yet: the feed fetches their history when it starts.`);
      const x = candles.map((candle) => candle.open_at);
      const first = x[0];
      const column = (name) => candles.map((candle) => candle[name]);
      const marks = (side, mark, tone, word) => {
        const mine = fills.filter((fill) => fill.side === side && fill.traded_at >= first);
        return {
          type: "scatter", mode: "markers", name: word, x: mine.map((fill) => fill.traded_at), y: mine.map((fill) => Number(fill.price)),
          marker: { symbol: mark, size: 11, color: colour(tone), line: { color: colour("--card"), width: 1.5 } },
          customdata: mine.map((fill) => fill.quantity), hovertemplate: `${word} %{customdata} at %{y:,}<extra></extra>`,
        };
      };
      const lines = { type: "scatter", mode: "lines", name: "Stop", x: [], y: [], line: { color: colour("--warn"), width: 1.5, dash: "dot" }, hovertemplate: "Stop %{y:,}<extra></extra>" };
      for (const order of stops) {
        const end = order.closed_at && order.status !== "open" ? stopEnd(order, fills, x) : x.at(-1);
        if (end < first) continue;
        lines.x.push(order.market_at < first ? first : order.market_at, end, null);
        lines.y.push(Number(order.stop_price), Number(order.stop_price), null);
      }
      const looks = indicators(element, seen, first);
      const layout = template(element);
      layout.xaxis.rangeslider = { visible: false };
      layout.hovermode = "x";
      if (looks.some((trace) => trace.yaxis === "y2")) {
        layout.yaxis.domain = [0.3, 1];
        layout.yaxis2 = { ...layout.yaxis, domain: [0, 0.24] };
        layout.xaxis.anchor = "y2";
      }
      plot(element, [
        { type: "candlestick", name: symbol, x, open: column("open"), high: column("high"), low: column("low"), close: column("close"),
          increasing: { line: { color: colour("--gain"), width: 1 } }, decreasing: { line: { color: colour("--loss"), width: 1 } } },
        ...looks, lines, marks("buy", "triangle-up", "--gain", "Bought"), marks("sell", "triangle-down", "--loss", "Sold"),
      ], layout);
      legend(element, looks.map((trace) => ({ name: trace.name, colour: trace.line.color })), draw);
    }
  },
};

// What the strategy looked at, in colours that stand apart from gain, loss and stop.
const LINES = [1, 5, 4, 6, 2];
function indicators(element, seen, first) {
  const from = seen.opened_at.findIndex((at) => at >= first);
  if (from < 0) return [];
  const counts = {}, x = seen.opened_at.slice(from);
  return seen.plots.map((one) => {
    const place = (counts[one.pane] = (counts[one.pane] ?? -1) + 1);
    return {
      type: "scatter", mode: "lines", name: one.label, x, y: one.values.slice(from), yaxis: one.pane === "below" ? "y2" : "y",
      line: { color: colour(`--bot-${LINES[(place + (one.pane === "below" ? 3 : 0)) % LINES.length]}`), width: 1.2 }, visible: !hidden(element).has(one.label),
      hovertemplate: `${one.label} %{y:,.6~g}<extra></extra>`,
    };
  });
}

// A stop ends where it filled, or where the next sell of the bot made it needless.
function stopEnd(order, fills, x) {
  const later = fills.filter((fill) => fill.side === "sell" && fill.traded_at >= order.market_at).map((fill) => fill.traded_at);
  return later.length ? later.reduce((least, at) => (at < least ? at : least)) : x.at(-1);
}

function base(element, draw) {
  let waits = null;
  return {
    element, draw,
    load: async () => {},
    hear: () => {},
    later() {
      waits ??= setTimeout(() => { waits = null; draw(); }, DRAW_MS);
    },
  };
}

// A chart whose figures the API counts: asked for anew when the money has moved, but not at every tick.
function fetched(element, draw, read) {
  const chart = base(element, draw);
  let at = 0;
  chart.load = async () => {
    at = Date.now();
    await read();
    draw();
  };
  chart.hear = (topic) => {
    if (topic === "portfolio" && Date.now() - at >= FETCH_MS) chart.load().catch(() => {});
  };
  return chart;
}

function isMinuteFive(at, points) {
  const date = new Date(at);
  return points.length < 2 || (date.getUTCMinutes() % 5 === 0 && date.getUTCSeconds() === 0);
}

function plot(element, traces, layout) {
  const range = element.dataset.hours ? since(traces, Number(element.dataset.hours)) : null;
  if (range && layout.xaxis) {
    layout.xaxis.range = range;
    for (const axis of ["yaxis", "yaxis2"]) if (layout[axis]) layout[axis].range = heights(traces, axis.replace("axis", ""), range);
  }
  show(element, traces, layout);
}

function since(traces, hours) {
  const ends = traces.map((trace) => trace.x?.filter(Boolean).at(-1)).filter(Boolean).sort();
  if (!ends.length) return null;
  const end = Date.parse(ends.at(-1));
  return [new Date(end - hours * 3600000).toISOString(), new Date(end).toISOString()];
}

// The height of what is seen: Plotly would fit the axis to everything there is.
function heights(traces, axis, [begin, end]) {
  const seen = [];
  for (const trace of traces.filter((one) => (one.yaxis ?? "y") === axis && one.visible !== false)) {
    trace.x.forEach((at, place) => {
      if (!at || new Date(at) < new Date(begin) || new Date(at) > new Date(end)) return;
      for (const values of [trace.y, trace.low, trace.high]) if (values?.[place] != null) seen.push(values[place]);
    });
  }
  if (!seen.length) return undefined;
  const low = Math.min(...seen), high = Math.max(...seen), margin = (high - low || 1) * 0.06;
  return [low - margin, high + margin];
}

function choose(ranges, button) {
  if (!button) return;
  for (const one of ranges.querySelectorAll("button")) one.setAttribute("aria-pressed", String(one === button));
  const chart = charts.find((one) => one.element.id === ranges.dataset.for);
  chart.element.dataset.hours = button.dataset.hours;
  chart.draw();
}

// Legends are ours: Plotly's cover the plot when the page is narrow. A chart's hidden lines are remembered.
function legend(element, entries, draw) {
  const box = document.querySelector(`[data-legend="${element.id}"]`);
  if (!box || box.childElementCount === entries.length) return box && paint(box, element);
  box.replaceChildren(...entries.map((entry) => {
    const item = document.createElement(draw ? "button" : "span");
    item.className = "legend-item";
    item.dataset.name = entry.name;
    const swatch = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    swatch.setAttribute("class", "legend-swatch");
    const rectangle = document.createElementNS("http://www.w3.org/2000/svg", "rect");
    rectangle.setAttribute("width", "10");
    rectangle.setAttribute("height", "10");
    rectangle.setAttribute("rx", "3");
    swatch.append(rectangle);
    item.append(swatch, entry.name);
    if (draw) item.addEventListener("click", () => { toggle(element, entry.name); draw(); paint(box, element); });
    return item;
  }));
  entries.forEach((entry, place) => box.children[place].querySelector("rect").setAttribute("fill", entry.colour));
  paint(box, element);
}

function paint(box, element) {
  for (const item of box.querySelectorAll("button")) item.setAttribute("aria-pressed", String(!hidden(element).has(item.dataset.name)));
}

function hidden(element) {
  return new Set(JSON.parse(localStorage.getItem(`hidden:${element.id}`) ?? "[]"));
}

function toggle(element, name) {
  const names = hidden(element);
  if (!names.delete(name)) names.add(name);
  localStorage.setItem(`hidden:${element.id}`, JSON.stringify([...names]));
}

export async function get(address) {
  const answer = await fetch(address);
  if (!answer.ok) throw new Error(`the server answered ${answer.status}`);
  return answer.json();
}

async function items(address) {
  return (await get(address)).items;
}
