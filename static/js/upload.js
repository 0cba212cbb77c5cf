// The upload form: one picture is answered beside it; many, folders and archives are sent one by one as a batch.
"use strict";

(() => {
  const { pictures, archives, folders } = window.classifr;
  const { asItem, dropped, isIgnored } = folders;
  const AT_ONCE = 3;
  const SHOWN_ROWS = 200;
  const WAIT_SECONDS = 5; // where the server does not say
  const LONGEST_WAIT_SECONDS = 120;
  const MOST_TRIES = 20;

  const language = document.documentElement.lang;
  const wait = (seconds) => new Promise((done) => { setTimeout(done, 1000 * seconds); });
  const fill = (text, values) => text.replace(/\{(\w+)\}/g, (_all, name) => values[name]);
  async function unpacked(items, complain) {
    const found = [];
    for (const item of items) {
      if (!/\.zip$/i.test(item.name)) { found.push(item); continue; }
      try {
        found.push(...await archives.read(await item.open()));
      } catch {
        complain(item);
      }
    }
    return found.filter((item) => !isIgnored(item));
  }

  const start = (form) => {
    const texts = form.dataset;
    const [input, camera, folder] = ["#file", "#camera", "#folder"].map((name) => form.querySelector(name));
    const zone = form.querySelector("[data-drop]");
    const previews = form.querySelector("[data-previews]");
    const list = form.querySelector("[data-files]");
    const rows = form.querySelector("[data-rows]");
    const summary = form.querySelector("[data-summary]");
    const progress = form.querySelector("[data-progress]");
    const button = form.querySelector("#classify");
    const result = document.querySelector("#result");
    let items = [];
    let addresses = [];
    let isSending = false;
    let pause = Promise.resolve(); // until the server takes more

    form.querySelectorAll("[data-script-only]").forEach((element) => { element.hidden = false; });

    const token = () => form.querySelector("[name=csrfmiddlewaretoken]").value;

    function say(...sentences) {
      result.replaceChildren(...sentences.map((sentence) => {
        const alert = Object.assign(document.createElement("p"), { textContent: sentence, className: "alert alert-danger" });
        alert.setAttribute("role", "alert");
        return alert;
      }));
    }

    const reduced = async (file) => pictures.reduce(file, Number(texts.reduceAbove) || Number(texts.maxBytes));
    const reduction = (before, after) => fill(texts.textReduced, { before: pictures.shownSize(before, language), after: pictures.shownSize(after, language) });

    function mark(item, state, note, action) {
      item.state = state;
      if (!item.row) return;
      item.row.dataset.state = state;
      item.row.querySelector("[data-note]").textContent = note || "";
      item.row.querySelector("[data-again]").hidden = action !== "again";
      item.row.querySelector("[data-remove]").hidden = action !== "remove";
    }

    function addRow(item) {
      const row = form.querySelector("[data-row]").content.firstElementChild.cloneNode(true);
      row.querySelector("[data-name]").textContent = item.path;
      row.querySelector("[data-remove]").addEventListener("click", () => { row.remove(); items = items.filter((each) => each !== item); showMany(); });
      row.querySelector("[data-again]").addEventListener("click", () => { mark(item, "waiting"); send(); });
      item.row = row;
      rows.append(row);
      mark(item, "waiting", pictures.shownSize(item.size, language), "remove");
    }

    const count = (state) => items.filter((item) => item.state === state).length;

    function summarize() {
      const done = count("sent") + count("refused");
      summary.textContent = isSending || done ? fill(texts.textSent, { done, count: items.length }) : fill(texts.textChosen, { count: items.length });
      progress.hidden = !isSending;
      progress.value = (100 * done) / items.length;
    }

    function showMany() {
      previews.replaceChildren();
      list.hidden = items.length < 2;
      if (items.length < 2) { showOne(); return; }
      summarize();
      document.dispatchEvent(new CustomEvent("classifr:files", { detail: { form, items } }));
    }

    // Sent by the form itself, so that the answer comes beside it
    async function showOne() {
      list.hidden = true;
      addresses.forEach((address) => URL.revokeObjectURL(address));
      addresses = [];
      const [item] = items;
      previews.replaceChildren();
      if (!item) return;
      let file;
      try {
        file = await item.open();
      } catch {
        say(fill(texts.textUnreadable, { name: item.name }));
        return;
      }
      const small = await reduced(file);
      if (items[0] !== item) return; // another was chosen meanwhile
      const transfer = new DataTransfer();
      transfer.items.add(small);
      camera.value = "";
      input.files = transfer.files;
      const isTooLarge = small.size > Number(texts.maxBytes);
      button.disabled = isTooLarge;
      if (isTooLarge) say(fill(texts.textTooLarge, { name: small.name }));
      const image = Object.assign(document.createElement("img"), { alt: small.name, src: URL.createObjectURL(small) });
      addresses.push(image.src);
      image.addEventListener("error", () => image.replaceWith(`${small.name}: ${texts.textNoPreview}`));
      previews.append(image);
      const note = Object.assign(document.createElement("p"), { className: "small muted text-break", textContent: small.name });
      if (small !== file) note.textContent += ` · ${reduction(file.size, small.size)}`;
      previews.append(note);
    }

    async function take(found) {
      if (isSending || !found.length) return;
      result.replaceChildren();
      button.disabled = false;
      items = await unpacked(found, (item) => say(fill(texts.textNoArchive, { name: item.name })));
      rows.replaceChildren();
      items.slice(0, SHOWN_ROWS).forEach(addRow);
      input.value = camera.value = folder.value = "";
      if (items.length === 1) await showOne(); else showMany();
      if (!items.length && !result.childElementCount) say(texts.textNothing);
    }

    function post(address, body, onProgress) {
      return new Promise((done) => {
        const request = new XMLHttpRequest();
        request.open("POST", address);
        request.setRequestHeader("X-CSRFToken", token());
        request.setRequestHeader("HX-Request", "true");
        request.upload.addEventListener("progress", (event) => { if (event.lengthComputable) onProgress?.(event.loaded / event.total); });
        request.addEventListener("loadend", () => done(request));
        request.send(body);
      });
    }

    // A refusal comes as a sentence in a piece of a page
    const sentence = (request) => new DOMParser().parseFromString(request.responseText, "text/html").body.textContent.trim();

    async function sendOne(item) {
      mark(item, "sending");
      let file;
      try {
        file = await item.open();
      } catch {
        mark(item, "refused", fill(texts.textUnreadable, { name: item.name }));
        return;
      }
      const small = await reduced(file);
      const note = small === file ? "" : reduction(file.size, small.size);
      const body = new FormData(form);
      ["file", "csrfmiddlewaretoken"].forEach((name) => body.delete(name));
      body.append("file", small, item.path.split("/").pop());
      body.append("key", item.key ||= crypto.randomUUID?.() ?? `${Date.now()}-${Math.random()}`.slice(0, 40));
      const percent = new Intl.NumberFormat(language, { style: "percent" });
      const answer = await post(`${form.batch}files/`, body, (share) => mark(item, "sending", percent.format(share)));
      if (answer.status === 201) mark(item, "sent", note);
      else if (answer.status === 429 || answer.status === 503) {
        const seconds = Number(answer.getResponseHeader("Retry-After")) || WAIT_SECONDS;
        item.tries = (item.tries || 0) + 1;
        const goesOn = seconds <= LONGEST_WAIT_SECONDS && item.tries <= MOST_TRIES;
        mark(item, goesOn ? "waiting" : "failed", sentence(answer), goesOn ? "" : "again");
        if (goesOn) pause = wait(seconds);
      } else if (answer.status >= 200 && answer.status < 500 && answer.status !== 204) mark(item, "refused", sentence(answer));
      else mark(item, "failed", texts.textNoNetwork, "again");
    }

    async function begin() {
      const answer = await post(texts.startBatch);
      if (answer.status === 201) form.batch = answer.getResponseHeader("Location");
      else say(answer.status ? sentence(answer) : texts.textNoNetwork);
      return Boolean(form.batch);
    }

    async function goOn() {
      isSending = false;
      await post(`${form.batch}go-on/`);
      window.location = form.batch;
    }

    async function send() {
      if (isSending || !(form.batch || await begin())) return;
      isSending = true;
      button.disabled = true;
      const one = async () => {
        for (;;) {
          await pause;
          const item = items.find((each) => each.state === "waiting");
          if (!item) return;
          await sendOne(item);
          summarize();
        }
      };
      items.forEach((item) => { item.state ||= "waiting"; if (item.state === "waiting") mark(item, "waiting"); });
      summarize();
      await Promise.all(Array.from({ length: AT_ONCE }, one));
      isSending = false;
      summarize();
      if (!count("failed")) { await goOn(); return; }
      form.querySelector("[data-without]").hidden = !count("sent");
      form.querySelector("[data-all-again]").hidden = false;
      say(fill(texts.textFailed, { count: count("failed") }));
    }

    form.querySelector("[data-without]").addEventListener("click", goOn);
    form.querySelector("[data-all-again]").addEventListener("click", () => {
      items.filter((item) => item.state === "failed").forEach((item) => mark(item, "waiting"));
      form.querySelectorAll("[data-without], [data-all-again]").forEach((each) => { each.hidden = true; });
      result.replaceChildren();
      send();
    });

    [input, camera, folder].forEach((field) => {
      field.addEventListener("change", () => take([...field.files].map((file) => asItem(file))));
    });
    document.addEventListener("paste", (event) => {
      if (!event.clipboardData?.files.length) return;
      event.preventDefault();
      take([...event.clipboardData.files].map((file) => asItem(file)));
    });
    // Dropped beside the field, a file would replace the page.
    ["dragover", "dragleave", "drop"].forEach((name) => {
      document.addEventListener(name, (event) => {
        if (!event.dataTransfer?.types.includes("Files") && name !== "dragleave") return;
        event.preventDefault();
        zone.classList.toggle("over", name === "dragover");
      });
    });
    document.addEventListener("drop", async (event) => { if (event.dataTransfer?.files.length) take(await dropped(event.dataTransfer)); });
    window.addEventListener("beforeunload", (event) => { if (isSending) event.preventDefault(); });

    form.addEventListener("htmx:beforeRequest", (event) => {
      if (items.length < 2) return;
      event.preventDefault();
      send();
    });
    form.addEventListener("htmx:xhr:progress", (event) => {
      if (!event.detail.lengthComputable) return;
      progress.hidden = event.detail.loaded >= event.detail.total;
      progress.value = (100 * event.detail.loaded) / event.detail.total;
    });
    form.addEventListener("htmx:afterRequest", () => { progress.hidden = true; });
    form.addEventListener("htmx:sendError", () => say(texts.textNoNetwork));
    if (input.files.length) take([...input.files].map((file) => asItem(file)));
  };

  document.querySelectorAll("[data-upload]").forEach(start);
})();
