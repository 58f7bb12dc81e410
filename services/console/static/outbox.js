// Forms with data-sure are sent until the server has them: a lost connection or a restart only delays them,
// and a reload sends what was left. Servers treat a repeated submission as the same one; what they cannot
// (undo: twice is two steps) has data-sure="once" and is sent a single time. What somebody wrote is sent under
// nobody else's name: who signs in after them at the same browser leaves it alone.
import { notice, words, csrf } from "./notice.js";
import { forget } from "./drafts.js";

const PREFIX = `lima.outbox:${words.person}:`;
const channel = "BroadcastChannel" in window ? new BroadcastChannel("lima") : null;
const RETRY_AFTER = [1000, 2000, 4000, 8000, 15000];

export function startOutbox() {
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (!form.matches("form[data-sure]") || event.defaultPrevented) return;
    event.preventDefault();
    const body = new URLSearchParams(new FormData(form, event.submitter));
    const url = event.submitter?.getAttribute("formaction") || form.getAttribute("action");
    const once = form.dataset.sure === "once";
    deliver(form, once, { url, body: body.toString(), draft: form.dataset.draft || "" });
  });
  channel?.addEventListener("message", (event) => markElsewhere(event.data));
  if (words.person) resend();
}

async function deliver(form, once, letter) {
  const key = PREFIX + letter.url;
  if (!once) localStorage.setItem(key, JSON.stringify(letter));
  setBusy(form, true);
  const answer = once ? ((await attemptOnce(letter)) ?? { error: words.silent }) : await send(letter);
  if (!answer.signedOut) localStorage.removeItem(key);
  if (!answer.ok) {
    setBusy(form, false);
    notice(answer.error);
    return;
  }
  forget(letter.draft);
  channel?.postMessage({ item: form.dataset.item });
  location.assign(answer.next);
}

async function send(letter) {
  for (let attempt = 0; ; attempt += 1) {
    const answer = await attemptOnce(letter);
    if (answer) return answer;
    notice(words.offline);
    await new Promise((done) => setTimeout(done, RETRY_AFTER[Math.min(attempt, RETRY_AFTER.length - 1)]));
  }
}

// Null for "try again": no connection, or a server that is starting or too slow.
async function attemptOnce(letter) {
  try {
    const response = await fetch(letter.url, {
      method: "POST",
      headers: { "x-csrf-token": csrf(), "content-type": "application/x-www-form-urlencoded", accept: "application/json" },
      body: letter.body,
    });
    if (response.status === 429 || response.status >= 502) return null;
    const answer = await response.json();
    // A token of a session that has ended is refused before anything else is looked at.
    const signedOut = response.status === 401 || answer.key === "error.csrf";
    return { ok: response.ok, next: answer.next, error: signedOut ? words.signedOut : answer.error, signedOut };
  } catch {
    return null;
  }
}

// Left from a page that was closed before its answer came.
async function resend() {
  const keys = Object.keys(localStorage).filter((key) => key.startsWith(PREFIX));
  for (const key of keys) {
    const letter = JSON.parse(localStorage.getItem(key));
    const answer = await send(letter);
    if (!answer.signedOut) localStorage.removeItem(key);
    if (answer.ok) {
      forget(letter.draft);
      notice(words.saved, true);
    } else {
      notice(answer.error);
    }
  }
}

function setBusy(form, busy) {
  form.setAttribute("aria-busy", String(busy));
  for (const button of document.querySelectorAll(`button[form="${form.id}"], form[data-sure] button`)) button.disabled = busy;
}

function markElsewhere(message) {
  const form = message.item && document.querySelector(`form[data-item="${CSS.escape(message.item)}"]`);
  if (form) notice(words.elsewhere);
}
