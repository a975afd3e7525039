// The limits: only what was changed is sent, one row at a time, with a reason.
import { attempt, send, toast } from "./commands.js";

export function startLimits() {
  document.body.addEventListener("submit", (event) => {
    if (event.target.id !== "limits-form") return;
    event.preventDefault();
    apply(event.target);
  });
  document.body.addEventListener("click", (event) => {
    if (event.target.id === "limits-look") look(event.target.form);
  });
}

// The server asks its own gate with what is typed; nothing is set.
async function look(form) {
  const told = document.getElementById("limits-preview");
  told.hidden = true;
  await attempt(document.getElementById("limits-error"), async () => {
    const rows = edited(form).map(([row, changed]) => ({ ...whose(row), ...changed }));
    const found = await send("POST", "/api/v1/risk/limits/preview", { account: Number(form.dataset.account), changes: rows });
    const sentences = found.rows.map((row) => row.sentence).filter(Boolean);
    const lines = sentences.length ? sentences.map((text) => `With these limits: ${text}`) : ["Nobody would be shut out or sold out by these limits now."];
    if (found.raised.length) lines.push(`This raises ${found.raised.join(", ")}: only an administrator may.`);
    told.replaceChildren(...lines.map((text) => Object.assign(document.createElement("p"), { textContent: text })));
    told.classList.toggle("warn", sentences.length > 0);
    told.hidden = false;
  });
}

function edited(form) {
  const rows = [...form.querySelectorAll("tr[data-book]")].map((row) => [row, changes(row)]).filter(([, changed]) => Object.keys(changed).length);
  if (!rows.length) throw new Error("No limit was changed.");
  return rows;
}

function whose(row) {
  return row.dataset.book ? { book: Number(row.dataset.book) } : {};
}

// Redrawing the form while somebody types would take their words away.
export function isEdited() {
  return [...document.querySelectorAll("#limits-form .limit")].some((field) => field.value !== field.dataset.was) || Boolean(document.getElementById("limits-reason")?.value);
}

async function apply(form) {
  const reason = document.getElementById("limits-reason").value.trim();
  await attempt(document.getElementById("limits-error"), async () => {
    const rows = edited(form);
    if (!reason) throw new Error("Say why: the audit keeps it.");
    for (const [row, changed] of rows) {
      await send("POST", "/api/v1/risk/limits", { account: Number(form.dataset.account), reason, ...whose(row), ...changed });
      for (const field of row.querySelectorAll(".limit")) field.dataset.was = field.value;
    }
    toast("Limits are set; the next order is held against them.");
    document.getElementById("limits-reason").value = "";
    document.getElementById("limits-preview").hidden = true;
    htmx.trigger(document.body, "changed");
  });
}

function changes(row) {
  const whole = ["orders_per_minute", "repeats_max"];
  const changed = [...row.querySelectorAll(".limit")].filter((field) => field.value.trim() !== field.dataset.was && field.value.trim());
  return Object.fromEntries(changed.map((field) => [field.name, whole.includes(field.name) ? Number(field.value) : field.value.trim()]));
}
