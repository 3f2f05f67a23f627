// The visitor's voice: silence before the microphone is open, then the microphone, muted or not.

// The face's voice comes out of the speakers: cancel it. Level and noise are evened out for the lips, which follow sound.
const WANTED = { echoCancellation: true, noiseSuppression: true, autoGainControl: true, channelCount: 1 };
const AWAKE_WITHIN_MS = 600;

export class Microphone {
  opening = null; // while the browser asks for it: a promise of its track
  #context = null;
  #stream = null;
  #closed = false;
  #onLevel;
  #onLost;

  // onLevel(0..1) about 60 times a second while it is open; onLost() when it was unplugged or taken away.
  constructor(onLevel, onLost) {
    this.#onLevel = onLevel;
    this.#onLost = onLost;
  }

  get isOpen() {
    return this.#stream !== null;
  }

  // What goes to the server; null while it is closed.
  get track() {
    return this.#stream?.getAudioTracks()[0] ?? null;
  }

  get muted() {
    return !(this.#stream?.getAudioTracks()[0].enabled ?? false);
  }

  // A silent track that lets the face idle while the browser asks; null where the page may not use audio yet.
  async silence() {
    this.#context ??= new AudioContext();
    const awake = this.#context.resume().then(() => true);
    if (!(await Promise.race([awake, new Promise((done) => setTimeout(done, AWAKE_WITHIN_MS, false))]))) return null;
    const out = new MediaStreamAudioDestinationNode(this.#context, { channelCount: 1 });
    const nothing = new ConstantSourceNode(this.#context, { offset: 0 });
    nothing.connect(out);
    nothing.start();
    return out.stream.getAudioTracks()[0];
  }

  // Open this device (any, without an id), in place of the one before; resolves to its track, as `opening` does meanwhile.
  open(deviceId) {
    const opening = this.#ask(deviceId).finally(() => {
      if (this.opening === opening) this.opening = null;
    });
    this.opening = opening;
    return opening;
  }

  async #ask(deviceId) {
    if (!navigator.mediaDevices) throw new Error("Browsers give the microphone only to https or localhost: open this page there.");
    const stream = await navigator.mediaDevices.getUserMedia({ audio: deviceId ? { ...WANTED, deviceId: { exact: deviceId } } : WANTED });
    if (this.#closed) {
      for (const track of stream.getTracks()) track.stop();
      throw new Error("The call has ended.");
    }
    const muted = this.isOpen && this.muted;
    this.#release();
    this.#stream = stream;
    const [track] = stream.getAudioTracks();
    track.enabled = !muted;
    track.onended = () => {
      this.#release();
      this.#onLost();
    };
    this.#measure(stream);
    return track;
  }

  mute(muted) {
    for (const track of this.#stream?.getAudioTracks() ?? []) track.enabled = !muted;
  }

  close() {
    this.#closed = true;
    this.#release();
    this.#context?.close();
  }

  #release() {
    for (const track of this.#stream?.getTracks() ?? []) {
      track.onended = null;
      track.stop();
    }
    this.#stream = null;
    this.#onLevel(0);
  }

  #measure(stream) {
    this.#context ??= new AudioContext();
    const analyser = this.#context.createAnalyser();
    this.#context.createMediaStreamSource(stream).connect(analyser);
    const samples = new Float32Array(analyser.fftSize);
    const look = () => {
      if (this.#stream !== stream) return;
      analyser.getFloatTimeDomainData(samples);
      const rms = Math.sqrt(samples.reduce((sum, x) => sum + x * x, 0) / samples.length);
      this.#onLevel(Math.max(0, 1 + (20 * Math.log10(rms + 1e-6)) / 60)); // -60 dB to full scale
      requestAnimationFrame(look);
    };
    look();
  }
}

// Fill the list with the microphones there are; empty until the browser tells their names.
export async function listMicrophones(select) {
  const devices = (await navigator.mediaDevices?.enumerateDevices()) ?? [];
  const named = devices.filter((device) => device.kind === "audioinput" && device.label);
  const chosen = select.value;
  select.replaceChildren(...named.map((device) => new Option(device.label, device.deviceId)));
  if (named.some((device) => device.deviceId === chosen)) select.value = chosen;
  return named.length;
}
