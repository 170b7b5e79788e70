"""How many texts `--threshold auto` labels, and how many of the labels are right.

    python scripts/threshold.py --sets DIR … [--shots 8] [--seeds 1] [--share 0.95] [--fewshot PROGRAM] -- --tune off

For each set of DIR/{train,test}.jsonl and each seed, examples are drawn from the training part and the
test part is classified. What stands after `--` goes to `fewshot classify`.
"""

import argparse
import json
import os
import random
import subprocess
import tempfile


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="+", required=True)
    parser.add_argument("--shots", type=int, default=8)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--share", type=float, default=0.95)
    parser.add_argument("--fewshot", default="fewshot")
    parser.add_argument("options", nargs="*")
    args = parser.parse_args()
    print(f"| set | seed | right without a threshold | labelled with auto:{args.share} | right of these |\n|---|---|---|---|---|")
    for folder in args.sets:
        train, test = read(folder, "train"), read(folder, "test")
        for seed in range(args.seeds):
            answers = classify(args, draw(train, args.shots, random.Random(seed)), test)
            given = [(a["label"], row["label"]) for a, row in zip(answers, test) if a["label"] is not None]
            guesses = [max(a["probabilities"], key=a["probabilities"].get) for a in answers]
            right = share(zip(guesses, (row["label"] for row in test)))
            name = os.path.basename(os.path.normpath(folder))
            print(f"| {name} | {seed} | {right} | {100 * len(given) / len(test):.0f} % | {share(given)} |", flush=True)


def share(pairs):
    right = [a == b for a, b in pairs]
    return f"{100 * sum(right) / len(right):.1f} %" if right else "–"


def draw(train, shots, rng):
    examples = []
    for label in sorted({row["label"] for row in train}):
        examples += rng.sample([row for row in train if row["label"] == label], shots)
    return examples


def classify(args, examples, texts):
    with tempfile.TemporaryDirectory() as folder:
        few, new = os.path.join(folder, "few.jsonl"), os.path.join(folder, "new.jsonl")
        write(few, examples)
        write(new, [{"text": row["text"]} for row in texts])
        threshold = ["--threshold", f"auto:{args.share}"]
        command = [args.fewshot, "classify", "-q", "--examples", few, "--input", new, *threshold, *args.options]
        lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return [json.loads(line) for line in lines.splitlines()]


def read(folder, part):
    with open(os.path.join(folder, f"{part}.jsonl"), encoding="utf-8") as file:
        return [json.loads(line) for line in file if line.strip()]


def write(path, rows):
    with open(path, "w", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)


if __name__ == "__main__":
    main()
