// History: the forms that fetch, import and export, the buttons that repair, and the calendar of what is there.
import { colour, empty, get, template } from "./charts.js";
import { attempt, send, toast } from "./commands.js";

const WEEKDAYS = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
const WEEK_MS = 7 * 86400000;

let waits = null;
// A job that was asked for here may have ended before the first look at the list.
let isAwaited = false;

startForm();
startRepairs();
startCalendar();
watchJobs();
document.body.addEventListener("htmx:afterSettle", watchJobs);

function startForm() {
  onSubmit("history-form", (value, form) => request("fetches", {
    symbols: value("symbols").split(/[\s,]+/).filter(Boolean), intervals: [value("interval")], begin: value("begin"), end: value("end"),
    fill_daily: form.elements.fill_daily.checked, force: form.elements.force.checked, base_url: value("base_url"),
  }));
  onSubmit("import-form", (value, form) => {
    const files = [...form.querySelectorAll("[name=files]:checked")].map((box) => box.value);
    if (!files.length) throw new Error("Choose at least one file.");
    return request("imports", { files, exchange: value("exchange"), symbol: value("symbol"), interval: value("interval") });
  });
  onSubmit("export-form", (value) => request("exports", {
    exchange: value("exchange"), symbol: value("symbol"), interval: value("interval"), format: value("format"),
  }));
}

// A form that is not there has nothing to offer yet.
function onSubmit(id, work) {
  const form = document.getElementById(id);
  form?.addEventListener("submit", async (event) => {
    event.preventDefault();
    await attempt(form.querySelector(".error"), async () => work((name) => form.elements[name].value.trim(), form));
  });
}

function startRepairs() {
  for (const button of document.querySelectorAll(".repair")) {
    button.addEventListener("click", async () => {
      const { symbol, interval, begin, end } = button.dataset;
      button.disabled = true;
      try {
        const base_url = document.getElementById("history-form").elements.base_url.value.trim();
        await request("fetches", { symbols: [symbol], intervals: [interval], begin, end, fill_daily: true, base_url });
      } catch (failure) {
        toast(failure.message, "bad");
        button.disabled = false;
      }
    });
  }
}

async function request(what, body) {
  const job = await send("POST", `/api/v1/history/${what}`, body);
  isAwaited = true;
  toast(`Job ${job.id} (${job.kind}) is queued.`);
  await refreshJobs();
}

async function refreshJobs() {
  await htmx.ajax("GET", "/parts/history_jobs/", { target: "#history-jobs", swap: "innerHTML" });
  poll();
}

// While something is under way, the jobs are asked for; what is there is shown anew when the last one ends.
function poll() {
  waits ??= setTimeout(async () => {
    waits = null;
    const was = isAwaited || underWay() > 0;
    await htmx.ajax("GET", "/parts/history_jobs/", { target: "#history-jobs", swap: "innerHTML" });
    if (underWay()) poll();
    else if (was) location.reload();
  }, 2000);
}

function underWay() {
  return document.querySelectorAll('.history-job[data-state="running"], .history-job[data-state="queued"]').length;
}

function watchJobs() {
  if (underWay()) poll();
}

async function startCalendar() {
  const element = document.getElementById("history-calendar");
  if (!element) return;
  const { exchange, symbol, interval } = element.dataset;
  let days;
  try {
    days = await get(`/api/v1/history/calendar?${new URLSearchParams({ exchange, symbol, interval })}`);
  } catch (failure) {
    return empty(element, `The calendar could not be loaded: ${failure.message}`);
  }
  draw();
  document.addEventListener("themechange", draw);

  function draw() {
    const { x, z, words } = weeks(days);
    const layout = template(element);
    layout.yaxis = { ...layout.yaxis, autorange: "reversed", showgrid: false, type: "category" };
    layout.xaxis = { ...layout.xaxis, showgrid: false, showspikes: false };
    layout.hovermode = "closest";
    layout.dragmode = "pan";
    // From all there to all missing; a single missing candle must be seen, so that the scale jumps right after zero.
    const scale = [[0, colour("--good")], [0.0001, colour("--good")], [0.0002, colour("--loss")], [1, colour("--bad")]];
    Plotly.react(element, [{
      type: "heatmap", x, y: WEEKDAYS, z, text: words, zmin: 0, zmax: 1, colorscale: scale, showscale: false, xgap: days.dates.length > 800 ? 0 : 1, ygap: 1,
      hoverongaps: false, hovertemplate: "%{text}<extra></extra>",
    }], layout, { displayModeBar: false, responsive: true, displaylogo: false });
  }
}

// A column is a week, a row a weekday; days before the first and after the last candle stay empty.
function weeks({ dates, expected, missing }) {
  const monday = (at) => at - ((new Date(at).getUTCDay() + 6) % 7) * 86400000;
  const first = monday(Date.parse(dates[0])), count = Math.round((monday(Date.parse(dates.at(-1))) - first) / WEEK_MS) + 1;
  const x = Array.from({ length: count }, (_, week) => new Date(first + week * WEEK_MS).toISOString().slice(0, 10));
  const z = WEEKDAYS.map(() => new Array(count).fill(null)), words = WEEKDAYS.map(() => new Array(count).fill(""));
  dates.forEach((date, place) => {
    const at = Date.parse(date), week = Math.floor((at - first) / WEEK_MS), day = (new Date(at).getUTCDay() + 6) % 7;
    z[day][week] = Math.min(1, missing[place] / expected[place]);
    words[day][week] = missing[place] ? `${date}: ${missing[place]} of ${expected[place]} missing` : `${date}: all ${expected[place]} there`;
  });
  return { x, z, words };
}
