// What one points at in a chart is told beside the pointer at once; a press leads to its events.
// Without a script the browser shows the same as a title, and the table of figures has it all.
"use strict";

const tip = document.createElement("div");
tip.className = "tip";
tip.hidden = true;
tip.setAttribute("aria-hidden", "true");
document.body.append(tip);

function tell(bar) {
  const title = bar.querySelector("title");
  if (title) {
    bar.dataset.tip = title.textContent;
    title.remove();
  }
  const [when, figures] = bar.dataset.tip.split(" · ");
  const head = document.createElement("b");
  head.textContent = when;
  const lines = (figures ?? "").split(", ").map((each) => {
    const line = document.createElement("span");
    line.textContent = each;
    return line;
  });
  tip.replaceChildren(head, ...lines);
  tip.hidden = false;
  const box = bar.getBoundingClientRect();
  const left = Math.min(Math.max(box.left + box.width / 2 - tip.offsetWidth / 2, 8), innerWidth - tip.offsetWidth - 8);
  tip.style.left = `${left + scrollX}px`;
  tip.style.top = `${box.top + scrollY - tip.offsetHeight - 8}px`;
}

document.addEventListener("pointerover", (event) => {
  const bar = event.target.closest?.(".chart .hint");
  if (bar) tell(bar);
  else tip.hidden = true;
});
document.addEventListener("postbell:fresh", () => { tip.hidden = true; });
document.addEventListener("click", (event) => {
  const bar = event.target.closest?.("[data-href]");
  if (bar) location.href = bar.dataset.href;
});
