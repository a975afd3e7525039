// Modes: a form that previews before it switches, and a week whose slots can be dragged or written down.
import { attempt, send, toast } from "./commands.js";

const DAY = 1440;
const STEP = 15;
const EDGE = 8;
const NAMES = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
const FATES = { sold: "is sold at the market", kept: "stays, exits only", waits: "is waited for, then sold" };

const form = document.getElementById("mode-form");
const text = document.getElementById("week-text");
const board = document.getElementById("week");
let week = { zone: "UTC", is_gap_idle: false, slots: [] };
let bots = new Map();

if (form) {
  bots = new Map(JSON.parse(document.getElementById("week-data").textContent).bots.map((bot) => [bot.key, bot]));
  form.addEventListener("change", showFields);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    run(preview);
  });
  document.getElementById("week-read").addEventListener("click", () => run(read));
  document.getElementById("week-add").addEventListener("click", add);
  text.addEventListener("change", () => run(read));
  board.addEventListener("pointerdown", drag);
  board.addEventListener("keydown", nudge);
  showFields();
  run(read);
}

function run(work) {
  return attempt(document.getElementById("mode-error"), work);
}

// The form.

function chosen() {
  return form.elements.mode.value;
}

function showFields() {
  const shown = new Set([chosen(), form.elements.policy.value]);
  for (const part of document.querySelectorAll("[data-for]")) part.hidden = !part.dataset.for.split(" ").some((word) => shown.has(word));
  if (chosen() === "percentage") document.querySelector('[data-for="wait"]').hidden = true;
}

function wish() {
  const field = (name) => form.elements[name].value.trim();
  const mode = chosen();
  const asked = { account: Number(form.dataset.account), mode, reason: field("reason") };
  if (mode === "percentage") return asked;
  asked.policy = field("policy");
  if (asked.policy === "wait") asked.wait_minutes = Number(field("wait_minutes")) || 0;
  if (mode === "subaccounts") return asked;
  if (field("budget")) asked.budget = field("budget");
  return mode === "single" ? { ...asked, bot: field("bot") } : { ...asked, rotation: text.value };
}

async function preview() {
  const asked = wish();
  const { reason: _reason, ...question } = asked;
  const shown = await send("POST", "/api/v1/mode/preview", question);
  const dialog = document.getElementById("mode-dialog");
  const yes = document.getElementById("mode-dialog-yes");
  const error = document.getElementById("mode-dialog-error");
  const refusals = shown.findings.filter((finding) => finding.is_refusal);
  document.getElementById("mode-dialog-title").textContent = titleOf(asked);
  document.getElementById("mode-dialog-who").textContent = whoOf(shown);
  listed(document.getElementById("mode-dialog-fates"), [...shown.fates.map(fateOf), ...shown.findings.map((row) => [row.message, row.is_refusal ? "bad" : "warn"]),
    ...shown.unknown_orders.map((name) => [`Nobody knows yet what has become of the order ${name}: switch when the trader has found out.`, "bad"])]);
  error.hidden = true;
  yes.disabled = refusals.length > 0 || shown.unknown_orders.length > 0;
  yes.onclick = async (event) => {
    event.preventDefault();
    yes.disabled = true;
    const failure = await attempt(error, async () => {
      await send("POST", "/api/v1/mode", asked);
      dialog.close("yes");
      toast("The mode is set.");
      setTimeout(() => location.reload(), 600);
    });
    yes.disabled = !failure;
  };
  dialog.showModal();
}

function titleOf(asked) {
  if (asked.mode === "single") return `Have ${bots.get(asked.bot)?.name ?? asked.bot} trade alone?`;
  if (asked.mode === "subaccounts") return "Have the bots trade in their sub-accounts only?";
  return asked.mode === "rotation" ? "Have the bots take turns in this week?" : "Give every bot its share again?";
}

function whoOf(shown) {
  const leaving = shown.outgoing.length ? `${shown.outgoing.join(", ")} may not enter any more; ${shown.entries_cancelled} entry orders are cancelled. ` : "";
  if (shown.mode === "percentage") return `${leaving}Every bot may enter, with its share of what the account is worth then.`;
  if (shown.mode === "subaccounts") return `${leaving}Nobody enters on this account any more; its free money becomes unallocated and can be moved to sub-accounts. What bots do there stays as it is.`;
  const sized = shown.sized_by === null ? "" : `, sized by ${money(shown.sized_by)} ${form.dataset.quote} at most`;
  return `${leaving}${shown.incoming.join(", ") || "Nobody"} may enter now${sized}, once the others are drained.`;
}

function fateOf(fate) {
  const what = fate.fate === "handed_on" ? `passes to ${fate.heir} at the mark, with its stop` : FATES[fate.fate];
  return [`${fate.book}: ${fate.quantity} of ${fate.symbol}, about ${money(fate.value)} ${form.dataset.quote}, ${what}.`, ""];
}

function listed(list, rows) {
  list.replaceChildren(...rows.map(([says, kind]) => {
    const row = document.createElement("li");
    row.textContent = says;
    if (kind) row.className = kind;
    return row;
  }));
}

// The week as text: the server reads it, so that there is one reader.

async function read() {
  const said = await send("POST", "/api/v1/rotation/read", { account: Number(form.dataset.account), rotation: text.value });
  week = { zone: said.zone, is_gap_idle: said.is_gap_idle, slots: said.slots };
  text.value = said.rotation;
  const bad = new Set(said.findings.filter((row) => row.is_refusal).flatMap((row) => row.slots));
  draw(bad);
  listed(document.getElementById("week-findings"), said.findings.map((row) => [row.message, row.is_refusal ? "bad" : "warn"]));
}

function write() {
  const lines = [`zone ${week.zone}`, ...(week.is_gap_idle ? ["gaps idle"] : [])];
  for (const slot of week.slots) {
    const policy = slot.bot ? ` ${slot.policy}${slot.wait_minutes ? ` ${slot.wait_minutes}m` : ""}` : "";
    lines.push(`${slot.days.map((day) => NAMES[day]).join(",")} ${clock(slot.begin_minute)}-${clock(slot.end_minute)} ${slot.bot || "idle"}${policy}`);
  }
  text.value = `${lines.join("\n")}\n`;
}

function add() {
  const bot = document.getElementById("week-bot").value;
  week.slots.push({ days: [0, 1, 2, 3, 4, 5, 6], begin_minute: 0, end_minute: 4 * 60, bot, policy: "flatten", wait_minutes: 0 });
  write();
  run(read);
}

// The week as a picture.

function draw(bad = new Set()) {
  document.getElementById("week-zone").textContent = `clock of ${week.zone}`;
  board.replaceChildren();
  const marks = element("div", "marks");
  for (const hour of [0, 6, 12, 18, 24]) marks.append(at(element("span", "", String(hour).padStart(2, "0")), hour * 60));
  board.append(element("span", "day"), marks);
  NAMES.forEach((name, day) => {
    const track = element("div", "track");
    for (let hour = 3; hour < 24; hour += 3) track.append(at(element("i", "hour"), hour * 60));
    week.slots.forEach((slot, number) => {
      for (const piece of piecesOn(slot, day)) track.append(pieceOf(slot, number, piece, bad.has(number)));
    });
    board.append(element("span", "day", name), track);
  });
}

function piecesOn(slot, day) {
  const passesMidnight = slot.end_minute <= slot.begin_minute;
  const pieces = [];
  if (slot.days.includes(day)) pieces.push({ begin: slot.begin_minute, end: passesMidnight ? DAY : slot.end_minute, isFirst: true });
  if (passesMidnight && slot.days.includes((day + 6) % 7)) pieces.push({ begin: 0, end: slot.end_minute, isFirst: false });
  return pieces;
}

function pieceOf(slot, number, piece, isBad) {
  const bot = bots.get(slot.bot);
  const shown = at(element("button", `slot ${bot ? `bot-colour-${bot.colour}` : "idle"}${isBad ? " bad" : ""}`, bot ? bot.name : slot.bot || "idle"), piece.begin);
  shown.type = "button";
  shown.style.width = `${((piece.end - piece.begin) / DAY) * 100}%`;
  shown.dataset.slot = number;
  shown.dataset.first = piece.isFirst;
  shown.title = says(slot);
  shown.setAttribute("aria-label", says(slot));
  return shown;
}

function says(slot) {
  const then = slot.bot ? `, then ${slot.policy}${slot.wait_minutes ? ` after ${slot.wait_minutes} minutes` : ""}` : "";
  return `${bots.get(slot.bot)?.name ?? (slot.bot || "idle")} ${clock(slot.begin_minute)} to ${clock(slot.end_minute)}${then}`;
}

// Dragging: the middle moves a slot, an end moves that end together with the end of the neighbour that it touches.

function drag(event) {
  const shown = event.target.closest(".slot");
  if (!shown || event.button) return;
  event.preventDefault();
  const number = Number(shown.dataset.slot);
  const box = shown.getBoundingClientRect();
  const kind = event.clientX > box.right - EDGE ? "end" : event.clientX < box.left + EDGE && shown.dataset.first === "true" ? "begin" : "move";
  const width = shown.parentElement.getBoundingClientRect().width;
  const before = structuredClone(week.slots);
  const from = event.clientX;
  let moved = 0;
  shown.classList.add("dragged");
  const move = (next) => {
    const by = Math.round(((next.clientX - from) / width) * (DAY / STEP)) * STEP;
    if (by === moved) return;
    moved = by;
    week.slots = change(before, number, kind, by);
    document.getElementById("week-says").textContent = says(week.slots[number]);
    draw();
  };
  const end = () => {
    removeEventListener("pointermove", move);
    removeEventListener("pointerup", end);
    removeEventListener("pointercancel", end);
    if (moved) keep(number);
    else draw();
    focusOn(number);
  };
  addEventListener("pointermove", move);
  addEventListener("pointerup", end);
  addEventListener("pointercancel", end);
}

function nudge(event) {
  const shown = event.target.closest(".slot");
  const by = { ArrowLeft: -STEP, ArrowRight: STEP }[event.key];
  if (!shown || (!by && event.key !== "Delete")) return;
  event.preventDefault();
  const number = Number(shown.dataset.slot);
  if (event.key === "Delete") week.slots.splice(number, 1);
  else week.slots = change(week.slots, number, event.shiftKey ? "end" : "move", by);
  draw();
  keep(number);
  focusOn(number);
}

function keep(number) {
  write();
  const slot = week.slots[number];
  if (slot) document.getElementById("week-says").textContent = says(slot);
  run(read).then(() => focusOn(number));
}

function focusOn(number) {
  board.querySelector(`.slot[data-slot="${number}"]`)?.focus({ preventScroll: true });
}

function change(slots, number, kind, wanted) {
  const changed = structuredClone(slots);
  const slot = changed[number];
  if (kind === "move") {
    const length = lengthOf(slot);
    slot.begin_minute = wrapped(slot.begin_minute + onGrid(slot.begin_minute, wanted));
    slot.end_minute = ended(slot.begin_minute + length);
    return changed;
  }
  const isEnd = kind === "end";
  const edge = isEnd ? slot.end_minute % DAY : slot.begin_minute;
  const by = onGrid(edge, wanted);
  const touching = changed.find((other) => other !== slot && sameDays(other, slot) && (isEnd ? other.begin_minute : other.end_minute % DAY) === edge);
  const room = (isEnd ? lengthOf(slot) + by : lengthOf(slot) - by);
  const left = touching ? (isEnd ? lengthOf(touching) - by : lengthOf(touching) + by) : STEP;
  if (room < STEP || room > DAY || left < STEP || left > DAY) return changed;
  const to = wrapped(edge + by);
  if (isEnd) slot.end_minute = ended(to);
  else slot.begin_minute = to;
  if (touching && isEnd) touching.begin_minute = to;
  if (touching && !isEnd) touching.end_minute = ended(to);
  return changed;
}

// Where a drag ends is a quarter of an hour, wherever it began.
function onGrid(minute, by) {
  return Math.round((minute + by) / STEP) * STEP - minute;
}

function sameDays(one, other) {
  return one.days.join() === other.days.join();
}

function lengthOf(slot) {
  return slot.end_minute - slot.begin_minute + (slot.end_minute <= slot.begin_minute ? DAY : 0);
}

function wrapped(minute) {
  return ((minute % DAY) + DAY) % DAY;
}

// Midnight ends a day, it does not begin one.
function ended(minute) {
  return wrapped(minute) || DAY;
}

function clock(minute) {
  return `${String(Math.floor(minute / 60)).padStart(2, "0")}:${String(minute % 60).padStart(2, "0")}`;
}

function at(shown, minute) {
  shown.style.left = `${(minute / DAY) * 100}%`;
  return shown;
}

function element(name, kind, content = "") {
  const made = document.createElement(name);
  if (kind) made.className = kind;
  made.textContent = content;
  return made;
}

function money(amount) {
  return Number(amount).toLocaleString("en-US", { minimumFractionDigits: 2, maximumFractionDigits: 2 });
}
