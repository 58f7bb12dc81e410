// A draft saves itself a moment after the last key; turns can be added and taken away; tokens are counted.
import { notice, csrf } from "./notice.js";

const form = document.getElementById("draft");
const turns = form.querySelector("[data-turns]");
const state = form.querySelector("[data-saved-state]");
const PAUSE = 800;
// The same counting as the service's statistics: words, and marks one by one.
const TOKENS = /[\p{L}\p{N}_]+|[^\p{L}\p{N}_\s]/gu;
let waiting = 0;
let saving = Promise.resolve();
let broken = false;

form.addEventListener("input", later);
form.querySelector("[data-add]").addEventListener("click", () => {
  const last = turns.querySelector("[data-turn]:last-child [name=role]");
  const role = last?.value === "user" ? "assistant" : "user";
  turns.append(form.querySelector(`template[data-blank=${role}]`).content.cloneNode(true));
  turns.querySelector("[data-turn]:last-child textarea").focus();
  later();
});
form.querySelector("[data-remove]").addEventListener("click", () => {
  if (turns.children.length > 1) turns.lastElementChild.remove();
  later();
});
form.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
});
// Submitting saves too: it waits for a save under way, whose etag it needs, and lets none follow.
let settled = false;
form.addEventListener("submit", async (event) => {
  clearTimeout(waiting);
  waiting = 0;
  if (settled) return;
  event.preventDefault();
  await saving;
  settled = true;
  form.requestSubmit();
  settled = false;
});
addEventListener("pagehide", () => {
  if (waiting) navigator.sendBeacon?.(form.dataset.save, body());
});

function later() {
  count();
  clearTimeout(waiting);
  state.textContent = form.dataset.unsaved;
  waiting = setTimeout(() => {
    waiting = 0;
    saving = saving.then(save);
  }, PAUSE);
}

function body() {
  return new URLSearchParams(new FormData(form));
}

async function save() {
  if (broken) return;
  let response = null;
  try {
    response = await fetch(form.dataset.save, {
      method: "POST",
      headers: { "x-csrf-token": csrf(), "content-type": "application/x-www-form-urlencoded", accept: "application/json" },
      body: body().toString(),
    });
  } catch {
    // Told below.
  }
  if (!response || response.status >= 502 || response.status === 429) {
    waiting = setTimeout(() => (saving = saving.then(save)), 3000);
    return;
  }
  const answer = await response.json();
  if (!response.ok) {
    broken = response.status === 409;
    notice(broken ? form.dataset.conflict : answer.error);
    return;
  }
  for (const field of document.querySelectorAll("[name=etag]")) field.value = answer.etag;
  form.querySelector("[data-tokens]").textContent = answer.tokens;
  form.querySelector("[data-remarks]").replaceChildren(
    ...answer.remarks.map((remark) => Object.assign(document.createElement("li"), { textContent: remark.text })),
  );
  if (!waiting) state.textContent = answer.saved;
}

function count() {
  for (const turn of turns.children) {
    const text = turn.querySelector("textarea");
    const tokens = text.value.match(TOKENS)?.length ?? 0;
    turn.querySelector("[data-counted]").textContent = text.dataset.count.replace("#", tokens);
  }
}

count();
