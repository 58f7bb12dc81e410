// What every page has: shortcuts, dialogs, drafts, sure submission, parts that refresh.
import { startShortcuts } from "./shortcuts.js";
import { startOutbox } from "./outbox.js";
import { startDrafts } from "./drafts.js";
import { startPolling } from "./poll.js";

document.addEventListener("click", (event) => {
  const opener = event.target.closest("[data-open]");
  if (opener) document.getElementById(opener.dataset.open).showModal();
  const closer = event.target.closest("[data-close]");
  if (closer) closer.closest("dialog").close();
  const revealer = event.target.closest("[data-reveal]");
  if (revealer) reveal(document.getElementById(revealer.dataset.reveal));
});

document.addEventListener("change", (event) => {
  if (event.target.matches("select[data-submit]")) event.target.form.requestSubmit();
  if (event.target.matches("input[data-all]")) {
    for (const row of rowsOf(event.target)) row.checked = event.target.checked;
  } else if (event.target.matches("[data-tickable]")) {
    const all = event.target.form.querySelector("input[data-all]");
    const rows = rowsOf(all);
    all.checked = rows.every((row) => row.checked);
    all.indeterminate = !all.checked && rows.some((row) => row.checked);
  }
});

function rowsOf(all) {
  return [...all.form.querySelectorAll(`input[name="${all.dataset.all}"]`)];
}

function reveal(details) {
  details.open = true;
  details.querySelector("textarea, input:not([type=hidden])").focus();
}

startShortcuts();
startDrafts();
startOutbox();
startPolling();
