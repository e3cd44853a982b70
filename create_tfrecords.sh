#!/usr/bin/env bash
# Text to records for training, on the way that ./base_model.sh looks for them; see --help.
set -u
. "$(dirname -- "${BASH_SOURCE[0]}")/tools/setup_venv.sh"

usage() {
  cat <<'END'
usage: ./create_tfrecords.sh [--corpus=NAME] [--recipe=NAME] [options of tools/build_data.py]

Sets up .venv and builds a data set: tokenizer, records of train, valid and test, manifest.

  --corpus=NAME       wikitext-2 (default; 4.5 MB to download), wikitext-2-small (its validation text, divided into three),
                      wikitext-103 (190 MB), python-docs (embedded) or debian-changelogs (those of this machine's packages).
                      Files placed in data/ or data/raw/ are taken first; all are checked by SHA-256 (wikitext-103's text files, not its zip, by SHA-1: no other digest of them
                      is known); a broken download is continued (data/README.md)
  --mirror=URL        where to download from before the known places are tried: a directory, or the file itself;
                      http://, https:// or file:///PATH; may be repeated
  --recipe=NAME       whose vocabulary and window sizes are taken: by default quick for python-docs, wikitext-2-small and any
                      text below 4 MB, else base
  --input_text=PATH   own text instead of a named corpus: a file, a directory or a quoted glob
  --input_documents=PATH  own documents with authors, groups and threads: FILE.jsonl[.gz] or FILE.mbox, a directory or a
                      quoted glob
  --model_type=word   every word of the corpus, as the literature counts them; char: every character. Either, like any
                      other model type, replaces the recipe's vocabulary size and case
  --output_dir=DIR    default data/CORPUS, or data/CORPUS-RECIPE with a recipe that is not the corpus's default, and
                      -MODEL_TYPE behind it where that is given; data/ and the input's name for own text
  other options       go on to tools/build_data.py, such as --vocab_size=6000;
                      all of them: .venv/bin/python tools/build_data.py --help

PYTHON names the interpreter to use (CPython 3.11 to 3.13), PAR_VENV another place than .venv.
END
}

corpus='' recipe='' text='' documents='' output='' kind='' options=()
while [ $# -gt 0 ]; do
  case $1 in
    --corpus | --recipe | --input_text | --input_documents | --output_dir | --tokenizer_model | --model_type | --verify | --flagfile) # --name value, as absl takes it too
      [ $# -gt 1 ] || die "$1 needs a value: $1=VALUE; see --help"
      set -- "$1=$2" "${@:3}"
      continue
      ;;
    -h | --help)
      usage
      exit 0
      ;;
    --corpus=*) corpus=${1#*=} ;;
    --recipe=*) recipe=${1#*=} ;;
    --input_text=*) text=$(from_caller "${1#*=}") ;;
    --input_documents=*) documents=$(from_caller "${1#*=}") ;;
    --output_dir=*) output=$(from_caller "${1#*=}") ;;
    --model_type=*) kind=${1#*=} options+=("$1") ;;
    --tokenizer_model=* | --verify=* | --flagfile=*) options+=("${1%%=*}=$(from_caller "${1#*=}")") ;;
    *) options+=("$1") ;;
  esac
  shift
done

if [ -z "$text$documents" ]; then corpus=${corpus:-wikitext-2}; fi
if [ -z "$recipe" ]; then recipe=$(default_recipe "$corpus"); fi
case $recipe in *.flags) recipe=$(from_caller "$recipe") ;; esac
if [ -z "$output" ] && [ -n "$corpus" ]; then output=$(data_dir "$corpus" "$recipe")${kind:+-$kind}; fi

setup_venv
cd -- "$root" || exit 1
run "$python" tools/build_data.py --recipe="$recipe" ${output:+--output_dir="$output"} ${corpus:+--corpus="$corpus"} ${text:+--input_text="$text"} \
  ${documents:+--input_documents="$documents"} \
  ${options[@]+"${options[@]}"}
