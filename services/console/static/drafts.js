// What one types into a form with data-draft is kept in this browser until it has been submitted.
import { notice, words } from "./notice.js";

const PREFIX = "lima.draft:";

export function startDrafts() {
  for (const form of document.querySelectorAll("form[data-draft]")) {
    restore(form);
    form.addEventListener("input", () => keep(form));
  }
}

export function forget(draft) {
  if (draft) localStorage.removeItem(PREFIX + draft);
}

function fields(form) {
  return [...form.querySelectorAll("textarea[name], input[type=text][name]")];
}

function keep(form) {
  const values = Object.fromEntries(fields(form).map((field) => [field.name, field.value]));
  localStorage.setItem(PREFIX + form.dataset.draft, JSON.stringify(values));
}

function restore(form) {
  const kept = localStorage.getItem(PREFIX + form.dataset.draft);
  if (!kept) return;
  const values = JSON.parse(kept);
  let changed = false;
  for (const field of fields(form)) {
    if (values[field.name] === undefined || values[field.name] === field.value) continue;
    field.value = values[field.name];
    changed = true;
  }
  if (!changed) return;
  notice(words.draftKept, true);
  form.dispatchEvent(new Event("draft"));
}
