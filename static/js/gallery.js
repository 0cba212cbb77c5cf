// The samples: chosen by mouse and keyboard, opened over the grid. Without this the checkboxes,
// their form and the links to the page of each sample do the same.
(() => {
  const form = document.getElementById("gallery");
  const dialog = document.getElementById("lightbox");
  const body = document.getElementById("lightbox-body");
  const toasts = document.getElementById("toasts");
  const TOAST_MS = 8000;
  const keysAreOn = () => { try { return localStorage.getItem("review-keys") !== "off"; } catch { return true; } };

  // The filters: none that says nothing is in the address
  const filters = document.getElementById("filters");
  filters.addEventListener("submit", () => {
    for (const field of filters.elements) if (field.name && !field.value) field.disabled = true;
  });
  filters.addEventListener("change", (event) => { if (event.target.matches("select")) filters.requestSubmit(); });
  window.addEventListener("pageshow", () => { for (const field of filters.elements) field.disabled = false; });

  const watchToast = (toast) => setTimeout(() => {
    if (toast.matches(":hover, :focus-within")) watchToast(toast); else toast.remove();
  }, TOAST_MS);
  new MutationObserver(() => {
    for (const toast of toasts.querySelectorAll("[data-toast]:not([data-watched])")) {
      toast.dataset.watched = "";
      watchToast(toast);
    }
  }).observe(toasts, { childList: true });

  if (!form) return;
  const grid = form.querySelector("[data-grid]");
  const bar = form.querySelector("[data-bar]");
  const all = form.querySelector("[data-all-box]");
  const boxes = () => [...grid.querySelectorAll("input[name=sample]")];
  let anchor = null; // where a range begins
  let current = null; // the one that Tab comes to
  let drag = null;
  let swallowClick = false;

  function refresh() {
    const found = boxes();
    const count = found.filter((box) => box.checked).length;
    bar.hidden = count === 0 && !all.checked;
    const said = all.checked ? form.dataset.all : count === 1 ? form.dataset.one : form.dataset.many.replace("#", count);
    const selected = form.querySelector("[data-selected]");
    if (selected.textContent !== said) selected.textContent = said;
    if (!found.includes(current)) current = found[0] || null;
    for (const box of found) box.tabIndex = box === current ? 0 : -1;
  }

  function range(from, to, wanted) {
    const found = boxes();
    const ends = [found.indexOf(from), found.indexOf(to)].sort((one, other) => one - other);
    found.slice(ends[0], ends[1] + 1).forEach((box) => { box.checked = wanted(box); });
  }

  function clear() {
    for (const box of boxes()) box.checked = false;
    all.checked = false;
    refresh();
  }

  function closeMenus() {
    for (const menu of document.querySelectorAll("details[data-label][open]")) menu.open = false;
  }

  grid.addEventListener("click", (event) => {
    const box = event.target.closest("input[name=sample]");
    if (!box) return;
    if (swallowClick) { swallowClick = false; event.preventDefault(); return; }
    if (event.shiftKey && anchor?.isConnected) range(anchor, box, () => box.checked);
    else anchor = box;
    current = box;
    refresh();
  });
  grid.addEventListener("dblclick", (event) => { open(event.target.closest(".pick")); });
  form.addEventListener("reset", (event) => { event.preventDefault(); clear(); current?.focus(); });
  all.addEventListener("change", refresh);

  // Press one and drag over others: all between follow the first
  grid.addEventListener("pointerdown", (event) => {
    const box = event.target.closest("input[name=sample]");
    swallowClick = false;
    if (!box || event.pointerType === "touch" || event.button !== 0 || event.shiftKey) return;
    drag = { box, wanted: !box.checked, before: new Map(boxes().map((each) => [each, each.checked])), moved: false };
  });
  grid.addEventListener("pointermove", (event) => {
    if (!drag || event.buttons !== 1) return;
    const over = document.elementFromPoint(event.clientX, event.clientY)?.closest(".pick")?.querySelector("input[name=sample]");
    if (!over || (over === drag.box && !drag.moved)) return;
    drag.moved = true;
    for (const [box, was] of drag.before) box.checked = was;
    range(drag.box, over, () => drag.wanted);
    anchor = drag.box;
    current = over;
    refresh();
  });
  document.addEventListener("pointerup", () => {
    if (drag?.moved) { swallowClick = true; setTimeout(() => { swallowClick = false; }); }
    drag = null;
  });

  function move(key, extend) {
    const found = boxes();
    const top = found[0].closest(".pick").offsetTop;
    const columns = found.filter((box) => box.closest(".pick").offsetTop === top).length;
    const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns }[key];
    const to = found[found.indexOf(document.activeElement) + step];
    if (!to) return;
    if (extend) {
      if (!anchor?.isConnected) anchor = document.activeElement;
      range(anchor, to, () => true);
    } else anchor = to;
    current = to;
    refresh();
    to.focus();
    to.closest(".pick").scrollIntoView({ block: "nearest" });
  }

  // The lightbox. Not by a click on the link, which htmx may not know yet in a tile that came now
  function open(tile) {
    const address = tile?.querySelector("[data-open]")?.getAttribute("hx-get");
    if (address) htmx.ajax("GET", address, { target: "#lightbox-body" });
  }

  const shown = () => dialog.querySelector("[data-sample]")?.dataset.sample;
  const tileOf = (uuid) => document.getElementById(`s-${uuid}`);

  function neighbour(step) {
    const found = boxes();
    const place = found.findIndex((box) => box.closest(".pick").id === `s-${shown()}`);
    return found[place + step]?.closest(".pick");
  }

  function step(by) {
    const next = neighbour(by);
    if (next) open(next);
    else if (by > 0) grid.querySelector(".more")?.scrollIntoView();
  }

  function toggleHeat() {
    const button = dialog.querySelector("[data-heat]");
    const picture = dialog.querySelector("[data-picture]");
    if (!button) return;
    const on = button.getAttribute("aria-pressed") !== "true";
    picture.dataset.plain ||= picture.src;
    picture.onerror = () => {
      picture.onerror = null;
      button.setAttribute("aria-pressed", "false");
      picture.src = picture.dataset.plain;
      say(button.dataset.refused);
    };
    button.setAttribute("aria-pressed", String(on));
    picture.src = on ? button.dataset.heat : picture.dataset.plain;
  }

  function say(sentence) {
    const toast = document.createElement("div");
    toast.className = "toast-note";
    toast.dataset.toast = "";
    toast.textContent = sentence;
    toasts.replaceChildren(toast);
  }

  // Where an answer takes longer, the window is there before it, in its final size
  let slow = null;
  let dismissed = false;
  document.addEventListener("htmx:beforeRequest", (event) => {
    if (event.detail.target !== body) return;
    dismissed = false;
    if (dialog.open) return;
    clearTimeout(slow);
    slow = setTimeout(() => {
      body.replaceChildren(document.getElementById("lightbox-skeleton").content.cloneNode(true));
      dialog.showModal();
    }, 150);
  });
  // Closed before its answer came, it must not open again by itself
  document.addEventListener("htmx:beforeSwap", (event) => {
    if (event.detail.target === body && dismissed) event.detail.shouldSwap = false;
  });
  for (const name of ["htmx:afterRequest", "htmx:sendError"]) {
    document.addEventListener(name, (event) => {
      if (event.detail.target !== body) return;
      clearTimeout(slow);
      if (dialog.open && !event.detail.successful) dialog.close();
    });
  }

  // Once it has settled: before, a key would press a button that htmx does not know yet
  document.addEventListener("htmx:afterSettle", (event) => {
    if (event.detail.target === body) {
      const address = body.querySelector("[data-address]")?.dataset.address;
      if (!address || body.firstElementChild.dataset.greeted) return;
      body.firstElementChild.dataset.greeted = "";
      if (!dialog.open) dialog.showModal();
      if (!history.state?.lightbox) {
        // What is said about an act has to be seen over the lightbox
        dialog.append(toasts);
        history.pushState({ lightbox: true }, "", address);
      } else history.replaceState({ lightbox: true }, "", address);
      current = tileOf(shown())?.querySelector("input") || current;
      dialog.querySelector("[data-title]").focus();
      for (const by of [1, -1]) {
        const picture = neighbour(by)?.querySelector("[data-full]")?.dataset.full;
        if (picture) new Image().src = picture;
      }
      return;
    }
    refresh();
  });
  document.addEventListener("htmx:oobAfterSwap", refresh);
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog || event.target.closest("[data-close]")) dialog.close();
    const by = event.target.closest("[data-step]")?.dataset.step;
    if (by) step(Number(by));
    if (event.target.closest("[data-heat]")) toggleHeat();
  });
  dialog.addEventListener("close", () => {
    dismissed = true;
    body.replaceChildren();
    document.body.append(toasts);
    if (history.state?.lightbox) history.back();
    refresh();
    current?.focus();
  });
  window.addEventListener("popstate", () => { if (dialog.open) dialog.close(); });

  document.addEventListener("htmx:afterRequest", (event) => {
    const { elt, successful } = event.detail;
    if (!elt.matches("[name=ruling]")) return;
    closeMenus();
    if (!successful) return;
    if (dialog.contains(elt)) open(tileOf(shown()));
    else clear();
  });

  function openLabels(scope) {
    const menu = scope.querySelector("[data-label]");
    menu.open = true;
    menu.querySelector("[data-name]").focus();
  }

  document.addEventListener("keydown", (event) => {
    const { target, key } = event;
    // A menu is closed by the first Escape, what it stands on by the next
    const menu = document.querySelector("details.menu[open]");
    if (key === "Escape" && menu) {
      event.preventDefault();
      closeMenus();
      menu.querySelector("summary").focus();
      return;
    }
    if (target.closest("input:not([type=checkbox]), textarea, select")) return;
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const box = target.matches("[data-grid] input[name=sample]") ? target : null;
    if (box && key.startsWith("Arrow")) { event.preventDefault(); move(key, event.shiftKey); return; }
    if (box && key === "Enter") { event.preventDefault(); open(box.closest(".pick")); return; }
    if (key === "Escape" && !dialog.open) { clear(); return; }
    if (event.repeat || !keysAreOn()) return;
    const letter = key.toLowerCase();
    if (letter === "u") { toasts.querySelector("[data-undo]")?.click(); return; }
    if (dialog.open) {
      if (letter === "j" || letter === "k") step(letter === "j" ? 1 : -1);
      else if (letter === "h") toggleHeat();
      else if (letter === "l") openLabels(dialog);
      else if (letter === "r" || letter === "d") dialog.querySelector(`[data-act=${letter}]`)?.click();
      else return;
      event.preventDefault();
      return;
    }
    if (!"lrd".includes(letter) || letter.length !== 1) return;
    // Without any chosen, the one that has the focus is meant
    if (box && bar.hidden) { box.checked = true; refresh(); }
    if (bar.hidden) return;
    event.preventDefault();
    if (letter === "l") openLabels(bar);
    else bar.querySelector(`[data-act=${letter}]`).click();
  }, { capture: true }); // before menus close

  refresh();
})();
