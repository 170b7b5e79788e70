"""How near a precision's vectors are to those in f32: the mean and the lowest cosine.

    pip install numpy
    python scripts/precision.py --texts texts.txt --layers 6-12 [--fewshot PROGRAM] [--model ID] [--precisions bf16,int8]

Texts as `fewshot embed` reads them.
"""

import argparse
import subprocess
import tempfile
from pathlib import Path

import numpy as np

DEFAULT_MODEL = "sentence-transformers/all-mpnet-base-v2"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--texts", required=True)
    parser.add_argument("--layers", default="6-12")
    parser.add_argument("--precisions", default="bf16,int8")
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--fewshot", default="fewshot")
    args = parser.parse_args()
    exact = embed(args, "f32")
    for precision in args.precisions.split(","):
        cosines = (exact * embed(args, precision)).sum(1)
        worst = int(cosines.argmin())
        print(f"{precision}: {len(cosines)} texts, cosine mean {cosines.mean():.6f}, lowest {cosines[worst]:.5f} (text {worst + 1})")


def embed(args, precision):
    """Vectors of length 1."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "vectors.npy"
        command = [args.fewshot, "embed", "--quiet", "--model", args.model, "--layers", args.layers]
        command += ["--precision", precision, "--input", args.texts, "--output", str(path)]
        subprocess.run(command, check=True)
        vectors = np.load(path).astype(np.float64)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


if __name__ == "__main__":
    main()
