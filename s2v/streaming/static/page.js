// The page: what can be chosen, one call at a time, and what the visitor is told about it.

import { Call, askServer, sentence } from "./call.js";
import { Faces } from "./faces.js";
import { Microphone, listMicrophones } from "./microphone.js";
import { ReadOut } from "./readout.js";
import { Reconnect } from "./reconnect.js";
import { HEARS_YOU, STATES, TROUBLES, WELCOME, explain } from "./texts.js";

const byId = (id) => document.getElementById(id);
const SAY_EVERY_MS = 200;
const LOOK_ONLY_MS = 60000; // a face that only idles, its microphone never on, gives its place back
const SLIDERS = ["articulation", "liveliness"];

let config = { inputs: [] };
let faces = null;
let faceTimer = 0;
let sayTimer = 0;
let unsaid = {}; // new values of sliders, by name, that are still to be sent
let call = null; // the one in progress: {input, link, microphone, lookOnly, comeBack}
const reconnect = new Reconnect();
const readOut = new ReadOut({ fps: byId("fps"), delay: byId("delay"), missed: byId("missed"), bar: byId("bar"), list: byId("stages") });

function show(state, error = "") {
  const running = state === "connecting" || state === "live" || state === "waiting";
  document.body.dataset.state = state;
  showTroubles({});
  byId("choices").hidden = running;
  byId("running").hidden = !running;
  byId("face").ariaHidden = String(!running); // between calls, only a picture that decorates
  byId("error").textContent = error;
  byId("error").hidden = !error;
  showMicrophone();
}

function showMicrophone() {
  const own = call?.input === "mic" || call?.link?.sends === true;
  const open = own && call.microphone.isOpen;
  const on = open && !call.microphone.muted;
  byId("microphone").hidden = !own;
  byId("microphone").classList.toggle("off", !on);
  byId("microphone-label").textContent = on ? "Mute the microphone" : open ? "Unmute the microphone" : "Turn the microphone on";
  byId("level").hidden = byId("hint").hidden = !open;
  const named = (config.inputs.includes("mic") || config.listens) && byId("device").options.length > 0;
  byId("device-row").hidden = byId("device-label").hidden = !named;
  byId("sound").hidden = !named && !open;
}

// `talk`: open the microphone too; without, the face idles until the visitor turns it on.
// `again`: in place of a call that has just been ended. `lost`: the call to come back from, its microphone as it is.
async function start(input, talk = true, again = false, lost = null) {
  if (call !== lost) return;
  const mine = { input, link: null, microphone: lost?.microphone, lookOnly: 0, comeBack: lost !== null };
  mine.microphone ??= new Microphone((level) => (byId("level").value = level), onMicrophoneLost);
  mine.link = new Call(config.ice_servers ?? [], {
    track: onTrack,
    live: () => onLive(mine),
    channelOpen: () => mine.link.say(places()), // sliders may have moved since the offer
    weak: () => showTroubles({ weak: true }),
    message: onMessage,
    lost: (text) => lose(mine, text),
  });
  call = mine;
  const focusGoes = byId("choices").contains(document.activeElement);
  show("connecting", lost ? byId("error").textContent : "");
  if (focusGoes) byId("stop").focus({ preventScroll: true });
  try {
    // The face comes first and idles, while the browser still asks for the microphone.
    // Where it only listens beside another voice, the microphone waits to be turned on.
    const { track } = mine.microphone;
    const sends = input === "mic" || (input === "shared" && config.listens);
    const silence = sends && !track ? await mine.microphone.silence() : null;
    if (call !== mine) return;
    const wanted = input === "mic" && !track && (talk || !silence);
    // The call that this one comes back from may still be asking for it.
    const opened = mine.microphone.opening ?? (wanted ? openMicrophone(mine) : null);
    opened?.catch(() => {}); // it is awaited below; meanwhile nobody listens
    const wishes = { face: faces?.chosen, mood: mood(), ...places() };
    await mine.link.open(input, wishes, track ?? silence ?? (await opened), again, async () => faces?.sendAgain());
    if (call !== mine) return; // hung up meanwhile: a timer of this call would end the next
    showMicrophone();
    if (silence && opened) await giveAudio(mine.microphone, await opened); // else it may be on already, by its button
    if (call === mine && !mine.microphone.isOpen && input === "mic") mine.lookOnly = setTimeout(() => finish("idle"), LOOK_ONLY_MS);
  } catch (error) {
    if (call !== mine) return;
    if (mine.comeBack && (error instanceof TypeError || error.status >= 500)) lose(mine, explain(error));
    else finish("stopped", explain(error));
  }
}

// The call broke off, and not because the visitor wanted it: come back to it, unless it had never come about.
function lose(mine, text) {
  if (call !== mine) return;
  const seconds = mine.comeBack ? reconnect.again(() => start(mine.input, false, false, mine)) : null;
  if (seconds === null) return finish("lost", text);
  clearTimeout(mine.lookOnly);
  mine.link.close();
  readOut.stop();
  show("waiting", `${text} Connecting again in ${seconds} s.`); // the last picture stays
}

// While the browser asked for the microphone, its call may have been lost and come back to: what is heard goes to that one.
async function giveAudio(microphone, track) {
  if (call?.microphone !== microphone) return;
  clearTimeout(call.lookOnly);
  await call.link.replaceAudio(track);
}

async function openMicrophone(mine) {
  const track = await mine.microphone.open(byId("device").value);
  await listMicrophones(byId("device")); // only now does the browser tell their names
  const used = track.getSettings().deviceId;
  if ([...byId("device").options].some((option) => option.value === used)) byId("device").value = used;
  if (call?.microphone === mine.microphone) showMicrophone();
  return track;
}

// The button in the call, and the list of microphones: open it, or open another, in the call that is on.
async function switchMicrophone() {
  const mine = call;
  if (!mine?.link.sends) return;
  byId("error").hidden = true;
  try {
    await giveAudio(mine.microphone, await openMicrophone(mine));
  } catch (error) {
    if (call?.microphone === mine.microphone) tell(explain(error));
  }
}

function toggleMicrophone() {
  if (!call.microphone.isOpen) return switchMicrophone();
  call.microphone.mute(!call.microphone.muted);
  showMicrophone();
}

async function onMicrophoneLost() {
  const mine = call;
  if (!mine) return;
  tell("The microphone was unplugged or switched off. Turn it on again, or choose another.");
  const silence = await mine.microphone.silence();
  if (call === mine && silence && !mine.microphone.isOpen) await mine.link.replaceAudio(silence);
  await listMicrophones(byId("device"));
  showMicrophone();
}

function tell(text) {
  byId("error").textContent = text;
  byId("error").hidden = false;
  showMicrophone();
}

function onTrack(stream) {
  byId("face").srcObject = stream;
  byId("face").play().catch(() => {}); // a browser that wants another click shows the picture meanwhile
}

function onLive(mine) {
  show("live", mine.comeBack || byId("error").hidden ? "" : byId("error").textContent);
  mine.comeBack = true;
  reconnect.live();
  readOut.start(mine.link.pc, showTroubles, () => lose(mine, "Nothing has come from the server for a while."));
}

// troubles: name -> whether it is there; the first of TROUBLES that is there is shown.
function showTroubles(troubles) {
  const name = Object.keys(TROUBLES).find((each) => troubles[each]);
  const [label, text] = TROUBLES[name] ?? [STATES[document.body.dataset.state], ""];
  document.body.classList.toggle("weak", name !== undefined);
  byId("state").textContent = label;
  byId("trouble").textContent = text;
  byId("trouble").hidden = !text;
}

function onMessage(message) {
  if (message.state === "ended") return finish("ended");
  if (message.state === "failed") return lose(call, sentence(message.error));
  if (message.state === "refused") return tell(sentence(message.error));
  if (message.state === "closed") return lose(call, "The server has ended the call.");
  if (message.state === "busy") return readOut.hearBusy();
  readOut.hear(message);
}

function finish(state, error = "") {
  const mine = call;
  call = null;
  reconnect.stop();
  clearTimeout(mine?.lookOnly);
  mine?.link.close();
  mine?.microphone.close();
  readOut.stop();
  byId("face").srcObject = null; // the poster, the face at rest, comes back
  byId("face").load();
  if (document.fullscreenElement) document.exitFullscreen();
  const focusGone = byId("running").contains(document.activeElement);
  show(state, error);
  if (focusGone) [...byId("choices").children].find((button) => !button.hidden)?.focus({ preventScroll: true });
}

function mute() {
  const video = byId("face");
  video.muted = !video.muted;
  byId("mute").classList.toggle("off", video.muted);
  byId("mute-label").textContent = video.muted ? "Unmute the face" : "Mute the face";
}

function onFace(address, picture, first) {
  byId("face").poster = address;
  const fit = () => picture?.naturalWidth && setShape(picture.naturalWidth, picture.naturalHeight);
  if (picture?.complete) fit();
  else picture?.addEventListener("load", fit, { once: true });
  if (first) return;
  clearTimeout(faceTimer); // arrow keys may run through several
  faceTimer = setTimeout(showFace, 250);
}

// The chosen face goes on where the one before was, or looks about at once, before anybody speaks.
function showFace() {
  if (!call && !config.inputs.includes("mic")) return;
  const input = call?.input ?? "mic";
  const talks = call ? !call.microphone.muted : false; // who had muted it stays unheard
  const again = call !== null;
  if (again) finish("idle");
  start(input, talks, again);
}

// Where the sliders stand, by name; those that nobody may move are left out.
function places() {
  return Object.fromEntries(SLIDERS.filter((name) => !byId(`${name}-block`).hidden).map((name) => [name, Number(byId(name).value)]));
}

function onSlider(name) {
  unsaid[name] = Number(byId(name).value);
  byId(`${name}-value`).textContent = `${Math.round(100 * unsaid[name])} %`;
  if (sayTimer) return; // at most so often, and the last place counts
  sayTimer = setTimeout(() => {
    sayTimer = 0;
    call?.link.say(unsaid);
    unsaid = {};
  }, SAY_EVERY_MS);
}

// How the face shall look; undefined where nobody may choose.
function mood() {
  return byId("mood-block").hidden ? undefined : byId("mood").value;
}

function setUpMovement() {
  for (const name of SLIDERS) {
    if (!Number.isFinite(config[name])) continue; // nobody may move it
    byId(`${name}-block`).hidden = false;
    byId(name).value = config[name];
    byId(`${name}-value`).textContent = `${Math.round(100 * config[name])} %`;
    byId(name).oninput = () => onSlider(name);
  }
  if (!config.moods?.length) return;
  byId("mood-block").hidden = false;
  byId("mood").replaceChildren(...config.moods.map((name) => new Option(name[0].toUpperCase() + name.slice(1), name)));
  byId("mood").value = config.mood;
  byId("mood").onchange = () => call && showFace(); // in a call of its own, as another face is
}

function setShape(width, height) {
  document.documentElement.style.setProperty("--shape", `${width} / ${height}`);
}

function fullScreen() {
  if (document.fullscreenElement) document.exitFullscreen();
  else if (byId("stage").requestFullscreen) byId("stage").requestFullscreen().catch(() => {});
  else byId("face").webkitEnterFullscreen(); // iPhones know it of videos only
}

async function begin() {
  for (const input of ["mic", "voice", "shared"]) byId(`start-${input}`).onclick = () => start(input);
  byId("stop").onclick = () => finish("stopped");
  byId("microphone").onclick = toggleMicrophone;
  byId("mute").onclick = mute;
  byId("full").onclick = fullScreen;
  byId("full").hidden = !(document.fullscreenEnabled || byId("face").webkitEnterFullscreen);
  byId("device").onchange = () => call?.microphone.isOpen && switchMicrophone();
  navigator.mediaDevices?.addEventListener("devicechange", () => listMicrophones(byId("device")).then(showMicrophone));
  document.addEventListener("fullscreenchange", () => (byId("full-label").textContent = document.fullscreenElement ? "Leave full screen" : "Full screen"));
  window.addEventListener("pagehide", () => call && finish("stopped"));
  document.addEventListener("keydown", (event) => event.key === "Escape" && call && !document.fullscreenElement && finish("stopped"));

  config = await askServer("/config");
  setShape(config.width, config.height);
  for (const input of config.inputs) byId(`start-${input}`).hidden = false;
  const shared = config.inputs.includes("shared");
  const kind = config.own_clip ? "clip" : config.listens && !shared ? "listening" : config.inputs[0];
  const [title, lead] = WELCOME[kind] ?? WELCOME.mic;
  byId("headline").textContent = title;
  byId("lead").textContent = lead + (config.listens && shared ? HEARS_YOU : "");
  setUpMovement();
  if (config.inputs[0] === "voice") byId("start-voice").classList.add("primary");
  if (!shared) {
    const parts = { panel: byId("faces"), list: byId("gallery"), add: byId("add"), file: byId("photo"), remove: byId("forget") };
    faces = new Faces(config, { ...parts, hint: byId("face-hint"), error: byId("face-error"), stage: byId("stage") }, onFace);
  }
  await listMicrophones(byId("device")); // their names, if the microphone was allowed on an earlier visit
  show("idle");
}

begin().catch((error) => show("lost", explain(error)));
