// Single keys for what stands on the page. An element says its key with data-key; pressing it clicks or
// focuses the element. Keys never act while one types, with a modifier held, or when switched off.
const SWITCH = "lima.keys";
const TYPING = "input:not([type=radio]):not([type=checkbox]), textarea, select, [contenteditable]";

export function startShortcuts() {
  const box = document.getElementById("keys-on");
  box.checked = localStorage.getItem(SWITCH) !== "off";
  box.addEventListener("change", () => localStorage.setItem(SWITCH, box.checked ? "on" : "off"));
  document.getElementById("shortcuts").addEventListener("toggle", list);
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    if (event.target.closest(TYPING)) {
      // Out of the text, so that keys act again.
      if (event.key === "Escape" && !document.querySelector("dialog[open]")) event.target.blur();
      return;
    }
    if (box.checked && act(event.key, event.target)) event.preventDefault();
  });
}

function act(key, target) {
  const name = key.toLowerCase();
  // Enter belongs to the link or button in focus.
  if (name === "enter" && target.closest("a, button, summary")) return false;
  const scope = document.querySelector("dialog[open]") || document;
  // What stands in a row answers while the focus is in that row.
  const within = (element) => !element.closest("tbody tr") || element.closest("tr").contains(target);
  const found = [...scope.querySelectorAll(`[data-key="${CSS.escape(name)}"]`)].find((one) => usable(one) && within(one));
  if (found) {
    if (found.matches(TYPING)) found.focus();
    else found.click();
    return true;
  }
  return scope === document && (name === "j" || name === "k") && step(name === "j" ? 1 : -1);
}

function usable(element) {
  return !element.disabled && element.checkVisibility();
}

// J and K walk through the rows of a list, or scroll long answers.
function step(direction) {
  const rows = [...document.querySelectorAll("[data-row]")].filter(usable);
  if (rows.length) {
    const now = rows.indexOf(document.activeElement);
    const next = now < 0 ? (direction > 0 ? 0 : rows.length - 1) : now + direction;
    rows[Math.max(0, Math.min(rows.length - 1, next))].focus();
    return true;
  }
  const reading = document.querySelector("[data-reading]");
  if (!reading) return false;
  reading.focus({ preventScroll: true });
  reading.scrollBy({ top: direction * reading.clientHeight * 0.8 });
  return true;
}

function list(event) {
  if (event.newState !== "open") return;
  const place = document.querySelector("[data-shortcut-list]");
  place.replaceChildren();
  const seen = new Set();
  for (const element of document.querySelectorAll("[data-key]")) {
    const key = element.dataset.key;
    if (seen.has(key)) continue;
    seen.add(key);
    const name = document.createElement("dt");
    const kbd = document.createElement("kbd");
    kbd.textContent = key === "enter" ? "Enter" : key.toUpperCase();
    name.append(kbd);
    const meaning = document.createElement("dd");
    meaning.textContent = label(element);
    place.append(name, meaning);
  }
}

function label(element) {
  if (element.dataset.keyLabel) return element.dataset.keyLabel;
  if (element.ariaLabel) return element.ariaLabel;
  const named = element.matches("input, textarea, select") ? element.labels[0] : element;
  const copy = named.cloneNode(true);
  copy.querySelectorAll("kbd, select, textarea").forEach((part) => part.remove());
  return copy.textContent.trim();
}
