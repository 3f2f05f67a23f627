// One call: from an offer, through WebRTC, to a face; and everything given back at the end.

const CONNECT_WITHIN_MS = 20000;
const GATHER_WITHIN_MS = 1500;
const LEAVING_MS = 6000; // the server needs a moment to let go of a call
const ASK_AGAIN_MS = 400;
const NO_WAY = "No connection came about: a firewall may block UDP to the server, or this machine has no network at all.";

export class Call {
  #events;
  #timer = 0;
  #closed = false;
  #sender = null;
  #channel = null;
  #wasLive = false;

  // events: {track(stream), live(), channelOpen(), weak(), message(object), lost(text)}; none comes after `close`.
  // `channelOpen`: from now on `say` reaches the server; a moment after `live`.
  constructor(iceServers, events) {
    this.pc = new RTCPeerConnection({ iceServers });
    this.#events = events;
  }

  // Whether a track of ours goes to the server, and can be replaced by another.
  get sends() {
    return this.#sender !== null;
  }

  // `wishes`: what else the offer asks for, {face, mood, articulation, liveliness}, each may lack. `audio`: a track that
  // the face says or hears, or null to listen only. `patient`: a full server is asked again, because the place it will
  // give is the one we have just left. `sendFace`: called when the server has forgotten the face; resolves to its new id, or
  // to undefined. Rejects with the server's reason.
  async open(input, wishes, audio, patient = false, sendFace = async () => undefined) {
    const { pc } = this;
    if (audio) this.#sender = pc.addTransceiver(audio, { direction: "sendrecv", streams: [new MediaStream([audio])] }).sender;
    else pc.addTransceiver("audio", { direction: "recvonly" });
    pc.addTransceiver("video", { direction: "recvonly" });
    this.#channel = pc.createDataChannel("state");
    this.#channel.onopen = () => this.#tell("channelOpen");
    this.#channel.onmessage = (event) => this.#tell("message", JSON.parse(event.data));
    const received = new MediaStream();
    pc.ontrack = ({ track }) => {
      received.addTrack(track);
      this.#tell("track", received);
    };
    pc.onconnectionstatechange = () => this.#onState();

    await pc.setLocalDescription(await pc.createOffer());
    await gathered(pc);
    if (this.#closed) return;
    const offer = { type: "offer", sdp: pc.localDescription.sdp, input, ...wishes }; // JSON leaves out what is undefined
    const answer = await this.#ask(offer, patient ? performance.now() + LEAVING_MS : 0, sendFace);
    if (this.#closed) return;
    await pc.setRemoteDescription(answer);
    this.#timer = setTimeout(() => {
      if (pc.connectionState !== "connected") this.#tell("lost", NO_WAY);
    }, CONNECT_WITHIN_MS);
  }

  // Another microphone, or silence, from the next packet on; nothing is negotiated again.
  async replaceAudio(track) {
    if (!this.#closed) await this.#sender?.replaceTrack(track);
  }

  // Send the server something; nothing is sent before `channelOpen`.
  say(message) {
    if (!this.#closed && this.#channel?.readyState === "open") this.#channel.send(JSON.stringify(message));
  }

  close() {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.pc.close();
  }

  async #ask(offer, untilMs, sendFace) {
    for (let sent = false; ; ) {
      try {
        return await askServer("/offer", "POST", JSON.stringify(offer), "application/json");
      } catch (error) {
        if (error.status === 404 && !sent && !this.#closed) {
          sent = true;
          const face = await sendFace();
          if (face === undefined) throw error;
          offer.face = face;
          continue;
        }
        if (error.status !== 503 || performance.now() > untilMs || this.#closed) throw error;
        await new Promise((done) => setTimeout(done, ASK_AGAIN_MS));
      }
    }
  }

  #tell(event, detail) {
    if (!this.#closed) this.#events[event](detail);
  }

  #onState() {
    const state = this.pc.connectionState;
    if (state === "connected") {
      this.#wasLive = true;
      this.#tell("live");
    }
    if (state === "disconnected") this.#tell("weak");
    if (state === "failed" || state === "closed") this.#tell("lost", this.#wasLive ? "The connection was lost." : NO_WAY);
  }
}

// What the server answers; throws an Error with its own one-line reason when it refuses.
export async function askServer(path, method = "GET", body = undefined, type = undefined) {
  const reply = await fetch(path, { method, body, headers: type ? { "Content-Type": type } : {} });
  if (reply.status === 204) return null;
  const answer = await reply.json().catch(() => ({ error: `The server answered ${reply.status} without a reason.` }));
  if (!reply.ok) throw Object.assign(new Error(sentence(answer.error)), { status: reply.status });
  return answer;
}

// The server's reasons are written as in its log: no capital, no full stop.
export function sentence(text = "The server refused without a reason.") {
  return text.charAt(0).toUpperCase() + text.slice(1) + (/[.!?]$/.test(text) ? "" : ".");
}

// The server takes one complete offer: wait for the browser's addresses, but not for a slow network.
function gathered(pc) {
  if (pc.iceGatheringState === "complete") return Promise.resolve();
  return new Promise((done) => {
    pc.addEventListener("icegatheringstatechange", () => pc.iceGatheringState === "complete" && done());
    setTimeout(done, GATHER_WITHIN_MS);
  });
}
