# Sourced by scripts/live and scripts/test: makes the checkout's own environment, .venv, and keeps it.
# Says one line per step on stderr; a second run finds everything in place. Exits with 2 if it cannot.
#
#   S2V_PYTHON       the Python to use instead of the first one of 3.11 or newer
#   S2V_TORCH_INDEX  package index for torch alone, for example one with CPU-only builds

S2V_ROOT=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)
S2V_VENV=$S2V_ROOT/.venv
S2V_PY=$S2V_VENV/bin/python

say() { printf '%s\n' "$*" >&2; }

fail() {
  say "s2v: $*"
  exit 2
}

# Runs a command silently; its output is shown only if it fails.
quietly() {
  local log status=0
  log=$(mktemp)
  "$@" >"$log" 2>&1 </dev/null || status=$?
  [ "$status" -eq 0 ] || tail -n 30 -- "$log" >&2
  rm -f -- "$log"
  return "$status"
}

# apt_install "what it is for" package...: installs, or says the exact command and ends.
apt_install() {
  local purpose=$1 as_root=()
  shift
  command -v apt-get >/dev/null || fail "missing: $purpose; there is no apt-get here: install what Debian calls $*"
  if [ "$(id -u)" -ne 0 ]; then
    if command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
      as_root=(sudo -n)
    else
      fail "missing: $purpose; run  sudo apt-get update && sudo apt-get install -y $*  and then this again"
    fi
  fi
  say "installing $purpose ($*)"
  quietly "${as_root[@]}" apt-get update -qq || say "apt-get update failed; trying with the lists at hand"
  quietly "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@" ||
    fail "cannot install $purpose: run  apt-get install -y $*  as root and look at its messages"
}

is_new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null </dev/null; }

# Prints the Python to build the environment with, or nothing.
find_python() {
  local name
  if [ -n "${S2V_PYTHON:-}" ]; then
    command -v "$S2V_PYTHON" >/dev/null && is_new_enough "$S2V_PYTHON" || fail "S2V_PYTHON=$S2V_PYTHON is not Python 3.11 or newer"
    command -v "$S2V_PYTHON"
    return
  fi
  for name in python3 python3.13 python3.12 python3.11; do
    if command -v "$name" >/dev/null && is_new_enough "$name"; then
      command -v "$name"
      return
    fi
  done
}

make_venv() {
  local python
  is_new_enough "$S2V_PY" && "$S2V_PY" -c 'import pip' 2>/dev/null && return
  python=$(find_python)
  if [ -z "$python" ]; then
    apt_install "Python 3.11 or newer" python3 python3-venv
    python=$(find_python)
    [ -n "$python" ] || fail "this system's python3 is older than 3.11: install a newer one and set S2V_PYTHON to it"
  fi
  # Debian ships Python without the module that puts pip into an environment.
  "$python" -c 'import ensurepip, venv' 2>/dev/null ||
    apt_install "the venv module of Python" "$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')"
  say "making the environment $S2V_VENV with $("$python" --version)"
  quietly "$python" -m venv --clear "$S2V_VENV" || fail "cannot make $S2V_VENV: delete it and run this again"
}

# mediapipe and OpenCV load these even without a screen.
install_libraries() {
  [ "$(uname -s)" = Linux ] || return 0
  "$S2V_PY" - 2>/dev/null <<'PYTHON' || apt_install "the OpenGL libraries" libgl1 libegl1 libgles2 libglib2.0-0
import ctypes

for name in ("libGL.so.1", "libEGL.so.1", "libGLESv2.so.2", "libglib-2.0.so.0"):
    ctypes.CDLL(name)
PYTHON
}

# PyAudio, the extra `mic`, comes as source on Linux: it is built against PortAudio.
install_portaudio() {
  local headers missing=()
  [ "$(uname -s)" = Linux ] || return 0
  if "$S2V_PY" -c 'import pyaudio' 2>/dev/null; then return; fi
  headers=$("$S2V_PY" -c 'import sysconfig; print(sysconfig.get_path("include"))')
  [ -e /usr/include/portaudio.h ] || missing+=(portaudio19-dev)
  command -v gcc >/dev/null || missing+=(gcc libc6-dev)
  [ -e "$headers/Python.h" ] || missing+=("$(basename -- "$headers")-dev")
  [ "${#missing[@]}" -eq 0 ] || apt_install "what PyAudio, which reads microphones, is built with" "${missing[@]}"
}

# What the installed packages were made from: a change of any of it installs again.
fingerprint() {
  { printf '%s %s\n' "$S2V_ROOT" "$1" && "$S2V_PY" --version && cat "$S2V_ROOT/pyproject.toml"; } | cksum
}

# install_package EXTRAS: the package from this checkout with its dependencies; EXTRAS may be empty.
install_package() {
  local extras=$1 stamp wanted torch
  stamp=$S2V_VENV/.s2v-installed${extras:+-${extras//,/-}}
  wanted=$(fingerprint "$extras")
  [ "$(cat -- "$stamp" 2>/dev/null)" = "$wanted" ] && return
  case ,$extras, in
    *,train,*)
      # First and alone: it decides which numpy the rest gets, and S2V_TORCH_INDEX must serve nothing else.
      # Without that variable the ordinary index is asked; on Linux its build brings several GB of CUDA libraries.
      torch=torch==2.13.0
      if ! "$S2V_PY" -c 'from importlib.metadata import version; assert version("torch").startswith("2.13.0")' 2>/dev/null
      then
        say "installing $torch (minutes)"
        pip_install ${S2V_TORCH_INDEX:+--index-url "$S2V_TORCH_INDEX"} "$torch"
      fi
      ;;
  esac
  say "installing speech2vid${extras:+[$extras]} and what it needs (minutes the first time)"
  pip_install -e "$S2V_ROOT${extras:+[$extras]}"
  printf '%s\n' "$wanted" >"$stamp"
}

pip_install() {
  quietly "$S2V_PY" -m pip install --quiet --no-input --disable-pip-version-check "$@" ||
    fail "pip could not install ${*: -1}: see above; with the network back, run this again"
}

# The sound server in which the tests make a microphone of their own.
install_sound_server() {
  [ "$(uname -s)" = Linux ] || return 0
  if command -v pulseaudio >/dev/null && command -v paplay >/dev/null &&
    compgen -G "/usr/lib/*/alsa-lib/libasound_module_pcm_pulse.so" >/dev/null; then return; fi
  apt_install "PulseAudio, in which the tests make a microphone" pulseaudio pulseaudio-utils libasound2-plugins
}

# The browser that the tests drive.
install_chromium() {
  local name
  for name in chromium chromium-browser google-chrome google-chrome-stable; do
    if command -v "$name" >/dev/null; then return; fi
  done
  apt_install "Chromium, which the browser tests drive" chromium
}

# TensorRT for RTX builds engines without a GPU, so the tests build one. Where it cannot be had they say so and go on.
install_tensorrt_rtx() {
  "$S2V_PY" -c 'import cuda.bindings, onnx, tensorrt_rtx' 2>/dev/null && return
  say "installing TensorRT for RTX (265 MB), with which the tests build an engine"
  quietly "$S2V_PY" -m pip install --quiet --no-input --disable-pip-version-check -e "$S2V_ROOT[rtx]" ||
    say "TensorRT for RTX cannot be had here: the tests that build with it are skipped"
}
