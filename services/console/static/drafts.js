// What one types into a form with data-draft is kept in this browser until it has been submitted.
import { notice, words } from "./notice.js";

const PREFIX = "lima.draft:";

export function startDrafts() {
  const forms = document.querySelectorAll("form[data-draft]");
  for (const form of forms) form.addEventListener("input", () => keep(form));
  // Every module of the page has run by then, and listens for what is restored.
  document.addEventListener("DOMContentLoaded", () => forms.forEach(restore));
}

export function forget(draft) {
  if (draft) localStorage.removeItem(PREFIX + draft);
}

function fields(form) {
  return [...form.querySelectorAll("textarea[name], input[type=text][name]")];
}

function keep(form) {
  // By place: the turns of a conversation share one name.
  const values = fields(form).map((field) => field.value);
  localStorage.setItem(PREFIX + form.dataset.draft, JSON.stringify(values));
}

function restore(form) {
  const kept = localStorage.getItem(PREFIX + form.dataset.draft);
  if (!kept) return;
  const values = JSON.parse(kept);
  let changed = false;
  fields(form).forEach((field, place) => {
    if (values[place] === undefined || values[place] === field.value) return;
    field.value = values[place];
    changed = true;
  });
  if (!changed) return;
  notice(words.draftKept, true);
  form.dispatchEvent(new Event("draft"));
}
