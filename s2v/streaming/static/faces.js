// Whose face: the gallery the server keeps, and photos the visitor adds by dropping, choosing or pasting.

import { askServer } from "./call.js";

const LONG_SIDE_PX = 1280; // the server draws smaller than that
const LOOK_AGAIN_MS = 3000;
const QUALITIES = [0.92, 0.8, 0.6];
const TOO_LARGE = "This picture is too large for the server. Give a smaller one.";
// What a server reads that few browsers do; some systems give such files no type.
const UNREAD_HERE = { heic: "image/heic", heif: "image/heif", avif: "image/avif" };

export class Faces {
  #config;
  #parts;
  #onChoice;
  #mine = new Map(); // radio of each photo added here -> {photo, name}, to be sent again when the server has forgotten it

  // parts: {panel, list, add, file, remove, hint, error, stage}; onChoice(still address, picture, first) after every choice.
  constructor(config, parts, onChoice) {
    this.#config = config;
    this.#parts = parts;
    this.#onChoice = onChoice;
    const faces = config.faces ?? [];
    for (const face of faces) this.#append(face, face.id === (config.face ?? faces[0].id));
    parts.panel.hidden = faces.length < 2 && !config.uploads;
    if (config.faces_coming) setTimeout(() => this.#lookForMore(), LOOK_AGAIN_MS);
    parts.add.hidden = parts.hint.hidden = !config.uploads;
    parts.list.onchange = (event) => event.target.type === "radio" && this.#chosen();
    parts.remove.onclick = () => this.#forget();
    if (config.uploads) this.#takePhotos();
    this.#chosen(true);
  }

  // Id of the chosen face; undefined on a server that has only one and gives it no name.
  get chosen() {
    return this.#radio?.value;
  }

  get #radio() {
    return this.#parts.list.querySelector("input[type=radio]:checked");
  }

  // A server that has just started is still looking at the photos of its gallery.
  async #lookForMore() {
    const config = await askServer("/config").catch(() => null);
    const known = new Set([...this.#parts.list.querySelectorAll("input[type=radio]")].map((radio) => radio.value));
    for (const face of config?.faces ?? []) if (!known.has(face.id)) this.#append(face, false);
    if (known.size > 1 || config?.faces.length > 1) this.#parts.panel.hidden = false;
    if (config?.faces_coming) setTimeout(() => this.#lookForMore(), LOOK_AGAIN_MS);
  }

  #append(face, checked) {
    const tile = document.createElement("label");
    const radio = Object.assign(document.createElement("input"), { type: "radio", name: "face", value: face.id, checked });
    const picture = Object.assign(document.createElement("img"), { src: still(face.id), alt: "", width: 72, height: 72 });
    const name = Object.assign(document.createElement("span"), { textContent: face.name });
    tile.className = "tile";
    tile.title = face.name;
    tile.append(radio, picture, name);
    this.#parts.list.append(tile);
    return radio;
  }

  // `first`: the page has just opened; nobody has chosen yet.
  #chosen(first = false) {
    const id = this.chosen;
    const picture = this.#radio?.parentElement.querySelector("img");
    this.#parts.remove.hidden = !this.#mine.has(this.#radio);
    this.#say("");
    this.#onChoice(id ? still(id) : "/still.jpg", picture, first);
  }

  #takePhotos() {
    const { file, stage } = this.#parts;
    file.onchange = () => {
      if (file.files.length) this.#add(file.files[0]);
      file.value = ""; // the same photo may be chosen again
    };
    document.addEventListener("paste", (event) => {
      const image = [...(event.clipboardData?.files ?? [])].find((item) => item.type.startsWith("image/"));
      if (image) this.#add(image);
    });
    let inside = 0; // enter and leave come for every element under the pointer
    const mark = (change) => {
      inside = change === 0 ? 0 : Math.max(0, inside + change);
      stage.classList.toggle("dropping", inside > 0);
    };
    const bringsFile = (event) => event.dataTransfer?.types.includes("Files");
    document.addEventListener("dragenter", (event) => bringsFile(event) && mark(1));
    document.addEventListener("dragleave", (event) => bringsFile(event) && mark(-1));
    document.addEventListener("dragover", (event) => bringsFile(event) && event.preventDefault());
    document.addEventListener("drop", (event) => {
      if (!bringsFile(event)) return;
      event.preventDefault();
      mark(0);
      if (event.dataTransfer.files.length) this.#add(event.dataTransfer.files[0]);
    });
  }

  async #add(file) {
    const { add } = this.#parts;
    if (add.ariaBusy === "true") return;
    add.ariaBusy = "true";
    this.#say("");
    try {
      const { face, mine } = await this.#upload({ file, name: nameOf(file) });
      const radio = this.#append(face, true);
      this.#mine.set(radio, mine);
      await radio.parentElement.querySelector("img").decode().catch(() => {});
      radio.parentElement.scrollIntoView({ block: "nearest", inline: "nearest" });
      this.#chosen();
    } catch (error) {
      this.#say(error instanceof TypeError ? "The server cannot be reached. Is it still running?" : error.message);
    } finally {
      add.ariaBusy = "false";
    }
  }

  // The server does not know the chosen face any more: send its photo again. Resolves to the new id; to undefined, if it
  // was no photo of this visitor.
  async sendAgain() {
    const radio = this.#radio;
    const mine = this.#mine.get(radio);
    if (!mine) return undefined;
    const { id } = await send(mine);
    const picture = radio.parentElement.querySelector("img");
    radio.value = id;
    picture.src = still(id);
    if (radio === this.#radio) this.#onChoice(still(id), picture, true);
    return id;
  }

  // Small first, which is quick. If no face can be used on that, it may be a small one of a large picture: as it is.
  // Resolves to the face, and to what was sent.
  async #upload({ file, name }) {
    const sent = async (photo) => ({ face: await send({ photo, name }), mine: { photo, name } });
    const image = await createImageBitmap(file).catch(() => null);
    if (!image) return sent(unread(file, this.#config));
    try {
      const isLarge = Math.max(image.width, image.height) > LONG_SIDE_PX;
      return await sent(await shrink(image, LONG_SIDE_PX, this.#config)).catch(async (error) => {
        if (error.status !== 400 || !isLarge) throw error;
        return sent(await shrink(image, Infinity, this.#config));
      });
    } finally {
      image.close();
    }
  }

  async #forget() {
    const radio = this.#radio;
    this.#mine.delete(radio);
    radio.parentElement.remove();
    const next = this.#parts.list.querySelector("input[type=radio]");
    if (next) next.checked = true;
    this.#chosen();
    next?.focus();
    await askServer(`/faces/${encodeURIComponent(radio.value)}`, "DELETE").catch(() => {}); // it is forgotten there by itself too
  }

  #say(text) {
    this.#parts.error.textContent = text;
    this.#parts.error.hidden = !text;
  }
}

// A file's name without its ending; what was pasted has none of its own.
function nameOf(file) {
  const name = file.name.replace(/\.[^.]*$/, "");
  return name && name !== "image" ? name : "Your photo";
}

function send({ photo, name }) {
  return askServer(`/faces?name=${encodeURIComponent(name)}`, "POST", photo, photo.type);
}

function still(id) {
  return `/faces/${encodeURIComponent(id)}/still.jpg`;
}

// A file that this browser cannot read and the server perhaps can, as it is.
function unread(file, { max_upload_bytes: maxBytes = Infinity }) {
  const ending = file.name.split(".").pop().toLowerCase();
  const type = UNREAD_HERE[ending] ?? Object.values(UNREAD_HERE).find((known) => known === file.type);
  if (!type) throw new Error("This is not a picture that can be read. Give a jpg, png or webp.");
  if (file.size > maxBytes) throw new Error(TOO_LARGE);
  return new Blob([file], { type });
}

// A picture as a file that the server takes: a JPEG, or a PNG if some of it is transparent, for the server says what is
// to be done about that. Drawing it anew also leaves behind what cameras write beside the pixels: place, time, maker.
async function shrink(image, longSide, { max_upload_bytes: maxBytes = Infinity, max_upload_px: maxPixels = Infinity }) {
  let scale = Math.min(1, longSide / Math.max(image.width, image.height), Math.sqrt(maxPixels / (image.width * image.height)));
  for (let tries = 0; tries < 4; tries++, scale *= 0.7) {
    const canvas = drawn(image, scale);
    for (const [type, quality] of isTransparent(canvas) ? [["image/png"]] : QUALITIES.map((one) => ["image/jpeg", one])) {
      const blob = await new Promise((done) => canvas.toBlob(done, type, quality));
      if (blob && blob.size <= maxBytes) return blob;
    }
  }
  throw new Error(TOO_LARGE);
}

function drawn(image, scale) {
  const width = Math.max(1, Math.floor(image.width * scale));
  const height = Math.max(1, Math.floor(image.height * scale));
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.imageSmoothingQuality = "high";
  context.drawImage(image, 0, 0, width, height);
  return canvas;
}

function isTransparent(canvas) {
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  for (let alpha = 3; alpha < data.length; alpha += 4) if (data[alpha] < 255) return true;
  return false;
}
