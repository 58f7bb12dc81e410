// Editing a candidate: what changed is drawn while one types.
import { csrf } from "./notice.js";

// The address of the candidate itself, whichever led here: what one reloads or sends is this candidate.
history.replaceState(history.state, "", document.querySelector("[data-here]").dataset.here);

const details = document.getElementById("edit");
const form = document.getElementById("edit-form");
const place = form.querySelector("[data-diff]");
let waiting = 0;

form.addEventListener("input", later);
form.addEventListener("draft", () => {
  details.open = true;
  later();
});
form.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
});

function later() {
  clearTimeout(waiting);
  waiting = setTimeout(draw, 250);
}

async function draw() {
  const response = await fetch("/parts/diff", {
    method: "POST",
    headers: { "x-csrf-token": csrf(), "content-type": "application/x-www-form-urlencoded", accept: "text/html" },
    body: new URLSearchParams(new FormData(form)).toString(),
  }).catch(() => null);
  if (!response?.ok) return;
  const parsed = new DOMParser().parseFromString(await response.text(), "text/html");
  place.replaceChildren(...parsed.body.childNodes);
}
