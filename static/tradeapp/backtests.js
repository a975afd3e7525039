// Backtests: the form that asks for one, and the plots of its report.
import { get } from "./charts.js";
import { attempt, send, toast } from "./commands.js";
import { frictionsOf } from "./frictions.js";
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
  const fees = value("fee").split(/[\s]+/).filter(Boolean);
  return {
    strategy: value("strategy"), params, symbol: symbol ?? "", others, interval: value("interval"), base_interval: value("base_interval"), folder: value("folder"),
    begin_at: `${value("begin")}T00:00:00Z`, end_at: `${value("end")}T00:00:00Z`, allocation: value("allocation"), taker_fee: fees[0] ?? "", maker_fee: fees[0] ?? "",
    taker_fees: fees.length > 1 ? fees : [],
    detail_interval: value("detail_interval"), ...frictionsOf(form),
  };
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
