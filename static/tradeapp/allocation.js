// The allocation form: a preview first, then the change, from the version that was looked at.
import { send, toast } from "./commands.js";

const ADDRESS = "/api/v1/allocations";

export function startAllocation() {
  const form = document.getElementById("allocation-form");
  if (!form) return;
  const apply = document.getElementById("allocation-apply");
  const even = document.getElementById("allocation-even");
  const error = document.getElementById("allocation-error");
  const told = document.getElementById("allocation-told");
  let back = null;

  form.addEventListener("input", () => {
    back = null;
    apply.disabled = true;
    apply.textContent = "Set shares";
    even.hidden = true;
    told.hidden = true;
    tell(form);
  });
  form.addEventListener("submit", (event) => event.preventDefault());
  document.getElementById("allocation-preview").addEventListener("click", () => run(async () => {
    back = null;
    apply.textContent = "Set shares";
    show(form, await send("POST", `${ADDRESS}/preview`, body(form)));
  }));
  document.getElementById("versions").addEventListener("click", (event) => {
    const button = event.target.closest(".roll-back");
    if (button) run(async () => {
      const plan = await send("POST", `${ADDRESS}/rollback`, { ...whose(form), to: Number(button.dataset.version), preview: true });
      fill(form, plan);
      show(form, plan);
      back = Number(button.dataset.version);
      apply.textContent = `Roll back to version ${back}`;
      say(`This is what going back to version ${back} would do now. It is a version of its own; nothing has changed yet.`);
      form.scrollIntoView({ block: "nearest" });
      apply.focus();
    });
  });
  even.addEventListener("click", () => {
    const shares = JSON.parse(even.dataset.shares);
    for (const row of rows(form)) if (shares[row.dataset.book] !== undefined) row.querySelector(".share").value = shares[row.dataset.book];
    form.dispatchEvent(new Event("input"));
  });
  apply.addEventListener("click", () => run(async () => {
    apply.disabled = true;
    if (back === null) await send("POST", ADDRESS, body(form));
    else await send("POST", `${ADDRESS}/rollback`, { ...whose(form), to: back });
    toast("Shares are set; the next order is sized by them.");
    setTimeout(() => location.reload(), 800);
  }));
  document.body.addEventListener("changed", () => location.reload());
  tell(form);

  async function run(work) {
    error.hidden = true;
    told.hidden = true;
    even.hidden = true;
    try {
      await work();
    } catch (failure) {
      error.textContent = failure.message;
      error.hidden = false;
      offer(failure.facts?.even);
    }
  }

  function say(text) {
    told.textContent = text;
    told.hidden = false;
  }

  function offer(shares) {
    even.hidden = !shares || !Object.keys(shares).length;
    even.dataset.shares = JSON.stringify(shares ?? {});
  }

  function show(where, plan) {
    for (const share of plan.shares) {
      const row = where.querySelector(`tr[data-book="${share.book}"]`);
      row.querySelector(".preview-moved").textContent = money(share.moved, true);
      row.querySelector(".preview-funded").textContent = money(share.funded, false);
      row.querySelector(".preview-pending").textContent = Number(share.pending) ? `${money(share.pending, true)} ${share.pending.startsWith("-") ? "when free" : "when there is cash"}` : "–";
    }
    apply.disabled = false;
    const rest = Number(plan.remainder_percent);
    if (rest <= 0) return;
    say(`${plan.remainder_percent} % stays unallocated (${money(plan.unallocated, false)} with what is not dealt out yet).`);
    if (rest < 1) offer(Object.fromEntries(plan.even.map((share) => [share.book, share.percent])));
  }
}

function rows(form) {
  return [...form.querySelectorAll("tr[data-book]")];
}

function whose(form) {
  return { account: Number(form.dataset.account), version: Number(form.dataset.version), note: form.elements.note.value };
}

function body(form) {
  const shares = rows(form).map((row) => ({
    book: Number(row.dataset.book), percent: row.querySelector(".share").value.trim(), is_locked: row.querySelector(".lock").checked,
  }));
  const { reserve_percent, band_percent, rebase_hours, rebases_after_flows } = form.elements;
  const policy = {
    reserve_percent: reserve_percent.value.trim(), band_percent: band_percent.value.trim(),
    rebase_hours: Number(rebase_hours.value), rebases_after_flows: rebases_after_flows.checked,
  };
  return { ...whose(form), shares, policy };
}

function fill(form, plan) {
  for (const share of plan.shares) {
    const row = form.querySelector(`tr[data-book="${share.book}"]`);
    row.querySelector(".share").value = share.percent;
    row.querySelector(".lock").checked = share.is_locked;
  }
  for (const name of ["reserve_percent", "band_percent", "rebase_hours"]) form.elements[name].value = plan.policy[name];
  form.elements.rebases_after_flows.checked = plan.policy.rebases_after_flows;
  tell(form);
}

function tell(form) {
  const sum = [...form.querySelectorAll("input.share")].reduce((total, input) => total + (Number(input.value) || 0), 0);
  const reserve = Number(form.elements.reserve_percent.value) || 0;
  const rest = Math.round((100 - reserve - sum) * 10000) / 10000;
  document.getElementById("allocation-sum").textContent = `Sum ${Math.round(sum * 10000) / 10000} %${reserve ? ` and ${reserve} % reserve` : ""}, ${rest < 0 ? `${-rest} % too much` : `${rest} % stays unallocated`}`;
}

function money(text, plus) {
  const value = Number(text);
  const shown = Math.abs(value).toLocaleString("en-US", { minimumFractionDigits: 2, maximumFractionDigits: 2 });
  return `${value < 0 ? "−" : plus && value > 0 ? "+" : ""}${shown}`;
}
