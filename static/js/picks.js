// Picking many out of a grid: click, Shift-click, dragging over them, arrow keys; A picks all.
"use strict";

(() => {
  const boxesOf = (form) => [...form.querySelectorAll(".pick input[type=checkbox]")];
  const columnsOf = (boxes) => boxes.filter((box) => box.offsetParent?.offsetTop === boxes[0].offsetParent?.offsetTop).length || 1;
  let last = null; // the one picked before, from which Shift goes on
  let dragged = null; // what dragging makes of those it passes: true, false, or null

  const formOf = (element) => element.closest?.("[data-picks]");
  const boxOf = (element) => element.closest?.(".pick")?.querySelector("input[type=checkbox]");

  function tell(form) {
    const button = form.querySelector("[data-send]");
    if (!button) return;
    const boxes = boxesOf(form);
    const nok = boxes.filter((box) => box.checked).length;
    const name = form.elements.category.value.trim();
    const text = !nok ? button.dataset.textNone : name ? button.dataset.textNamed : button.dataset.textNok;
    const values = { nok, name, ok: boxes.length - nok };
    button.textContent = text.replace(/\{(\w+)\}/g, (_all, key) => values[key]);
  }

  const tellAll = () => document.querySelectorAll("[data-picks]").forEach(tell);

  function pick(box, picked) {
    if (box.checked === picked) return;
    box.checked = picked;
    tell(formOf(box));
  }

  document.addEventListener("click", (event) => {
    const box = event.target.closest?.(".pick input[type=checkbox]");
    if (!box || !formOf(box)) return;
    const boxes = boxesOf(formOf(box));
    if (event.shiftKey && boxes.includes(last)) {
      const [from, to] = [boxes.indexOf(last), boxes.indexOf(box)].sort((one, other) => one - other);
      boxes.slice(from, to + 1).forEach((each) => pick(each, box.checked));
    }
    last = box;
    tell(formOf(box));
  });

  document.addEventListener("pointerdown", (event) => {
    const box = event.pointerType === "mouse" && !event.shiftKey && formOf(event.target) && boxOf(event.target);
    dragged = box ? { from: box, picked: !box.checked, moved: false } : null;
  });
  document.addEventListener("pointerover", (event) => {
    const box = dragged && event.buttons === 1 && formOf(event.target) && boxOf(event.target);
    if (!box || (box === dragged.from && !dragged.moved)) return;
    dragged.moved = true;
    pick(dragged.from, dragged.picked);
    pick(box, dragged.picked);
  });
  document.addEventListener("dragstart", (event) => { if (dragged && formOf(event.target)) event.preventDefault(); });

  document.addEventListener("keydown", (event) => {
    const form = formOf(event.target) || document.querySelector("[data-picks]");
    if (!form || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.closest("input:not([type=checkbox]), textarea, select")) return;
    const boxes = boxesOf(form);
    const place = boxes.indexOf(event.target);
    const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columnsOf(boxes), ArrowDown: columnsOf(boxes) }[event.key];
    if (step && boxes.length && (place >= 0 || document.activeElement === document.body)) {
      const next = boxes[place < 0 ? 0 : place + step];
      if (!next) return;
      event.preventDefault();
      next.focus();
      if (event.shiftKey && place >= 0) [boxes[place], next].forEach((box) => pick(box, true));
    } else if (event.key.toLowerCase() === "a") {
      const every = boxes.every((box) => box.checked);
      boxes.forEach((box) => pick(box, !every));
    } else if (event.key === "Escape") {
      boxes.forEach((box) => pick(box, false));
    } else if (event.key === "Enter" && place >= 0) {
      event.preventDefault();
      form.requestSubmit();
    }
  });

  document.addEventListener("input", (event) => { const form = formOf(event.target); if (form) tell(form); });
  document.addEventListener("reset", (event) => { const form = formOf(event.target); if (form) setTimeout(() => tell(form)); });
  document.addEventListener("htmx:afterSettle", tellAll);
  tellAll();
})();
