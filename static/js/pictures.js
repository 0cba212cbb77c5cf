// Makes photos that are too large to send smaller, in the browser.
"use strict";

window.classifr = window.classifr || {};

(() => {
  const LONGEST_SIDE = 2048;
  const QUALITY = 0.9;
  const ORIENTATION = 0x0112;

  // The Exif block of a JPEG, which tells the camera and when it was: with the orientation taken out, as the smaller
  // picture is upright already. Null if there is none.
  function exifOf(bytes) {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    if (view.byteLength < 4 || view.getUint16(0) !== 0xffd8) return null;
    for (let at = 2; at + 10 < view.byteLength && view.getUint8(at) === 0xff; at += 2 + view.getUint16(at + 2)) {
      const isExif = view.getUint8(at + 1) === 0xe1 && view.getUint32(at + 4) === 0x45786966;
      const end = at + 2 + view.getUint16(at + 2);
      if (!isExif) continue;
      if (end > view.byteLength || end < at + 20) return null;
      const segment = bytes.slice(at, end);
      standUpright(new DataView(segment.buffer, 10));
      return segment;
    }
    return null;
  }

  function standUpright(tiff) {
    const little = tiff.getUint16(0) === 0x4949;
    const directory = tiff.getUint32(4, little);
    if (directory + 2 > tiff.byteLength) return;
    const entries = tiff.getUint16(directory, little);
    for (let place = 0; place < entries; place += 1) {
      const entry = directory + 2 + 12 * place;
      if (entry + 12 > tiff.byteLength) return;
      if (tiff.getUint16(entry, little) === ORIENTATION) tiff.setUint16(entry + 8, 1, little);
    }
  }

  async function drawn(file) {
    const bitmap = await createImageBitmap(file, { imageOrientation: "from-image" });
    const scale = Math.min(1, LONGEST_SIDE / Math.max(bitmap.width, bitmap.height));
    const canvas = document.createElement("canvas");
    canvas.width = Math.max(1, Math.round(bitmap.width * scale));
    canvas.height = Math.max(1, Math.round(bitmap.height * scale));
    const brush = canvas.getContext("2d");
    brush.fillStyle = "#fff";
    brush.fillRect(0, 0, canvas.width, canvas.height);
    brush.imageSmoothingQuality = "high";
    brush.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
    bitmap.close();
    return new Promise((done) => { canvas.toBlob(done, "image/jpeg", QUALITY); });
  }

  // The file itself, or a smaller one where it has more than `above` bytes and the browser can read it.
  async function reduce(file, above) {
    if (!above || file.size <= above) return file;
    try {
      const small = await drawn(file);
      if (!small || small.size >= file.size) return file;
      const exif = exifOf(new Uint8Array(await file.slice(0, 262144).arrayBuffer()));
      const parts = exif ? [small.slice(0, 2), exif, small.slice(2)] : [small];
      return new File(parts, file.name, { type: "image/jpeg", lastModified: file.lastModified });
    } catch {
      return file; // HEIC, for example: the server reads it
    }
  }

  function shownSize(bytes, language) {
    const isLarge = bytes >= 1e6;
    const options = { style: "unit", unit: isLarge ? "megabyte" : "kilobyte", maximumFractionDigits: isLarge ? 1 : 0 };
    return new Intl.NumberFormat(language, options).format(isLarge ? bytes / 1e6 : Math.max(1, bytes / 1e3));
  }

  window.classifr.pictures = { reduce, shownSize };
})();
