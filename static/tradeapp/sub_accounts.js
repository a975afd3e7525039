// Sub-accounts: a transfer is previewed before it is asked for; shares and limits are set; proposals go at one click.
import { attempt, send, toast } from "./commands.js";

const ADDRESS = "/api/v1/subaccounts";
const form = document.getElementById("transfer-form");
const limits = document.getElementById("transfer-limits");
const targets = document.getElementById("targets-form");

if (form) {
  onSubmit(form, "transfer-error", preview);
  onSubmit(limits, "transfer-limits-error", setLimits);
  onSubmit(targets, "targets-error", setTargets);
  targets.addEventListener("input", addUp);
  addUp();
  document.body.addEventListener("click", (event) => {
    const button = event.target.closest("[data-move], #move-all");
    if (button) ask(button);
  });
}

function onSubmit(where, errorId, work) {
  where.addEventListener("submit", async (event) => {
    event.preventDefault();
    await attempt(document.getElementById(errorId), work);
  });
}

async function preview() {
  const field = (name) => form.elements[name].value.trim();
  const wish = {
    sender: Number(field("sender")), receiver: Number(field("receiver")), asset: field("asset"),
    amount: field("amount"), recall: form.elements.recall.checked, reason: field("reason"),
  };
  const shown = await send("POST", `${ADDRESS}/transfers/preview`, wish);
  if (shown.code) throw new Error(shown.message);
  const facts = [
    `${nameOf("sender")} has ${money(shown.sender_free)} ${wish.asset} free, then ${money(shown.sender_after)}.`,
    `${nameOf("receiver")} gets it unallocated, then ${money(shown.receiver_after)}; its bot has it dealt out when the next candle has closed.`,
  ];
  if (Number(shown.recalled)) facts.push(`${money(shown.recalled)} of it come from the free cash of its bot.`);
  facts.push(`It counts ${money(shown.value)} of ${money(shown.left_today)} that may still move within 24 hours.`);
  open(`Move ${wish.amount} ${wish.asset}?`, "It is written down first, sent once, and either arrives in both ledgers or comes back.", facts,
    () => send("POST", `${ADDRESS}/transfers`, wish));
}

function ask(button) {
  const buttons = button.id === "move-all" ? [...document.querySelectorAll("[data-move]")] : [button];
  const moves = buttons.map((one) => JSON.parse(one.dataset.move));
  const names = new Map([...form.elements.sender.options].map((option) => [Number(option.value), option.textContent]));
  const facts = moves.map((move) => `${names.get(move.sender)} → ${names.get(move.receiver)}: ${money(move.amount)}`);
  open(moves.length > 1 ? `Move all ${moves.length}?` : "Move this one?", "All are recorded, or none; they are sent one after the other.", facts,
    () => send("POST", `${ADDRESS}/rebalancing`, { account: Number(targets.dataset.account), moves }));
}

function open(title, says, facts, act) {
  const dialog = document.getElementById("transfer-dialog");
  const yes = document.getElementById("transfer-dialog-yes");
  const error = document.getElementById("transfer-dialog-error");
  document.getElementById("transfer-dialog-title").textContent = title;
  document.getElementById("transfer-dialog-says").textContent = says;
  document.getElementById("transfer-dialog-facts").replaceChildren(...facts.map((fact) => Object.assign(document.createElement("li"), { textContent: fact })));
  error.hidden = true;
  yes.disabled = false;
  yes.onclick = async (event) => {
    event.preventDefault();
    yes.disabled = true;
    await attempt(error, async () => {
      await act();
      dialog.close("yes");
      form.elements.amount.value = "";
      toast("Written down; the master's trader carries it.");
      htmx.trigger(document.body, "changed");
    });
    yes.disabled = false;
  };
  dialog.showModal();
}

async function setLimits() {
  const amount = (name) => limits.elements[name].value.trim() || null;
  await send("POST", `${ADDRESS}/limits`, { account: Number(limits.dataset.account), per_transfer: amount("per_transfer"), per_day: amount("per_day") });
  toast("The limits are set.");
  htmx.trigger(document.body, "changed");
}

async function setTargets() {
  const shares = [...targets.querySelectorAll(".target")].map((field) => ({ account: Number(field.dataset.account), percent: field.value.trim() || null }));
  await send("POST", `${ADDRESS}/targets`, { account: Number(targets.dataset.account), targets: shares, band_percent: targets.elements.band_percent.value.trim() || null });
  toast("The shares are set; nothing moves before you say so.");
  htmx.trigger(document.body, "changed");
}

function addUp() {
  const sum = [...targets.querySelectorAll(".target")].reduce((total, field) => total + (Number(field.value) || 0), 0);
  const rest = Math.round((100 - sum) * 10000) / 10000;
  document.getElementById("targets-sum").textContent = rest < 0 ? `${-rest} % too much` : `${rest} % stays with the master`;
}

function nameOf(end) {
  const select = form.elements[end];
  return select.options[select.selectedIndex].textContent;
}

function money(text) {
  return Number(text).toLocaleString("en-US", { minimumFractionDigits: 2, maximumFractionDigits: 8 });
}
