// A draft saves itself a moment after the last key; turns can be added and taken away; tokens are counted.
// Until the server has it, a copy stays in this browser: a tab that is closed without a connection loses nothing.
import { notice, words, csrf } from "./notice.js";

const form = document.getElementById("draft");
const turns = form.querySelector("[data-turns]");
const state = form.querySelector("[data-saved-state]");
const PAUSE = 800;
const RETRY = 3000;
// A browser lets no more than this outlive its page.
const OUTLIVES = 60_000;
// The same counting as the service's statistics: words, and marks one by one.
const TOKENS = /[\p{L}\p{N}_]+|[^\p{L}\p{N}_\s]/gu;
const KEPT = `lima.written:${form.dataset.item}`;
let waiting = 0;
let saving = Promise.resolve();
let broken = false;

form.addEventListener("input", later);
form.querySelector("[data-add]").addEventListener("click", () => {
  const last = turns.querySelector("[data-turn]:last-child [name=role]");
  append(last?.value === "user" ? "assistant" : "user");
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

function append(role) {
  turns.append(form.querySelector(`template[data-blank=${role}]`).content.cloneNode(true));
}

function later() {
  count();
  keep();
  state.textContent = form.dataset.unsaved;
  saveIn(PAUSE);
}

function saveIn(milliseconds) {
  clearTimeout(waiting);
  waiting = setTimeout(() => {
    waiting = 0;
    saving = saving.then(save);
  }, milliseconds);
}

function keep() {
  const fields = body();
  fields.delete("csrf");
  localStorage.setItem(KEPT, fields.toString());
}

function body() {
  return new URLSearchParams(new FormData(form));
}

async function save() {
  if (broken) return;
  const sent = body().toString();
  let response = null;
  try {
    response = await fetch(form.dataset.save, {
      method: "POST",
      headers: { "x-csrf-token": csrf(), "content-type": "application/x-www-form-urlencoded", accept: "application/json" },
      body: sent,
      keepalive: sent.length < OUTLIVES,
    });
  } catch {
    // Told below.
  }
  if (!response || response.status >= 502 || response.status === 429) {
    if (!waiting) saveIn(RETRY);
    return;
  }
  const answer = await response.json();
  if (!response.ok) {
    broken = response.status === 409;
    if (broken) localStorage.removeItem(KEPT);
    notice(broken ? form.dataset.conflict : answer.error);
    return;
  }
  for (const field of document.querySelectorAll("[name=etag]")) field.value = answer.etag;
  form.querySelector("[data-tokens]").textContent = answer.tokens;
  form.querySelector("[data-remarks]").replaceChildren(
    ...answer.remarks.map((remark) => Object.assign(document.createElement("li"), { textContent: remark })),
  );
  if (waiting) return;
  state.textContent = answer.saved;
  localStorage.removeItem(KEPT);
}

// What was written here and never arrived. If the draft has changed since elsewhere, saving will say so.
function restore() {
  const kept = new URLSearchParams(localStorage.getItem(KEPT) ?? "");
  const [now, contents] = [body(), kept.getAll("content")];
  const same = (name) => JSON.stringify(now.getAll(name)) === JSON.stringify(kept.getAll(name));
  if (!contents.length || ["role", "content", "group", "split", "tag"].every(same)) {
    localStorage.removeItem(KEPT);
    return;
  }
  const roles = kept.getAll("role");
  while (turns.children.length > contents.length) turns.lastElementChild.remove();
  while (turns.children.length < contents.length) append(roles[turns.children.length]);
  [...turns.querySelectorAll("textarea")].forEach((text, place) => (text.value = contents[place]));
  for (const name of ["etag", "group", "split"]) form.elements[name].value = kept.get(name);
  for (const box of form.querySelectorAll("[name=tag]")) box.checked = kept.getAll("tag").includes(box.value);
  notice(words.draftKept, true);
  later();
}

function count() {
  for (const turn of turns.children) {
    const text = turn.querySelector("textarea");
    const tokens = text.value.match(TOKENS)?.length ?? 0;
    turn.querySelector("[data-counted]").textContent = text.dataset.count.replace("#", tokens);
  }
}

count();
restore();
