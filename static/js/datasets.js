// Sends folders of pictures as a data set: photos reduced and packed in the browser, then looked through by the server.
"use strict";

(() => {
  const { pictures, archives, folders } = window.classifr;
  const language = document.documentElement.lang;
  const fill = (text, values) => text.replace(/\{(\w+)\}/g, (_all, name) => values[name]);
  const IMPORT = /\/import\/\d+\/$/; // where the server leads to when it has kept a data set

  const start = (place) => {
    const texts = place.dataset;
    const progress = place.querySelector("[data-dataset-progress]");
    const note = place.querySelector("[data-dataset-note]");
    let isSending = false;

    const say = (sentence, isWrong) => {
      note.textContent = sentence;
      note.classList.toggle("nok", Boolean(isWrong));
    };
    const show = (share) => { progress.hidden = false; progress.value = 100 * share; };

    // A refusal comes as the page with the sentence below the field
    const refusal = (request) => {
      const page = new DOMParser().parseFromString(request.responseText, "text/html");
      return page.querySelector(".invalid-feedback, .alert-danger, [role=alert]")?.textContent.trim() || texts.textNoNetwork;
    };

    function post(file) {
      return new Promise((done) => {
        const body = new FormData();
        body.append("dataset", file, file.name);
        const request = new XMLHttpRequest();
        request.open("POST", texts.address);
        request.setRequestHeader("X-CSRFToken", texts.token);
        request.upload.addEventListener("progress", (event) => {
          if (!event.lengthComputable) return;
          show(event.loaded / event.total);
          const percent = new Intl.NumberFormat(language, { style: "percent" }).format(event.loaded / event.total);
          say(fill(texts.textSending, { percent }));
        });
        request.addEventListener("loadend", () => done(request));
        request.send(body);
      });
    }

    async function packed(items) {
      const [first] = items;
      if (items.length === 1 && /\.zip$/i.test(first.name)) return first.open();
      const files = folders.unwrapped(items.filter((item) => !folders.isIgnored(item)));
      if (!files.length || files.some((item) => !item.path.includes("/"))) { say(texts.textNoFolders, true); return null; }
      let length = 0;
      const prepare = async (file) => {
        const small = await pictures.reduce(file, Number(texts.reduceAbove));
        length += small.size;
        if (length > Number(texts.maxBytes)) throw new Error("too large"); // rather than filling the memory first
        return small;
      };
      const archive = await archives.write(files, {
        prepare,
        progress: (done, count) => { show(done / count); say(fill(texts.textPreparing, { done, count })); },
      });
      return new File([archive], `${[...folders.categoriesOf(files)].slice(0, 3).join(", ").slice(0, 80)}.zip`);
    }

    async function send(items) {
      if (isSending || !items.length) return;
      isSending = true;
      try {
        const file = await packed(items).catch(() => { say(texts.textTooLarge, true); return null; });
        if (!file) return;
        if (file.size > Number(texts.maxBytes)) { say(texts.textTooLarge, true); return; }
        const answer = await post(file);
        const path = answer.responseURL && new URL(answer.responseURL).pathname;
        if (!path || !IMPORT.test(path)) { say(refusal(answer), true); return; }
        isSending = false;
        if ("stay" in texts) window.location.reload(); else window.location = path;
      } finally {
        isSending = false;
        progress.hidden = true;
      }
    }

    window.addEventListener("beforeunload", (event) => { if (isSending) event.preventDefault(); });

    // A place to drop folders into, anywhere on its page
    if ("datasetDrop" in texts) {
      place.hidden = false;
      place.querySelectorAll("[data-dataset-field]").forEach((field) => {
        field.addEventListener("change", () => { send([...field.files].map((file) => folders.asItem(file))); });
      });
      ["dragover", "dragleave", "drop"].forEach((name) => {
        document.addEventListener(name, (event) => {
          event.preventDefault();
          place.classList.toggle("over", name === "dragover");
        });
      });
      document.addEventListener("drop", async (event) => { if (event.dataTransfer?.files.length) send(await folders.dropped(event.dataTransfer)); });
      return;
    }

    // An offer beside classifying: files in two folders or more look like labelled pictures
    let chosen = [];
    document.addEventListener("classifr:files", (event) => {
      chosen = event.detail.items;
      place.hidden = folders.categoriesOf(chosen).size < 2;
    });
    place.querySelector("[data-dataset-send]").addEventListener("click", () => send(chosen));
  };

  document.querySelectorAll("[data-dataset]").forEach(start);
})();
