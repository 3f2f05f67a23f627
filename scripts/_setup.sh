# Sourced by the other scripts: makes the checkout's own environment, .venv, and keeps it.
# Says each step on stderr while it happens; a second run finds everything in place and says nothing.
# Exits with 2 if it cannot.
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

# set_up LAYER NEED...: what requirements/LAYER.txt locks and this checkout, editable, in .venv, with the system packages
# of each NEED (a function need_NEED below).
set_up() {
  local layer=$1 good=yes steps=()
  shift
  check_machine
  S2V_BASE=$(find_python) || exit 2
  find_missing "$@"
  [ "${#MISSING[@]}" -eq 0 ] || steps+=(install_system_packages)
  environment_is_good || good=no
  [ "$good" = yes ] || steps+=(make_environment)
  if [ "$good" = no ] || [ "$(cat -- "$(stamp "$layer")" 2>/dev/null)" != "$(fingerprint "$layer")" ]; then
    steps+=(install_locked)
    ! has_torch "$layer" || steps+=(install_torch)
    ! has_rtx "$layer" || steps+=(install_tensorrt_rtx)
    steps+=(install_checkout)
  elif has_rtx "$layer" && ! tensorrt_rtx_is_there; then
    steps+=(install_tensorrt_rtx)
  fi
  run_steps "$layer" ${steps[@]+"${steps[@]}"}
}

# set_up_newest NEED...: as set_up test, in .venv-newest, with the newest that pyproject.toml allows instead of the lock.
set_up_newest() {
  local steps=()
  S2V_VENV=$S2V_ROOT/.venv-newest
  S2V_PY=$S2V_VENV/bin/python
  check_machine
  S2V_BASE=$(find_python) || exit 2
  find_missing "$@"
  [ "${#MISSING[@]}" -eq 0 ] || steps+=(install_system_packages)
  environment_is_good || steps+=(make_environment)
  run_steps test ${steps[@]+"${steps[@]}"} install_newest_torch install_newest install_newest_tensorrt_rtx
}

run_steps() {
  local layer=$1 number=0 step
  shift
  for step in "$@"; do
    number=$((number + 1))
    S2V_STEP="[$number/$#]"
    "$step" "$layer"
  done
}

step() { say "$S2V_STEP $*"; }

# --- the machine ---

# mediapipe finds the faces, and pip's own word for its absence helps nobody.
check_machine() {
  case "$(uname -s)-$(uname -m)" in
    Linux-aarch64 | Darwin-x86_64)
      fail "mediapipe has no build for $(uname -s) on $(uname -m): it needs Linux or Windows on x86_64, or macOS on arm64"
      ;;
  esac
}

is_new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null </dev/null; }

# Prints the Python to build the environment with, or nothing.
find_python() {
  local name
  if [ -n "${S2V_PYTHON:-}" ]; then
    is_new_enough "$S2V_PYTHON" || fail "S2V_PYTHON=$S2V_PYTHON is not Python 3.11 or newer"
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

# --- system packages: all that is missing is found first, and installed by one call ---

# find_missing NEED...: fills MISSING with package names and PURPOSES with what they are for.
find_missing() {
  local need
  MISSING=() PURPOSES=()
  need_python
  for need in "$@"; do "need_$need"; done
}

# lacks "what it is for" package...
lacks() {
  PURPOSES+=("$1")
  shift
  MISSING+=("$@")
}

need_python() {
  if [ -z "$S2V_BASE" ]; then
    lacks "Python 3.11 or newer" python3 python3-venv
  elif ! "$S2V_BASE" -c 'import ensurepip, venv' 2>/dev/null; then
    # Debian ships Python without the module that puts pip into an environment.
    lacks "the venv module of Python" "$("$S2V_BASE" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')"
  fi
}

# mediapipe and OpenCV load these even without a screen.
need_libraries() {
  [ "$(uname -s)" = Linux ] || return 0
  "${S2V_BASE:-false}" - 2>/dev/null <<'PYTHON' || lacks "the OpenGL libraries" libgl1 libegl1 libgles2 libglib2.0-0
import ctypes

for name in ("libGL.so.1", "libEGL.so.1", "libGLESv2.so.2", "libglib-2.0.so.0"):
    ctypes.CDLL(name)
PYTHON
}

# PyAudio, which reads microphones, comes as source on Linux: it is built against PortAudio.
need_portaudio() {
  local headers missing=()
  [ "$(uname -s)" = Linux ] || return 0
  if "$S2V_PY" -c 'import pyaudio' 2>/dev/null; then return; fi
  [ -e /usr/include/portaudio.h ] || missing+=(portaudio19-dev)
  command -v gcc >/dev/null || missing+=(gcc libc6-dev)
  if [ -z "$S2V_BASE" ]; then
    missing+=(python3-dev)
  else
    headers=$("$S2V_BASE" -c 'import sysconfig; print(sysconfig.get_path("include"))')
    [ -e "$headers/Python.h" ] || missing+=("$(basename -- "$headers")-dev")
  fi
  [ "${#missing[@]}" -eq 0 ] || lacks "what PyAudio is built with" "${missing[@]}"
}

# The sound server in which the tests make a microphone of their own.
need_sound_server() {
  [ "$(uname -s)" = Linux ] || return 0
  if command -v pulseaudio >/dev/null && command -v paplay >/dev/null &&
    compgen -G "/usr/lib/*/alsa-lib/libasound_module_pcm_pulse.so" >/dev/null; then return; fi
  lacks "PulseAudio, in which the tests make a microphone" pulseaudio pulseaudio-utils libasound2-plugins
}

# The browser that the tests drive.
need_browser() {
  local name
  for name in chromium chromium-browser google-chrome google-chrome-stable; do
    if command -v "$name" >/dev/null; then return; fi
  done
  lacks "Chromium, which the browser tests drive" chromium
}

# The engines of which the training voices are made.
need_synthesizers() {
  local name
  for name in flite festival espeak-ng; do
    command -v "$name" >/dev/null && continue
    lacks "speech synthesizers" flite festival festvox-kallpc16k festvox-kdlpc16k festvox-us-slt-hts espeak-ng
    return
  done
}

install_system_packages() {
  local what as_root=() by_hand=""
  what=$(printf ', %s' "${PURPOSES[@]}")
  what=${what#, }
  command -v apt-get >/dev/null || fail "missing: $what; there is no apt-get here: install what Debian calls ${MISSING[*]}"
  if [ "$(id -u)" -ne 0 ]; then
    if command -v sudo >/dev/null; then
      by_hand="run  sudo apt-get update && sudo apt-get install -y ${MISSING[*]}  and then this again"
      sudo -n true 2>/dev/null || fail "missing: $what; $by_hand"
      as_root=(sudo -n)
    else
      fail "missing: $what; run  apt-get update && apt-get install -y ${MISSING[*]}  as root, and then this again"
    fi
  fi
  step "installing $what: apt-get install ${MISSING[*]}"
  as_root+=(env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 -q)
  "${as_root[@]}" update >&2 </dev/null || say "apt-get update failed; trying with the lists at hand"
  "${as_root[@]}" install -y --no-install-recommends "${MISSING[@]}" >&2 </dev/null ||
    fail "cannot install $what: see above; once it is solved,  apt-get install -y ${MISSING[*]}  as root and this again"
  [ -n "$S2V_BASE" ] || S2V_BASE=$(find_python)
  [ -n "$S2V_BASE" ] || fail "this system's python3 is older than 3.11: install a newer one and set S2V_PYTHON to it"
}

# --- the environment ---

# It has pip, and the Python that was asked for, if one was.
environment_is_good() {
  is_new_enough "$S2V_PY" && "$S2V_PY" -c 'import pip' 2>/dev/null || return 1
  [ -z "${S2V_PYTHON:-}" ] || [ "$("$S2V_PY" --version)" = "$("$S2V_BASE" --version)" ]
}

make_environment() {
  step "making the environment ${S2V_VENV##*/} with $("$S2V_BASE" --version)"
  "$S2V_BASE" -m venv --clear "$S2V_VENV" >&2 </dev/null || fail "cannot make $S2V_VENV: delete it and run this again"
}

# Unbuffered, so that lines come as packages do where there is no terminal for a progress bar.
pip_install() {
  PYTHONUNBUFFERED=1 "$S2V_PY" -m pip install --no-input --disable-pip-version-check "$@" >&2 </dev/null
}

pip_failed() { fail "pip could not install $1: see above; once that is solved (is the network back?), run this again"; }

has_torch() {
  case $1 in train | voices | test) ;; *) return 1 ;; esac
}

has_rtx() { [ "$1" = test ]; }

stamp() { printf '%s' "$S2V_VENV/.s2v-installed-$1"; }

# What the installed packages were made from: a change of any of it installs again.
fingerprint() {
  { printf '%s %s\n' "$S2V_ROOT" "$1" && "$S2V_PY" --version && cat "$S2V_ROOT"/{pyproject.toml,requirements/*.txt}; } | cksum
}

install_locked() {
  local locked=$S2V_ROOT/requirements
  step "installing what requirements/$1.txt locks (minutes the first time)"
  pip_install --quiet --require-hashes -r "$locked/build.txt" || pip_failed "requirements/build.txt"
  # With the setuptools just installed: in isolation pip would build with whatever is newest today.
  pip_install --require-hashes --no-build-isolation -r "$locked/$1.txt" || pip_failed "requirements/$1.txt"
}

# After the lock, so that all it needs but its own GPU libraries is already there, checked.
install_torch() {
  step "installing torch (minutes; on Linux several GB of CUDA libraries come along, unless S2V_TORCH_INDEX has a smaller one)"
  pip_install ${S2V_TORCH_INDEX:+--index-url "$S2V_TORCH_INDEX"} -r "$S2V_ROOT/requirements/torch.txt" || pip_failed torch
}

install_checkout() {
  step "installing this checkout"
  pip_install --quiet --no-deps --no-build-isolation -e "$S2V_ROOT" || pip_failed "$S2V_ROOT"
  fingerprint "$1" >"$(stamp "$1")"
}

# TensorRT for RTX builds engines without a GPU, so the tests build one. Where it cannot be had they say so and go on.
tensorrt_rtx_is_there() {
  "$S2V_PY" -c 'from importlib.util import find_spec as f; assert f("cuda.bindings") and f("tensorrt_rtx")' 2>/dev/null
}

install_tensorrt_rtx() {
  step "installing TensorRT for RTX (265 MB), with which the tests build an engine"
  pip_install --require-hashes --no-build-isolation -r "$S2V_ROOT/requirements/rtx.txt" || no_tensorrt_rtx
}

no_tensorrt_rtx() { say "TensorRT for RTX cannot be had here: the tests that build with it are skipped"; }

# --- the newest instead of the lock ---

install_newest_torch() {
  local torch
  step "installing the newest torch that pyproject.toml allows"
  pip_install --quiet --upgrade pip || pip_failed pip
  torch=$("$S2V_PY" - "$S2V_ROOT/pyproject.toml" <<'PYTHON'
import sys, tomllib

extras = tomllib.load(open(sys.argv[1], "rb"))["project"]["optional-dependencies"]
print(next(line for line in extras["train"] if line.startswith("torch>")))
PYTHON
  ) || fail "pyproject.toml names no torch in its extra train"
  pip_install --upgrade ${S2V_TORCH_INDEX:+--index-url "$S2V_TORCH_INDEX"} "$torch" || pip_failed "$torch"
  # The other packages come from another index, which may offer a torch of another kind.
  "$S2V_PY" -c 'from importlib.metadata import version; print("torch==" + version("torch"))' >"$S2V_VENV/torch.txt"
}

install_newest() {
  step "installing the newest of everything else"
  pip_install --upgrade --upgrade-strategy eager -c "$S2V_VENV/torch.txt" -e "${S2V_ROOT}[mic,train,dev]" || pip_failed speech2vid
}

install_newest_tensorrt_rtx() {
  step "installing the newest TensorRT for RTX, with which the tests build an engine"
  pip_install --upgrade -c "$S2V_VENV/torch.txt" -e "${S2V_ROOT}[rtx]" || no_tensorrt_rtx
}
