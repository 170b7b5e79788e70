#!/usr/bin/env bash
# Builds fewshot, makes sure that the default encoder is in the cache, and labels real reviews.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/encoders.sh

part() { # part NAME COMMAND…: runs it and says how long it took
  local name=$1 start=$SECONDS
  shift
  echo "== $name"
  "$@"
  echo "== $name took $((SECONDS - start)) s"
  echo
}

target=${CARGO_TARGET_DIR:-target}
part "build" cargo build --release --locked
part "encoder" ensure_mpnet "$target/release/fewshot"
part "classify" "$target/release/fewshot" classify --offline --verbose \
  --examples datasets/reviews/few.jsonl --input datasets/reviews/new.txt --format table
