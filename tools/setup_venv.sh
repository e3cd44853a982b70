# shellcheck shell=bash
# Sourced by the scripts of this project: the environment, steps that signals reach, and the names of data directories.
#
#   setup_venv [EXTRA]        makes .venv (or $PAR_VENV) unless it is there and up to date; afterwards $python is its interpreter
#   run COMMAND [ARG ...]     runs one step and returns its exit code; SIGINT, SIGTERM and SIGHUP go to the step, then the script ends
#   default_recipe CORPUS     prints the recipe of a corpus, `auto` for own text
#   data_dir CORPUS RECIPE    prints where that corpus is built with that recipe
#   from_caller PATH          prints a path, typed relative to the caller's directory, as seen from $root
#
# It needs bash 3.2 or newer and no other tool than cksum, and works from any directory, spaces in paths included.

unset CDPATH
caller=$PWD
root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
venv=${PAR_VENV:-$root/.venv}
case $venv in /*) ;; *) venv=$caller/$venv ;; esac
python=$venv/bin/python
marker=$venv/.made-by-setup_venv # only a directory with this file in it is ever removed
stamp=$venv/.installed           # written after a complete installation: line 1 what was installed, line 2 the extra
child='' starting='' pending='' stopped='' again=''

say() { printf '%s\n' "$*" >&2; }

die() {
  say "error: $*"
  exit 1
}

from_caller() {
  case $1 in
    /* | '~'*) printf '%s\n' "$1" ;; # the commands know what ~ is
    *) if [ "$caller" = "$root" ]; then printf '%s\n' "$1"; else printf '%s\n' "$caller/$1"; fi ;;
  esac
}

default_recipe() {
  case $1 in
    python-docs* | wikitext-2-small*) echo quick ;; # 1 to 2 MB of text support no 12,000 pieces
    wikitext-*) echo base ;;
    *) echo auto ;; # the commands choose by the size of the text
  esac
}

data_dir() {
  local recipe=${2##*/}
  recipe=${recipe%.flags}
  if [ "$recipe" = seed ]; then recipe=base; fi # the two have the same data settings
  if [ "$recipe" = "$(default_recipe "$1")" ]; then echo "data/$1"; else echo "data/$1-$recipe"; fi
}

# ---- steps ----

forward() {
  stopped=1 again=1
  if [ -n "$child" ]; then
    kill -"$1" -- "-$child" 2>/dev/null
  elif [ -n "$starting" ]; then
    pending=$1
  else
    exit 5
  fi
}
trap 'forward INT' INT
trap 'forward TERM' TERM HUP

# The step gets a process group of its own (set -m): so one Ctrl-C reaches it once, and it is not deaf to SIGINT as other background jobs are.
run() {
  local code
  starting=1
  set -m
  "$@" </dev/null &
  child=$!
  set +m
  starting=''
  if [ -n "$pending" ]; then kill -"$pending" -- "-$child"; fi
  again=1
  while [ -n "$again" ]; do # a trapped signal ends `wait` before the step has ended
    again=''
    wait "$child"
    code=$?
  done
  child=''
  if [ -n "$stopped" ]; then
    if [ "$code" -eq 0 ]; then code=5; fi
    exit "$code"
  fi
  return "$code"
}

# ---- the environment ----

# Prints "ok VERSION" or the reason why $1 can't be used.
check_python() {
  "$1" - 2>/dev/null <<'END' || echo "does not run"
import sys
found = "%d.%d.%d" % sys.version_info[:3]
if not (3, 11) <= sys.version_info[:2] <= (3, 13):
    print(found)
elif sys.implementation.name != "cpython":
    print(sys.implementation.name + " " + found)
else:
    import sysconfig
    try:
        import sqlite3
    except ImportError:
        sqlite3 = None
    try:
        import ensurepip, venv
        if sysconfig.get_config_var("Py_GIL_DISABLED"):
            print("free-threaded " + found)
        else:
            print("ok " + found if sqlite3 else found + " without sqlite3")
    except ImportError:
        print(found + " without venv: on Debian and Ubuntu run apt-get install python%d.%d-venv" % sys.version_info[:2])
END
}

# Sets $base_python to the first interpreter that can be used.
find_python() {
  local candidate found tried=''
  if [ -n "${PYTHON:-}" ]; then set -- "$PYTHON"; else set -- python3 python3.13 python3.12 python3.11; fi
  for candidate; do
    if command -v "$candidate" >/dev/null; then found=$(check_python "$candidate"); else found='not found'; fi
    case $found in
      ok\ *)
        base_python=$candidate base_version=${found#ok }
        return
        ;;
    esac
    tried="$tried${tried:+, }$candidate ($found)"
  done
  die "no usable Python: CPython 3.11 to 3.13 with venv is needed; tried $tried; install one, or name it: PYTHON=/path/to/python3.12 $0"
}

# Whether the environment runs, with its own pip, and on $PYTHON if that is set.
venv_runs() {
  local base='import sys; print(sys.base_prefix, sys.version_info[:2])' have
  have=$("$python" -c "import pip; $base" 2>/dev/null) || return 1
  [ -z "${PYTHON:-}" ] || [ "$have" = "$("$PYTHON" -c "$base" 2>/dev/null)" ]
}

# Whether everything wanted is installed: $1 what is wanted, $2 the extra.
venv_ready() {
  local have extra
  [ -f "$stamp" ] || return 1
  { IFS= read -r have && read -r extra; } <"$stamp"
  [ "$have" = "$1" ] && { [ -z "$2" ] || [ "$extra" = "$2" ]; } && venv_runs
}

# Makes an empty environment at $venv, unless a usable one is there. One left half-made by an interrupted installation has no stamp: it is made anew.
make_venv() {
  if [ -e "$venv" ] && [ ! -e "$marker" ] && [ -n "$(ls -A -- "$venv")" ]; then # made by hand: used as it is, never removed
    case $(check_python "$python") in
      ok\ *) if [ -e "$venv/pyvenv.cfg" ] && venv_runs; then return; fi ;;
    esac
    die "$venv was not made by this script and is not an environment of ${PYTHON:-CPython 3.11 to 3.13} with pip: remove it, or name another place with PAR_VENV"
  fi
  if [ -e "$stamp" ] && venv_runs; then return; fi
  find_python
  say "setting up $venv with $base_python ($base_version)"
  rm -rf -- "$venv"
  { mkdir -p -- "$venv" && : >"$marker"; } || die "can't write to $venv"
  run "$base_python" -m venv "$venv" || die "$base_python -m venv could not make an environment in $venv (its lines are above)"
}

# Two scripts started together: the second waits here. Whoever has file descriptor 9 open holds the lock, so a pip left alone by a killed script does too.
lock_venv() {
  local locker=$python
  if ! "$python" -c '' 2>/dev/null; then find_python && locker=$base_python; fi
  { mkdir -p -- "$(dirname -- "$venv")" && exec 9>"$venv.lock"; } || die "can't write beside $venv"
  run "$locker" -c 'if True:
    import fcntl, sys
    try:
        fcntl.flock(9, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print("waiting for another set-up of this environment to end", file=sys.stderr)
        fcntl.flock(9, fcntl.LOCK_EX)' || die "can't lock $venv.lock"
}

setup_venv() {
  local extra=${1:-} want start=$SECONDS
  want="$(cat -- "$root/setup.cfg" "$root/pyproject.toml" | cksum) $root"
  if venv_ready "$want" "$extra"; then return; fi
  lock_venv
  if ! venv_ready "$want" "$extra"; then
    make_venv
    if [ -f "$stamp" ]; then
      say "updating what is installed in $venv"
      if [ -z "$extra" ]; then extra=$(sed -n 2p "$stamp"); fi # an update keeps the extra
      rm -f -- "$stamp"
    else
      say "installing TensorFlow and the other dependencies there: about 2.5 GB, a minute or two"
    fi
    cd -- "$root" || exit 1
    # PIP_USER: a user's pip setting that would bypass the environment
    PIP_USER=0 run "$python" -m pip install --quiet --disable-pip-version-check --no-compile -e ".${extra:+[$extra]}" ||
      die "the installation failed (pip's lines are above): mend the cause and run the same command again"
    # pip would use one core for it; some packages hold files that are no Python, and all run uncompiled, too
    run "$python" -m compileall -qq -j 0 "$("$python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')" || :
    { printf '%s\n%s\n' "$want" "$extra" >"$stamp"; } || die "can't write $stamp"
    say "installed in $((SECONDS - start)) s"
  fi
  exec 9>&-
}
