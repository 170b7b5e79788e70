"""A whole `fewshot classify` beside a whole Python program with SetFit, from cold start to the last answer.

    pip install setfit
    python benches/peers/whole_command.py --model MODEL_DIR --data DATA [--set cr] [--rounds 5] [--threads 2]

Alternating rounds; in each, fewshot at its defaults, fewshot that tunes in any case (`--tune 6`), and `setfit_accuracy.py` (imports,
fit at SetFit's defaults, prediction), all on the 16 examples of seed 0 and the test part of one set. fewshot's embedding cache is empty each
time. Prints the seconds of every round, the medians and their ratio to SetFit's.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

from fewshot_random import draw


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="folder of the encoder that SetFit loads, fewshot's default")
    parser.add_argument("--data", required=True, help="folder with SET/{train,test}.jsonl")
    parser.add_argument("--set", default="cr")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--fewshot", default="target/release/fewshot")
    args = parser.parse_args()
    commands = {
        "fewshot": lambda folder: fewshot(args, folder, []),
        "fewshot --tune 6": lambda folder: fewshot(args, folder, ["--tune", "6"]),
        "SetFit": lambda folder: setfit(args, folder),
    }
    seconds = {name: [] for name in commands}
    for _ in range(args.rounds):
        for name, command in commands.items():
            # Nothing of an earlier round: no vectors, no results.
            with tempfile.TemporaryDirectory() as folder:
                seconds[name].append(timed(command(folder), folder))
            print(f"{name}: {seconds[name][-1]:.2f} s", flush=True)
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    for name, median in medians.items():
        print(f"{name}: median {median:.2f} s, SetFit takes {medians['SetFit'] / median:.1f} times as long")


def fewshot(args, folder, options):
    with open(f"{args.data}/{args.set}/train.jsonl", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    examples = os.path.join(folder, "few.jsonl")
    with open(examples, "w", encoding="utf-8") as file:
        file.writelines(json.dumps(rows[row]) + "\n" for row in draw([str(row["label"]) for row in rows], 8, 0))
    texts = f"{args.data}/{args.set}/test.jsonl"
    return [args.fewshot, "classify", "--quiet", "--threads", str(args.threads), "--examples", examples, "--input", texts, *options]


def setfit(args, folder):
    script = os.path.join(os.path.dirname(__file__), "setfit_accuracy.py")
    options = ["--model", args.model, "--data", args.data, "--sets", args.set, "--seeds", "1", "--threads", str(args.threads)]
    return [sys.executable, script, *options, "--output", os.path.join(folder, "results.jsonl")]


def timed(command, cache):
    environment = {**os.environ, "FEWSHOT_CACHE": cache}
    start = time.perf_counter()
    subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
