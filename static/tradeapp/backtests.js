// Backtests: the form that asks for one, and the plots of its report.
import { get } from "./charts.js";
import { attempt, send, toast } from "./commands.js";
import { drawReport } from "./report_figures.js";

startForm();
startReport();
// The report comes when the run is done, after this script ran.
document.body.addEventListener("htmx:afterSettle", startReport);

function startForm() {
  const form = document.getElementById("backtest-form");
  if (!form) return;
  const error = document.getElementById("backtest-error");
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const button = form.querySelector("button[type=submit]");
    button.disabled = true;
    const failure = await attempt(error, async () => {
      const run = await send("POST", "/api/v1/backtests", body(form));
      toast("The backtest is queued.");
      location.assign(`/backtests/${run.id}/`);
    });
    button.disabled = !failure;
  });
}

function body(form) {
  const value = (name) => form.elements[name]?.value.trim() ?? "";
  const [symbol, ...others] = value("symbols").split(/[\s,]+/).filter(Boolean);
  const params = Object.fromEntries(value("params").split(/\s+/).filter(Boolean).map((pair) => {
    const [name, ...rest] = pair.split("=");
    if (!name || !rest.length) throw new Error(`Write parameters as NAME=VALUE, not ${pair}`);
    return [name, rest.join("=")];
  }));
  return {
    strategy: value("strategy"), params, symbol: symbol ?? "", others, interval: value("interval"), base_interval: value("base_interval"), folder: value("folder"),
    begin_at: `${value("begin")}T00:00:00Z`, end_at: `${value("end")}T00:00:00Z`, allocation: value("allocation"), taker_fee: value("fee"), maker_fee: value("fee"),
    half_spread: value("half_spread"), slippage: value("slippage"), participation: hundredth(value("volume_percent")), detail_interval: value("detail_interval"),
    frictions: {
      slippage_volatility: value("slippage_volatility"), slippage_impact: value("slippage_impact"), rest: value("rest"), fee_in: value("fee_in"),
      latency_ms: value("latency_ms"), fee_tiers: value("fee_tiers").split(/\s+/).filter(Boolean).map(tier),
    },
  };
}

// "12.5" percent is "0.125", digit by digit: 12.5 / 100 in binary is not always that.
function hundredth(percent) {
  const [whole, part = ""] = percent.split(".");
  if (!/^\d{1,2}$/.test(whole) || !/^\d*$/.test(part)) throw new Error(`Write a share of a candle's volume as percent below 100, such as 12.5, not ${percent}`);
  return `0.${whole.padStart(2, "0")}${part}`;
}

function tier(text) {
  const found = /^([\d.]+)=([\d.]+)(?:\/([\d.]+))?$/.exec(text);
  if (!found) throw new Error(`Write a fee tier as VOLUME=TAKER/MAKER, such as 1000000=0.0009/0.0008, not ${text}`);
  const [, volume, taker, maker = taker] = found;
  return { volume, taker_fee: taker, maker_fee: maker };
}

function startReport() {
  const data = document.getElementById("report-data");
  if (!data || data.dataset.started) return;
  data.dataset.started = "yes";
  const run = document.getElementById("report").dataset.run;
  drawReport(JSON.parse(data.textContent), (symbol, begin, end) => {
    const asked = { symbol, begin_at: new Date(begin).toISOString(), end_at: new Date(end).toISOString() };
    return get(`/api/v1/backtests/${run}/candles?${new URLSearchParams(asked)}`);
  });
}
