// The security page: a second factor is begun, tried and kept; people are invited, tokens made. Secrets are shown once and never stored.
import { attempt, send, toast } from "./commands.js";

export function startSecurity() {
  if (!document.getElementById("security")) return;
  document.body.addEventListener("click", (event) => {
    if (event.target.id === "second-factor-begin") run(begin);
  });
  document.body.addEventListener("submit", (event) => {
    const forms = { "second-factor-form": finish, "password-form": setPassword, "invite-form": invite, "key-form": storeKey, "token-form": makeToken };
    if (!(event.target.id in forms)) return;
    event.preventDefault();
    run(() => forms[event.target.id](event.target), event.submitter);
  });
}

// The exchange may take seconds to say what a key may do: nobody should ask it twice.
async function run(work, button) {
  if (button) button.disabled = true;
  const failure = await attempt(document.getElementById("door-error"), work);
  if (button) button.disabled = false;
  if (failure) toast(failure.message, "bad");
}

async function begin() {
  const made = await send("POST", "/api/v1/second-factor");
  document.getElementById("second-factor-secret").textContent = made.secret.match(/.{1,4}/g).join(" ");
  document.getElementById("second-factor-address").href = made.address;
  document.getElementById("second-factor-form").hidden = false;
  document.querySelector("#second-factor-form input").focus();
}

async function finish(form) {
  const { recovery_codes: codes } = await send("POST", "/api/v1/second-factor/confirm", { proof: form.elements.proof.value });
  form.hidden = true;
  document.getElementById("second-factor-begin").hidden = true;
  document.getElementById("recovery-codes").textContent = codes.join("\n");
  document.getElementById("recovery").hidden = false;
  toast("Your second factor is on.");
}

async function setPassword(form) {
  await send("PUT", "/api/v1/password", { password: form.elements.password.value });
  form.reset();
  toast("Your password is set; your other sessions ended.");
  htmx.trigger(document.body, "changed");
}

async function storeKey(form) {
  const { account, role, key, secret } = form.elements;
  const stored = await send("PUT", `/api/v1/accounts/${account.value}/keys/${role.value}`, { key: key.value, secret: secret.value });
  form.reset();
  toast(`The key ending in ${stored.key_last4} is stored.`);
  htmx.trigger(document.body, "changed");
}

async function invite(form) {
  const made = await send("POST", "/api/v1/users", { email: form.elements.email.value, role: form.elements.role.value });
  const link = document.getElementById("invite-link");
  link.textContent = `Send this link to ${made.name}; it signs them in once, within 15 minutes: ${made.sign_in_link}`;
  link.hidden = false;
  form.reset();
  htmx.trigger(document.body, "changed");
}

async function makeToken(form) {
  const scopes = Array.from(form.querySelectorAll("[name=scope]:checked"), (box) => box.value);
  const days = Number(form.elements.days.value);
  const expires = days ? new Date(Date.now() + days * 86_400_000).toISOString() : null;
  const made = await send("POST", "/api/v1/tokens", { name: form.elements.name.value, scopes, expires_at: expires });
  document.getElementById("token-secret").textContent = made.secret;
  document.getElementById("token-made").hidden = false;
  form.reset();
  htmx.trigger(document.body, "changed");
}
