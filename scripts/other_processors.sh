#!/usr/bin/env bash
# The tests of kernels and encoder on processors that are not at hand, emulated: with AVX2 alone, without AVX, AArch64.
#
# Needs Debian's qemu-user-static, gcc-aarch64-linux-gnu and libc6-dev-arm64-cross, and
# `rustup target add aarch64-unknown-linux-gnu`. A quarter of an hour, most of it for the two builds.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

tests() {
  cargo test --release --locked --lib "$@" -- --test-threads 1 kernels:: encoder:: matmul::
}

for processor in Haswell Nehalem; do
  echo "an emulated $processor"
  CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER="qemu-x86_64-static -cpu $processor" tests
done

echo "an emulated AArch64"
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER="qemu-aarch64-static -L /usr/aarch64-linux-gnu"
tests --target aarch64-unknown-linux-gnu
