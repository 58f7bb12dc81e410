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
});

document.addEventListener("change", (event) => {
  if (event.target.matches("select[data-submit]")) event.target.form.requestSubmit();
  if (event.target.matches("input[data-all]")) {
    const rows = event.target.form.querySelectorAll(`input[name="${event.target.dataset.all}"]`);
    for (const row of rows) row.checked = event.target.checked;
  }
});

startShortcuts();
startDrafts();
startOutbox();
startPolling();
