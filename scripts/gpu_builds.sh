#!/usr/bin/env bash
# The builds for GPUs, on a machine without one: that they compile, free of warnings.
#
# NVIDIA's compiler and headers for Apple's come from the Python package index, into the folder that is named (or a
# temporary one). Needs python3 with venv and `rustup target add aarch64-apple-darwin`. A quarter of an hour on two cores,
# most of it for candle's CUDA kernels.
set -euo pipefail
folder=${1:-}
if [ -z "$folder" ]; then
  folder=$(mktemp -d)
  trap 'rm -rf "$folder"' EXIT
fi
folder=$(realpath "$folder")
cd "$(dirname "${BASH_SOURCE[0]}")/.."

python3 -m venv "$folder/python"
"$folder/python/bin/pip" install --quiet ziglang==0.17.1 nvidia-cuda-nvcc==13.0.88 nvidia-cuda-crt==13.0.88 \
  nvidia-nvvm==13.0.88 nvidia-cuda-runtime==13.0.96 nvidia-cuda-cccl==13.0.85

lint() {
  CARGO_TARGET_DIR="$folder/target" cargo clippy --locked --all-targets "$@" -- -D warnings
}

echo "cuda"
CUDA_HOME=$(echo "$folder"/python/lib/python3*/site-packages/nvidia/cu13)
CUDA_HOME=$CUDA_HOME PATH=$CUDA_HOME/bin:$PATH CUDA_COMPUTE_CAP=80 lint --features cuda

echo "metal"
# Zig's compiler has Apple's headers; the words that it does not know are what it does anyway.
cat > "$folder/cc" <<EOF
#!/usr/bin/env bash
for word in "\$@"; do
  shift
  case \$word in --target=* | -arch | arm64 | -mmacosx-version-min=*) ;; *) set -- "\$@" "\$word" ;; esac
done
exec "$folder/python/bin/python" -m ziglang cc -target aarch64-macos "\$@"
EOF
chmod +x "$folder/cc"
CC_aarch64_apple_darwin="$folder/cc" lint --features metal --target aarch64-apple-darwin
