// Reads and writes zip archives in the browser, a file at a time.
"use strict";

window.classifr = window.classifr || {};

(() => {
  const END = 0x06054b50;
  const ENTRY = 0x02014b50;
  const LOCAL = 0x04034b50;
  const STORED = 0;
  const DEFLATED = 8;
  const UTF_8 = 0x0800;
  const ENCRYPTED = 0x0001;

  const view = async (blob) => new DataView(await blob.arrayBuffer());

  async function opened(archive, entry) {
    const head = await view(archive.slice(entry.at, entry.at + 30));
    if (head.getUint32(0, true) !== LOCAL) throw new Error("damaged");
    const start = entry.at + 30 + head.getUint16(26, true) + head.getUint16(28, true);
    const packed = archive.slice(start, start + entry.packed);
    if (entry.method === STORED) return new File([packed], entry.name);
    const reader = packed.stream().pipeThrough(new DecompressionStream("deflate-raw")).getReader();
    const chunks = [];
    let length = 0;
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      length += part.value.length;
      if (length > entry.size) { await reader.cancel(); throw new Error("longer than it says"); }
      chunks.push(part.value);
    }
    return new File(chunks, entry.name);
  }

  // The files of an archive, each with `path`, `size` and `open()`; nothing is unpacked yet. Raises where it is none.
  async function read(archive) {
    const tail = Math.max(0, archive.size - 65557);
    const end = await view(archive.slice(tail));
    let at = end.byteLength - 22;
    while (at >= 0 && end.getUint32(at, true) !== END) at -= 1;
    if (at < 0) throw new Error("no archive");
    const [count, size, offset] = [end.getUint16(at + 10, true), end.getUint32(at + 12, true), end.getUint32(at + 16, true)];
    const directory = await view(archive.slice(offset, offset + size));
    const files = [];
    for (let place = 0, entry = 0; place < count; place += 1) {
      if (entry + 46 > directory.byteLength || directory.getUint32(entry, true) !== ENTRY) throw new Error("damaged");
      const [flags, method] = [directory.getUint16(entry + 8, true), directory.getUint16(entry + 10, true)];
      const nameLength = directory.getUint16(entry + 28, true);
      const bytes = new Uint8Array(directory.buffer, entry + 46, nameLength);
      const path = new TextDecoder(flags & UTF_8 ? "utf-8" : "latin1").decode(bytes);
      const found = {
        name: path.split("/").pop(), method,
        packed: directory.getUint32(entry + 20, true), size: directory.getUint32(entry + 24, true), at: directory.getUint32(entry + 42, true),
      };
      const isReadable = (method === STORED || method === DEFLATED) && !(flags & ENCRYPTED);
      if (!path.endsWith("/")) {
        files.push({ path, name: found.name, size: found.size, open: () => (isReadable ? opened(archive, found) : Promise.reject(new Error("method"))) });
      }
      entry += 46 + nameLength + directory.getUint16(entry + 30, true) + directory.getUint16(entry + 32, true);
    }
    return files;
  }

  const TABLE = Uint32Array.from({ length: 256 }, (_value, byte) => {
    let sum = byte;
    for (let bit = 0; bit < 8; bit += 1) sum = sum & 1 ? (sum >>> 1) ^ 0xedb88320 : sum >>> 1;
    return sum;
  });

  function checksum(bytes) {
    let sum = 0xffffffff;
    for (const byte of bytes) sum = TABLE[(sum ^ byte) & 255] ^ (sum >>> 8);
    return (sum ^ 0xffffffff) >>> 0;
  }

  function header(kind, file, sum, at) {
    const name = new TextEncoder().encode(file.path);
    const isEntry = kind === ENTRY;
    const bytes = new DataView(new ArrayBuffer(isEntry ? 46 : 30));
    const fields = isEntry ? 6 : 4;
    bytes.setUint32(0, kind, true);
    if (isEntry) bytes.setUint16(4, 20, true);
    bytes.setUint16(fields, 20, true);
    bytes.setUint16(fields + 2, UTF_8, true);
    bytes.setUint32(fields + 10, sum, true);
    bytes.setUint32(fields + 14, file.content.size, true);
    bytes.setUint32(fields + 18, file.content.size, true);
    bytes.setUint16(fields + 22, name.length, true);
    if (isEntry) bytes.setUint32(42, at, true);
    return [bytes.buffer, name];
  }

  // An archive of files given as `path` and `open()`, stored as they are: photos do not get smaller.
  async function write(files, { prepare = (file) => file, progress = () => {} } = {}) {
    const [parts, directory] = [[], []];
    let at = 0;
    for (const [place, each] of files.entries()) {
      const file = { path: each.path, content: await prepare(await each.open()) };
      const sum = checksum(new Uint8Array(await file.content.arrayBuffer()));
      const local = header(LOCAL, file, sum, 0);
      directory.push(...header(ENTRY, file, sum, at));
      parts.push(...local, file.content);
      at += local[0].byteLength + local[1].length + file.content.size;
      if (at > 0xffffffff) throw new Error("too large");
      progress(place + 1, files.length);
    }
    const end = new DataView(new ArrayBuffer(22));
    const length = directory.reduce((sum, part) => sum + (part.byteLength ?? part.length), 0);
    end.setUint32(0, END, true);
    end.setUint16(8, files.length, true);
    end.setUint16(10, files.length, true);
    end.setUint32(12, length, true);
    end.setUint32(16, at, true);
    return new Blob([...parts, ...directory, end.buffer], { type: "application/zip" });
  }

  window.classifr.archives = { read, write };
})();
