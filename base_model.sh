#!/usr/bin/env bash
# From nothing at hand to a searched, trained and scored architecture; see --help.
set -u
. "$(dirname -- "${BASH_SOURCE[0]}")/tools/setup_venv.sh"

usage() {
  cat <<'END'
usage: ./base_model.sh [--recipe=NAME] [--data=DIR] [flags of tools/train.py]

Sets up .venv, builds a corpus, searches, draws pi, derives an architecture, trains it, prints both side by side, writes a page of each,
and one in which the derived network continues texts.
Run again, it continues where it stopped, or says that it is done.

  --recipe=NAME   a file of tools/recipes (quick, base, seed) or a .flags file of your own;
                  by default quick for python-docs, wikitext-2-small and any data below 4 MB, else base
  --data=DIR      a data set made by tools/build_data.py or create_tfrecords.sh; by default data/wikitext-2 or
                  data/wikitext-2-small if one is built, else python-docs, the embedded corpus, which is built here.
                  With a recipe that is not the corpus's default, the corpus is built as data/CORPUS-RECIPE
  --run=DIR       the search's run directory; the derived network's is DIR-derived
  other flags     go on to the search and to the training of the derived network, such as --epochs=20 or --seed=1;
                  all of them: .venv/bin/python tools/train.py --help

PYTHON names the interpreter to use (CPython 3.11 to 3.13), PAR_VENV another place than .venv.
Exit codes: 0 done, else that of the step that ended it: 1 usage, 3 data, 4 diverged, 5 stopped with the state saved, 6 out of disk or memory.
END
}

recipe='' data='' run_dir='' blocks='' dry_run='' flags=()
while [ $# -gt 0 ]; do
  case $1 in
    --recipe | --data | --run | --architecture | --num_blocks) # --name value, as absl takes it too
      [ $# -gt 1 ] || die "$1 needs a value: $1=VALUE; see --help"
      set -- "$1=$2" "${@:3}"
      continue
      ;;
    -h | --help)
      usage
      exit 0
      ;;
    --recipe=*) recipe=${1#*=} ;;
    --data=*) data=$(from_caller "${1#*=}") ;;
    --run=*)
      run_dir=${1#*=}
      case /$run_dir/ in */./ | */../) run_dir=$(cd -- "$run_dir" && pwd) || exit 1 ;; esac # names of others are made from it
      run_dir=$(from_caller "$run_dir")
      ;;
    --architecture=* | --num_blocks=*) blocks=$1 ;; # of the search only
    --flagfile=*) flags+=("--flagfile=$(from_caller "${1#*=}")") ;;
    --dry_run) dry_run=1 ;;
    *) flags+=("$1") ;;
  esac
  shift
done

case $blocks in
  --architecture=*.json) die "${blocks#*=} holds fixed blocks, so there is nothing to search: train it with tools/train.py" ;;
  --architecture=*s*) ;;
  --architecture=*) die "${blocks#*=} has no stochastic block (s), so there is nothing to search: train it with tools/train.py" ;;
esac

corpus=''
if [ -z "$data" ]; then
  corpus=python-docs
  for name in wikitext-2-small wikitext-2; do
    if [ -f "$root/data/$name/manifest.json" ]; then corpus=$name; fi
  done
fi
if [ -z "$recipe" ]; then recipe=$(default_recipe "${corpus:-$(basename -- "$data")}"); fi
case $recipe in
  *.flags) recipe=$(from_caller "$recipe") ;;
  auto) ;;
  *) [ -f "$root/tools/recipes/$recipe.flags" ] ||
    die "--recipe=$recipe does not exist: choose one of $(cd -- "$root/tools/recipes" && echo *.flags | sed 's/\.flags//g'), or the path of a .flags file" ;;
esac

setup_venv
cd -- "$root" || exit 1
scratch=$(mktemp -d) || die "can't make a temporary directory"
trap 'rm -rf -- "$scratch"' EXIT

tool() { run "$python" "tools/$1.py" "${@:2}" || exit $?; }

# Prints the run directory that these flags of tools/train.py name.
run_of() { "$python" tools/train.py "$@" --print_run; }

if [ -n "$corpus" ]; then
  data=$(data_dir "$corpus" "$recipe")
  if [ ! -f "$data/manifest.json" ]; then
    say "== 1/8 build $data"
    tool build_data --corpus="$corpus" --recipe="$recipe" --output_dir="$data"
  fi
fi
flags=(--recipe="$recipe" --data="$data" ${flags[@]+"${flags[@]}"})
search_flags=("${flags[@]}" ${blocks:+"$blocks"} ${run_dir:+--run="$run_dir"})
if [ -n "$dry_run" ]; then
  tool train "${search_flags[@]}" --dry_run
  exit
fi

search=$(run_of "${search_flags[@]}") || exit $?
say "== 2/8 search: $search"
tool train "${search_flags[@]}"

say "== 3/8 draw pi"
tool plot_pi --run="$search" >"$scratch/plots"

say "== 4/8 derive"
tool derive --run="$search" >"$scratch/architecture"
cat -- "$scratch/architecture"

derived_flags=("${flags[@]}" --architecture="$search/architecture.json" ${run_dir:+--run="$run_dir-derived"})
derived=$(run_of "${derived_flags[@]}") || exit $?
say "== 5/8 train the derived network: $derived"
tool train "${derived_flags[@]}"

say "== 6/8 evaluate"
tool evaluate --run="$search" --run="$derived" --split=valid --split=test --show_history >"$scratch/scores"

say "== 7/8 report"
for each in "$search" "$derived"; do tool report --run="$each" >>"$scratch/plots"; done

# one network that predicts the next token: not one of several seeds, or of another objective
if grep -qs '"objective": "causal_lm"' "$derived/config.json"; then
  say "== 8/8 a page that writes: $derived-page"
  tool export --run="$derived" --format=page --output="$derived-page" --overwrite >"$scratch/page"
fi

echo
sed '/^next:/d' "$scratch/architecture" # by now the next command has been run
echo
cat -- "$scratch/scores"
echo
cat -- "$scratch/plots"
echo "search   $search"
echo "derived  $derived"
if [ -f "$scratch/page" ]; then echo "page     $derived-page/index.html continues a text in your browser"; fi
say "done in $((SECONDS / 60)) min $((SECONDS % 60)) s; the same command again continues an interrupted run"
