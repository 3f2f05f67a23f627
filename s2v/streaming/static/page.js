// One call at a time: from a button, through WebRTC, to a face; and everything given back at the end.

const byId = (id) => document.getElementById(id);
const STATES = { idle: "Ready", connecting: "Connecting", live: "Live", lost: "Connection lost", stopped: "Stopped", ended: "Finished" };
const READ_OUT_EVERY_MS = 1000;
const CONNECT_WITHIN_MS = 20000;
const SILENT_AFTER_MS = 8000; // the server reports twice a second

let call = null; // the call in progress: {pc, microphone, audio, timers}

function show(state, error = "") {
  const running = state === "connecting" || state === "live";
  document.body.dataset.state = state;
  byId("state").textContent = STATES[state];
  byId("choices").hidden = running;
  byId("running").hidden = !running;
  byId("error").hidden = !error;
  byId("error").textContent = error;
}

async function start(input) {
  if (call) return;
  const mine = { pc: new RTCPeerConnection(), microphone: null, audio: null, timers: [], frames: 0 };
  call = mine;
  show("connecting");
  byId("stop").focus();
  byId("hint").hidden = byId("level-row").hidden = input !== "mic";
  try {
    if (input === "mic") mine.microphone = await openMicrophone();
    if (call !== mine) return release(mine); // stopped while the browser was asking
    await connect(mine, input);
  } catch (error) {
    if (call === mine) finish("stopped", explain(error));
  }
}

async function openMicrophone() {
  if (!navigator.mediaDevices) throw new Error("Browsers give the microphone only to https or localhost: open this page there.");
  // The face's voice comes out of the speakers: cancel it. Level and noise are evened out for the lips, which follow sound.
  const audio = { echoCancellation: true, noiseSuppression: true, autoGainControl: true, channelCount: 1 };
  return navigator.mediaDevices.getUserMedia({ audio });
}

async function connect(mine, input) {
  const { pc, microphone } = mine;
  if (microphone) {
    const [track] = microphone.getAudioTracks();
    pc.addTransceiver(track, { direction: "sendrecv", streams: [microphone] });
    track.onended = () => call === mine && finish("stopped", "The microphone was unplugged or switched off.");
    meter(mine);
  } else {
    pc.addTransceiver("audio", { direction: "recvonly" });
  }
  pc.addTransceiver("video", { direction: "recvonly" });
  pc.createDataChannel("state").onmessage = (event) => call === mine && onMessage(JSON.parse(event.data));

  const received = new MediaStream();
  pc.ontrack = ({ track }) => {
    received.addTrack(track);
    byId("face").srcObject = received;
    byId("face").play().catch(() => {}); // a browser that wants another click shows the picture meanwhile
  };
  pc.onconnectionstatechange = () => {
    if (call !== mine) return;
    if (pc.connectionState === "connected") onConnected(mine);
    if (pc.connectionState === "failed" || pc.connectionState === "closed") finish("lost", "The connection was lost. Start again.");
    if (pc.connectionState === "disconnected") byId("state").textContent = "Connection weak";
  };

  await pc.setLocalDescription(await pc.createOffer());
  await gathered(pc);
  if (call !== mine) return;
  const body = JSON.stringify({ type: "offer", sdp: pc.localDescription.sdp, input });
  const reply = await fetch("/offer", { method: "POST", headers: { "Content-Type": "application/json" }, body });
  const answer = await reply.json();
  if (!reply.ok) throw new Error(answer.error);
  if (call !== mine) return;
  await pc.setRemoteDescription(answer);
  mine.timers.push(setTimeout(() => {
    if (document.body.dataset.state === "connecting") finish("lost", "No connection came about: a firewall may block UDP to the server, or this machine has no network at all.");
  }, CONNECT_WITHIN_MS));
}

// The server takes one complete offer: wait for the browser's addresses, but not for a slow network.
function gathered(pc) {
  if (pc.iceGatheringState === "complete") return Promise.resolve();
  return new Promise((done) => {
    pc.addEventListener("icegatheringstatechange", () => pc.iceGatheringState === "complete" && done());
    setTimeout(done, 1500);
  });
}

function onConnected(mine) {
  show("live");
  if (mine.reading) return; // connected again after a weak moment
  mine.reading = true;
  mine.heardAt = performance.now();
  mine.timers.push(setInterval(() => readOut(mine), READ_OUT_EVERY_MS));
}

function onMessage(message) {
  if (message.state === "ended") return finish("ended");
  if (message.state === "failed") return finish("lost", message.error);
  if (message.state === "closed") return finish("lost", "The server has ended the call.");
  call.heardAt = performance.now();
  byId("budget").textContent = message.budget_ms;
  byId("draw").textContent = message.draw_ms.toFixed(1);
  byId("missed").textContent = message.frames_late + message.frames_dropped;
}

async function readOut(mine) {
  if (performance.now() - mine.heardAt > SILENT_AFTER_MS) return finish("lost", "Nothing has come from the server for a while. Start again.");
  const report = await mine.pc.getStats();
  for (const entry of report.values()) {
    if (entry.type !== "inbound-rtp" || entry.kind !== "video" || call !== mine) continue;
    if (mine.at) byId("fps").textContent = Math.round(((entry.framesDecoded - mine.frames) * 1000) / (entry.timestamp - mine.at));
    mine.frames = entry.framesDecoded;
    mine.at = entry.timestamp;
  }
}

function meter(mine) {
  mine.audio = new AudioContext();
  const analyser = mine.audio.createAnalyser();
  mine.audio.createMediaStreamSource(mine.microphone).connect(analyser);
  const samples = new Float32Array(analyser.fftSize);
  const draw = () => {
    if (call !== mine) return;
    analyser.getFloatTimeDomainData(samples);
    const rms = Math.sqrt(samples.reduce((sum, x) => sum + x * x, 0) / samples.length);
    byId("level").value = Math.max(0, 1 + (20 * Math.log10(rms + 1e-6)) / 60); // -60 dB to full scale
    requestAnimationFrame(draw);
  };
  draw();
}

function finish(state, error = "") {
  const mine = call;
  call = null;
  if (mine) release(mine);
  byId("face").srcObject = null; // the poster, the face at rest, comes back
  byId("face").load();
  byId("hint").hidden = byId("level-row").hidden = true;
  for (const id of ["fps", "budget", "draw", "missed"]) byId(id).textContent = "–";
  show(state, error);
  const again = [...byId("choices").children].find((button) => !button.hidden);
  if (again && document.activeElement === document.body) again.focus();
}

function release({ pc, microphone, audio, timers }) {
  for (const timer of timers) clearTimeout(timer); // clears intervals too
  pc.close();
  for (const track of microphone?.getTracks() ?? []) {
    track.onended = null;
    track.stop();
  }
  audio?.close();
}

function explain(error) {
  if (error.name === "NotAllowedError") return "The microphone was not allowed. Allow it for this page in the browser, then start again.";
  if (error.name === "NotFoundError") return "No microphone was found. Plug one in, or play the sample voice.";
  if (error.name === "NotReadableError") return "Another program is using the microphone. Close it, then start again.";
  if (error instanceof TypeError) return "The server cannot be reached. Is it still running?";
  return error.message;
}

function mute() {
  const video = byId("face");
  video.muted = !video.muted;
  byId("mute").classList.toggle("on", video.muted);
  byId("mute-label").textContent = video.muted ? "Unmute the face" : "Mute the face";
}

async function begin() {
  byId("start-mic").onclick = () => start("mic");
  byId("start-voice").onclick = () => start("voice");
  byId("stop").onclick = () => finish("stopped");
  byId("mute").onclick = mute;
  window.addEventListener("pagehide", () => call && finish("stopped"));
  document.addEventListener("keydown", (event) => event.key === "Escape" && call && finish("stopped"));

  const config = await (await fetch("/config")).json();
  document.documentElement.style.setProperty("--shape", `${config.width} / ${config.height}`);
  for (const input of config.inputs) byId(`start-${input}`).hidden = false;
  if (config.inputs[0] === "voice") byId("start-voice").classList.add("primary");
  if (config.own_clip) byId("voice-label").textContent = "Let the face speak";
  show("idle");
}

begin().catch((error) => show("lost", explain(error)));
