#!/usr/bin/env bash
# Runs every test: format, lints, documentation, unit and property tests, the command line, and the
# real encoders against Python's numbers. Sets up what it needs itself.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. scripts/encoders.sh

step() { printf '\n== %s\n' "$*"; "$@"; }

step cargo fmt --check
step cargo clippy --locked --all-targets -- -D warnings
step cargo clippy --locked --no-default-features --lib -- -D warnings
RUSTDOCFLAGS="-D warnings" step cargo doc --locked --no-deps
step cargo build --locked
program=${CARGO_TARGET_DIR:-target}/debug/fewshot
step ensure_mpnet "$program"
step ensure_minilm "$program"
# The tests with real encoders skip where there is none; here there must be.
FEWSHOT_REQUIRE_ENCODERS=1 step cargo test --locked
