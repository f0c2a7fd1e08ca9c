// Forms are sent by fetch: a refusal is said beside the button, and a repeated click has one effect.

export function enhanceForms(root) {
  for (const form of root.querySelectorAll("form[data-act]")) {
    form.addEventListener("submit", (event) => {
      if (event.submitter?.hasAttribute("formaction")) return; // goes elsewhere, as a page of its own
      event.preventDefault();
      send(form);
    });
  }
  for (const button of root.querySelectorAll("[data-fill]")) {
    button.addEventListener("click", () => fill(button));
  }
  for (const field of root.querySelectorAll("[data-autosubmit]")) {
    field.addEventListener("change", () => field.form.requestSubmit());
  }
  if (sending) pause(true);
}

// One at a time: the page that answers replaces this one, and would cut a second request off.
let sending = false;

function pause(on) {
  sending = on;
  for (const button of document.querySelectorAll(on ? "form[data-act] button:enabled" : "button[data-paused]")) {
    button.disabled = on;
    button.toggleAttribute("data-paused", on);
  }
}

// Back to a page that the browser kept as it was.
window.addEventListener("pageshow", (event) => event.persisted && pause(false));

async function send(form) {
  if (sending) return;
  pause(true);
  form.dataset.key ??= crypto.randomUUID();
  try {
    const answer = await fetch(form.action, {
      method: "POST",
      body: new URLSearchParams(new FormData(form)),
      headers: { Accept: "application/json", "Idempotency-Key": form.dataset.key },
    });
    if (answer.ok) return location.assign(answer.redirected ? answer.url : location.href);
    const problem = await answer.json().catch(() => ({}));
    delete form.dataset.key; // refused: nothing was stored, the next try is a new one
    const chinese = document.documentElement.lang === "zh" && problem.message_zh;
    complain(form, chinese || (problem.message ?? answer.statusText));
  } catch (error) {
    complain(form, String(error.message ?? error)); // the key is kept: a repeat is safe
  }
  pause(false);
}

function complain(form, text) {
  let place = form.querySelector(".problem");
  if (!place) {
    place = document.createElement("p");
    place.className = "problem";
    place.setAttribute("role", "alert");
    form.append(place);
  }
  place.textContent = text;
}

function fill(button) {
  const form = document.querySelector(button.dataset.fill);
  form.elements.login.value = button.dataset.login;
  form.elements.password.value = button.dataset.password;
  form.requestSubmit();
}
