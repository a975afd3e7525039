// Commands: a button names an address of the API; a dialog names object and effect before anything is sent.
export function startCommands() {
  document.body.addEventListener("click", (event) => {
    const button = event.target.closest("[data-command]");
    if (button) ask(button);
  });
}

// What is dangerous wants a person who has just proven who they are: ask once, then repeat what was asked for.
export async function send(method, address, body) {
  const [answer, content] = await request(method, address, body);
  if (answer.ok) return content;
  if (content.code !== "CONFIRMATION_NEEDED") throw trouble(answer, content);
  await prove();
  const [again, result] = await request(method, address, body);
  if (!again.ok) throw trouble(again, result);
  return result;
}

// Do something of which a form tells what went wrong; answers the failure, null when there was none.
export async function attempt(error, work) {
  error.hidden = true;
  try {
    await work();
    return null;
  } catch (failure) {
    error.textContent = failure.message;
    error.hidden = false;
    return failure;
  }
}

async function request(method, address, body) {
  const headers = { "Content-Type": "application/json", "X-CSRFToken": cookie("csrftoken") };
  if (method === "POST") headers["Idempotency-Key"] = newKey();
  const answer = await fetch(address, { method, headers, body: JSON.stringify(body ?? {}) });
  const content = answer.status === 204 ? {} : await answer.json().catch(() => ({}));
  return [answer, content];
}

function trouble(answer, content) {
  const fields = (content.errors ?? []).map((error) => `${error.field}: ${error.message}`).join("; ");
  const words = [content.title ?? `The server answered ${answer.status}.`, fields].filter(Boolean).join(" ");
  return Object.assign(new Error(words), { code: content.code, facts: content.facts });
}

async function prove() {
  const me = await (await fetch("/api/v1/me")).json();
  if (!me.confirms_with) throw new Error("Sign in again with a new link to do this, or set up a second factor on the page Security.");
  const dialog = document.getElementById("prove");
  const field = document.getElementById("prove-proof");
  const error = document.getElementById("prove-error");
  document.getElementById("prove-name").textContent = me.confirms_with === "code" ? "Code of your authenticator app" : "Password";
  field.type = me.confirms_with === "code" ? "text" : "password";
  field.autocomplete = me.confirms_with === "code" ? "one-time-code" : "current-password";
  field.value = "";
  error.hidden = true;
  dialog.returnValue = "";
  await new Promise((resolve, reject) => {
    document.getElementById("prove-yes").onclick = async (event) => {
      event.preventDefault();
      const [answer, content] = await request("POST", "/api/v1/confirmation", { proof: field.value });
      if (answer.ok) return dialog.close("yes");
      error.textContent = trouble(answer, content).message;
      error.hidden = false;
      field.select();
    };
    dialog.onclose = () => (dialog.returnValue === "yes" ? resolve() : reject(new Error("Not confirmed: nothing was changed.")));
    dialog.showModal();
    field.focus();
  });
}

export function toast(text, kind = "") {
  const element = document.createElement("div");
  element.className = `toast ${kind}`;
  element.textContent = text;
  document.getElementById("toasts").append(element);
  setTimeout(() => element.remove(), 6000);
}

function ask(button) {
  const dialog = document.getElementById("confirm");
  const { command, title, effect, confirm, danger, reason, method } = button.dataset;
  const body = JSON.parse(button.dataset.body ?? "{}");
  const field = document.getElementById("confirm-reason");
  const error = document.getElementById("confirm-error");
  const yes = document.getElementById("confirm-yes");
  document.getElementById("confirm-title").textContent = title;
  document.getElementById("confirm-effect").textContent = effect;
  document.getElementById("confirm-reason-label").hidden = !reason;
  field.required = Boolean(reason);
  field.value = "";
  error.hidden = true;
  yes.textContent = confirm;
  yes.disabled = false;
  yes.classList.toggle("will-harm", Boolean(danger));
  dialog.returnValue = "";
  yes.onclick = async (event) => {
    event.preventDefault();
    if (!dialog.querySelector("form").reportValidity()) return;
    yes.disabled = true;
    const failure = await attempt(error, async () => {
      await send(method ?? "POST", command, reason ? { ...body, reason: field.value } : body);
      dialog.close("yes");
      toast(`Done: ${confirm}`);
      refresh();
    });
    yes.disabled = !failure;
  };
  dialog.showModal();
}

// What the command changed is shown at once, with or without the stream.
function refresh() {
  for (const name of ["stream:bots", "stream:orders", "stream:events", "stream:bot", "stream:status", "changed"]) htmx.trigger(document.body, name);
  if (document.querySelector(".button.stop, .button.release")) reloadHealth();
}

async function reloadHealth() {
  const text = await (await fetch(location.href)).text();
  const fresh = new DOMParser().parseFromString(text, "text/html").querySelector(".health > .button");
  const shown = document.querySelector(".health > .button");
  if (fresh && shown) shown.replaceWith(fresh);
}

function cookie(name) {
  return document.cookie.split("; ").find((part) => part.startsWith(`${name}=`))?.slice(name.length + 1) ?? "";
}

// Random without crypto.randomUUID, which is missing on plain HTTP.
function newKey() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
