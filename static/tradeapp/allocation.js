// The allocation form: a preview first, then the change.
import { send, toast } from "./commands.js";

export function startAllocation() {
  const form = document.getElementById("allocation-form");
  if (!form) return;
  const apply = document.getElementById("allocation-apply");
  const error = document.getElementById("allocation-error");

  form.addEventListener("input", () => {
    apply.disabled = true;
    tell(form);
  });
  form.addEventListener("submit", (event) => event.preventDefault());
  document.getElementById("allocation-preview").addEventListener("click", () => run(async () => {
    show(form, await send("POST", "/api/v1/allocations/preview", body(form)));
    apply.disabled = false;
  }));
  apply.addEventListener("click", () => run(async () => {
    apply.disabled = true;
    await send("POST", "/api/v1/allocations", body(form));
    toast("Shares are set; the next order is sized by them.");
    setTimeout(() => location.reload(), 800);
  }));
  tell(form);

  async function run(work) {
    error.hidden = true;
    try {
      await work();
    } catch (failure) {
      error.textContent = failure.message;
      error.hidden = false;
    }
  }
}

function body(form) {
  const rows = [...form.querySelectorAll("tr[data-book]")];
  const shares = rows.map((row) => ({ book: Number(row.dataset.book), percent: row.querySelector("input").value.trim() }));
  return { account: Number(form.dataset.account), shares };
}

function show(form, plan) {
  for (const share of plan.shares) {
    const row = form.querySelector(`tr[data-book="${share.book}"]`);
    row.querySelector(".preview-moved").textContent = money(share.moved, true);
    row.querySelector(".preview-funded").textContent = money(share.funded, false);
  }
}

function tell(form) {
  const sum = [...form.querySelectorAll("input.share")].reduce((total, input) => total + (Number(input.value) || 0), 0);
  document.getElementById("allocation-sum").textContent = `Sum ${Math.round(sum * 10000) / 10000} %, ${Math.round((100 - sum) * 10000) / 10000} % stays unallocated`;
}

function money(text, plus) {
  const value = Number(text);
  const shown = Math.abs(value).toLocaleString("en-US", { minimumFractionDigits: 2, maximumFractionDigits: 2 });
  return `${value < 0 ? "−" : plus && value > 0 ? "+" : ""}${shown}`;
}
