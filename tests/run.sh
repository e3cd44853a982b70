#!/usr/bin/env bash
# Lint, format check and tests; exits 0 only if all three pass and at least one test ran.
set -u
. "$(dirname -- "${BASH_SOURCE[0]}")/../tools/setup_venv.sh"

usage() {
  cat <<'END'
usage: tests/run.sh [--all] [pytest options]

Sets up .venv if it is missing, checks with ruff, runs the tests. Without --all, those marked slow are left out.
Two processes share the test files (-n 0: one; so it is with --pdb, --trace and -s).
Paths are as seen from the project's directory: tests/run.sh tests/test_packaging.py -k version
PYTHON names the interpreter to use (CPython 3.11 to 3.13), PAR_VENV another place than .venv.
END
}

selection=(-m "not slow") options=()
parallel=(-n 2 --dist loadfile --no-loadscope-reorder) # tests/conftest.py has the order
for option; do
  case $option in
    -h | --help)
      usage
      exit 0
      ;;
    --all) selection=() ;;
    --pdb | --trace | -s) parallel=() options+=("$option") ;;
    *) options+=("$option") ;;
  esac
done

setup_venv test
trap - INT TERM HUP # what follows runs in the foreground, so that Ctrl-C and pytest's --pdb work as ever
cd -- "$root" || exit 1
unset PYTHONDONTWRITEBYTECODE # each of the hundreds of processes that the tests start would compile par/ anew
code=0
"$python" -m ruff check . || code=$?
"$python" -m ruff format --check . || code=$?
"$python" -m pytest ${parallel[@]+"${parallel[@]}"} ${selection[@]+"${selection[@]}"} ${options[@]+"${options[@]}"} || code=$? # 5: no test ran
exit "$code"
