// What the page says.

export const STATES = { idle: "Ready", connecting: "Connecting", live: "Live", waiting: "Trying again", lost: "Connection lost", stopped: "Stopped", ended: "Finished" };

export const WELCOME = {
  mic: ["Give a photo your voice", "Talk, and the face says it with you."],
  voice: ["Hear the face speak", "It says a recording, drawn as it plays."],
  clip: ["Hear the face speak", "A recording drives it. All who watch see and hear the same."],
  shared: ["One face for everybody", "All who watch see and hear the same."],
  listening: ["A face that listens", "Talk to it: it says nothing, but moves as one who hears you."],
};
export const HEARS_YOU = " Turn your microphone on in the call and the face hears you; nobody else does.";
export const TROUBLES = {
  busy: ["Server busy", "The server's machine is busy: pictures come late, or few of them."],
  weak: ["Connection weak", ""],
  slow: ["Picture slow", "Few pictures come: the server, the network or this machine has too much to do."],
};

// Why a call did not come about, by what was thrown.
export function explain(error) {
  if (error.name === "NotAllowedError") return "The microphone was not allowed. Allow it for this page in the browser, then start again.";
  if (error.name === "NotFoundError" || error.name === "OverconstrainedError") return "No microphone was found. Plug one in, or play the sample voice.";
  if (error.name === "NotReadableError") return "Another program is using the microphone. Close it, then start again.";
  if (error instanceof TypeError) return "The server cannot be reached. Is it still running?";
  return error.message;
}
