// The limits: only what was changed is sent, one row at a time, with a reason.
import { send, toast } from "./commands.js";

export function startLimits() {
  document.body.addEventListener("submit", (event) => {
    if (event.target.id !== "limits-form") return;
    event.preventDefault();
    apply(event.target);
  });
}

// Redrawing the form while somebody types would take their words away.
export function isEdited() {
  return [...document.querySelectorAll("#limits-form .limit")].some((field) => field.value !== field.dataset.was) || Boolean(document.getElementById("limits-reason")?.value);
}

async function apply(form) {
  const error = document.getElementById("limits-error");
  const reason = document.getElementById("limits-reason").value.trim();
  error.hidden = true;
  try {
    const rows = [...form.querySelectorAll("tr[data-book]")].map((row) => [row, changes(row)]).filter(([, changed]) => Object.keys(changed).length);
    if (!rows.length) throw new Error("No limit was changed.");
    if (!reason) throw new Error("Say why: the audit keeps it.");
    for (const [row, changed] of rows) {
      const book = row.dataset.book ? { book: Number(row.dataset.book) } : {};
      await send("POST", "/api/v1/risk/limits", { account: Number(form.dataset.account), reason, ...book, ...changed });
      for (const field of row.querySelectorAll(".limit")) field.dataset.was = field.value;
    }
    toast("Limits are set; the next order is held against them.");
    document.getElementById("limits-reason").value = "";
    htmx.trigger(document.body, "changed");
  } catch (failure) {
    error.textContent = failure.message;
    error.hidden = false;
  }
}

function changes(row) {
  const whole = ["orders_per_minute", "repeats_max"];
  const changed = [...row.querySelectorAll(".limit")].filter((field) => field.value.trim() !== field.dataset.was && field.value.trim());
  return Object.fromEntries(changed.map((field) => [field.name, whole.includes(field.name) ? Number(field.value) : field.value.trim()]));
}
