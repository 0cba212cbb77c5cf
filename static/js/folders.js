// Files that were chosen or dropped, those within folders too: each with `path`, `name`, `size` and `open()`.
"use strict";

window.classifr = window.classifr || {};

(() => {
  const IGNORED = /(^|\/)(\.|__MACOSX\/|Thumbs\.db$)/;

  const asItem = (file, path) => ({ path: path || file.webkitRelativePath || file.name, name: file.name, size: file.size, open: async () => file });

  async function filesBelow(entry) {
    if (entry.isFile) return [asItem(await new Promise((done, failed) => { entry.file(done, failed); }), entry.fullPath.slice(1))];
    const reader = entry.createReader();
    const found = [];
    // A reader gives a hundred at a time, and none when there is no more.
    for (;;) {
      const some = await new Promise((done, failed) => { reader.readEntries(done, failed); });
      if (!some.length) return found;
      for (const each of some) found.push(...await filesBelow(each));
    }
  }

  const dropped = async (transfer) => {
    const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
    const files = [...transfer.files];
    if (!entries.some((entry) => entry.isDirectory)) return files.map((file) => asItem(file));
    return (await Promise.all(entries.map(filesBelow))).flat();
  };

  const isIgnored = (item) => IGNORED.test(item.path);

  // The files with the folders that all of them lie in taken off their paths, as far as each keeps one of its own.
  function unwrapped(items) {
    let paths = items.map((item) => item.path.split("/"));
    while (paths.length && paths.every((path) => path.length > 2 && path[0] === paths[0][0])) paths = paths.map((path) => path.slice(1));
    return items.map((item, place) => ({ ...item, path: paths[place].join("/") }));
  }

  // The folders right around the files, each a category; without those that lie in none.
  const categoriesOf = (items) => new Set(unwrapped(items).map((item) => item.path.split("/").slice(0, -1)[0]).filter(Boolean));

  window.classifr.folders = { asItem, dropped, isIgnored, unwrapped, categoriesOf };
})();
