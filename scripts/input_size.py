#!/usr/bin/env python3
"""Speed and peak memory of `fewshot embed` against the number of texts.

    python scripts/input_size.py --fewshot target/release/fewshot [--model ID] [--sizes 100,1000,10000]
        [--repeats 1]

Texts are 22 random common words each, all different unless each is there several times in a row. A line
for each size: seconds, texts a second, peak memory, of the whole process.
"""

import argparse
import os
import random
import subprocess
import tempfile
import time

WORDS = "the of and to in for is on that by this with you it not or be are from at as your all have new more".split()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fewshot", required=True)
    parser.add_argument("--model", default="sentence-transformers/all-mpnet-base-v2")
    parser.add_argument("--sizes", default="100,1000,10000")
    parser.add_argument("--repeats", type=int, default=1)
    args = parser.parse_args()
    print("| texts | seconds | texts/s | peak MB |\n|---|---|---|---|")
    for size in map(int, args.sizes.split(",")):
        with tempfile.TemporaryDirectory() as folder:
            random.seed(size)
            with open(f"{folder}/texts.txt", "w", encoding="utf-8") as file:
                for _ in range(size // args.repeats):
                    file.write((" ".join(random.choices(WORDS, k=22)) + "\n") * args.repeats)
            seconds, peak = run([
                args.fewshot, "embed", "--quiet", "--model", args.model,
                "--input", f"{folder}/texts.txt", "--output", f"{folder}/v.npy",
            ])  # fmt: skip
        print(f"| {size:,} | {seconds:.1f} | {size / seconds:.0f} | {peak:.0f} |", flush=True)


def run(command):
    """Seconds and peak megabytes of one process."""
    start = time.perf_counter()
    process = subprocess.Popen(command)
    _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        raise SystemExit(f"{' '.join(command)} failed")
    return time.perf_counter() - start, usage.ru_maxrss / 1024


if __name__ == "__main__":
    main()
