// One line under the header that screen readers hear.
export function notice(text, good = false) {
  const line = document.getElementById("notice");
  line.classList.toggle("good", good);
  line.textContent = text;
}

export const words = document.body.dataset;

export function csrf() {
  return document.querySelector("meta[name=csrf]").content;
}
