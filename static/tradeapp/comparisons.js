// Comparisons of plans: the form that asks for one, and where its plot comes from.
import { empty, get } from "./charts.js";
import { attempt, send, toast } from "./commands.js";
import { drawComparison } from "./comparison_figures.js";
import { frictionsOf } from "./frictions.js";

startForm();
startPlot();
// The plot comes with the first plan that is done, and again with each further one.
document.body.addEventListener("htmx:afterSettle", startPlot);

function startForm() {
  const form = document.getElementById("comparison-form");
  if (!form) return;
  const error = document.getElementById("comparison-error");
  const rows = document.getElementById("plan-rows");
  const adding = document.getElementById("add-plan");
  const count = () => {
    const all = [...rows.children];
    adding.disabled = all.length >= Number(form.dataset.plansMax);
    all.forEach((row, place) => {
      row.querySelector("legend").textContent = `Plan ${place + 1}`;
      row.querySelector("[data-remove]").hidden = all.length < 2;
    });
  };
  const add = () => {
    const before = rows.lastElementChild;
    rows.append(document.getElementById("plan-row").content.cloneNode(true));
    const row = rows.lastElementChild;
    // A second plan is mostly the first with one thing changed.
    if (before) row.querySelector("[name=plan]").value = before.querySelector("[name=plan]").value;
    row.querySelector("[data-remove]").addEventListener("click", () => { row.remove(); count(); });
    row.querySelector("[name=mode]").addEventListener("change", () => fit(row));
    row.querySelector("[data-from]").addEventListener("change", (event) => attempt(error, () => fill(row, event.target.value, form.dataset.account)));
    fit(row);
    count();
  };
  adding.addEventListener("click", add);
  add();
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const button = form.querySelector("button[type=submit]");
    button.disabled = true;
    const failure = await attempt(error, async () => {
      const made = await send("POST", "/api/v1/simulations", body(form, rows));
      toast("The comparison is queued.");
      location.assign(`/comparisons/${made.id}/`);
    });
    button.disabled = !failure;
  });
}

// Only what the mode reads is asked for.
function fit(row) {
  const mode = row.querySelector("[name=mode]").value;
  for (const label of row.querySelectorAll("[data-for]")) label.hidden = !label.dataset.for.split(" ").includes(mode);
}

async function fill(row, from, account) {
  if (!from) return;
  const plan = from === "mine" ? await get(`/api/v1/lineups/export?account=${account}`) : (await get("/api/v1/lineups")).items.find((one) => one.name === from).plan;
  const whole = plan.bots.length;
  plan.bots = plan.bots.filter((bot) => (bot.exchanges ?? []).length < 2);
  row.querySelector("[name=plan]").value = JSON.stringify(plan, null, 2);
  if (plan.bots.length < whole) throw new Error(`${whole - plan.bots.length} of its bots trade on two exchanges and were left out.`);
}

function body(form, rows) {
  const value = (name) => form.elements[name].value.trim();
  const plans = [...rows.children].map((row, place) => {
    const written = (name) => { const field = row.querySelector(`[name=${name}]`); return field.closest("[hidden]") ? "" : field.value.trim(); };
    let plan;
    try {
      plan = JSON.parse(written("plan"));
    } catch (failure) {
      throw new Error(`Plan ${place + 1} is no JSON: ${failure.message}`);
    }
    return { plan, mode: written("mode"), bot: written("bot"), rotation: written("rotation"), budget: written("budget") || null };
  });
  return {
    plans, begin_at: `${value("begin")}T00:00:00Z`, end_at: `${value("end")}T00:00:00Z`, capital: value("capital"), interval: value("interval"),
    base_interval: value("base_interval"), folder: form.elements.folder ? value("folder") : "", fee: value("fee"), is_limited: form.elements.is_limited.checked,
    ...frictionsOf(form),
  };
}

async function startPlot() {
  const element = document.getElementById("comparison-plot");
  if (!element || element.dataset.started) return;
  element.dataset.started = "yes";
  try {
    const { items } = await get(`/api/v1/simulations/${element.dataset.comparison}/curves`);
    drawComparison(items);
  } catch (failure) {
    empty(element, `The curves could not be loaded: ${failure.message}`);
  }
}
