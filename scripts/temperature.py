"""Which temperature a tuned classifier should have, as its examples before the tuning tell.

    python scripts/temperature.py --sets DIR … [--shots 8] [--seeds 2] [--test 300] [--fewshot PROGRAM] -- [OPTIONS]

For each set of DIR/train.jsonl and each seed, examples and, without them, test texts are drawn from the
training part. `fewshot train` tells how hard the examples are: h, the loss of held-out ones before the
tuning divided by that of guessing, at most 1. Printed are the line a·h + b, the logarithm of a temperature,
with the lowest log loss, and for each set, judged by the line of the others: the calibration error and the
log loss with fewshot's own temperature, with that line, and with temperature 1.
"""

import json
import math
import os
import random
import tempfile

from few_shot import draw, name_of, options, read, rows_of, without_labels, write

LINES = [(a / 10, b / 50) for a in range(0, 21) for b in range(-50, 51)]


def main():
    parser = options(__doc__, seeds=2)
    parser.add_argument("--sets", nargs="+", required=True)
    parser.add_argument("--test", type=int, default=300)
    args = parser.parse_args()
    runs = {name_of(folder): [run(args, folder, seed) for seed in range(args.seeds)] for folder in args.sets}
    everything = [one for of_set in runs.values() for one in of_set]
    a, b = best_line(everything)
    print(f"best line of all: exp({a} h + {b})\n\n| set | h | own: error, loss | line of the others | temperature 1 |\n|---|---|---|---|---|")
    totals = []
    for name, of_set in runs.items():
        slope, shift = best_line([one for other, ones in runs.items() if other != name for one in ones])
        ways = [lambda r: r["own"], lambda r: math.exp(slope * r["h"] + shift), lambda r: 1.0]
        figures = [[mean([measure(r, way(r))[part] for r in of_set]) for part in (0, 1)] for way in ways]
        totals.append(figures)
        hardness = ", ".join(f"{r['h']:.2f}" for r in of_set)
        print(f"| {name} | {hardness} | " + " | ".join(f"{100 * e:.1f}, {l:.3f}" for e, l in figures) + " |")
    means = [[mean([f[way][part] for f in totals]) for part in (0, 1)] for way in range(3)]
    print("| *mean* | | " + " | ".join(f"{100 * e:.1f}, {l:.3f}" for e, l in means) + " |")


def run(args, folder, seed):
    """The logits and truths of test texts, and what the examples told."""
    rng = random.Random(seed)
    rows = read(folder, "train")
    labels = sorted({row["label"] for row in rows})
    examples = draw(rows, labels, args.shots, rng)
    taken = {row["text"] for row in examples}
    others = [row for row in rows if row["text"] not in taken]
    test = rng.sample(others, min(args.test, len(others)))
    with tempfile.TemporaryDirectory() as temporary:
        few, new, saved = (os.path.join(temporary, name) for name in ("few.jsonl", "new.jsonl", "saved"))
        write(few, examples)
        write(new, without_labels(test))
        rows_of([args.fewshot, "train", "-q", "--tune", "6", "--examples", few, "--output", saved, *args.options])
        with open(os.path.join(saved, "classifier.json"), encoding="utf-8") as file:
            calibration = json.load(file)["calibration"]
        answers = rows_of([args.fewshot, "predict", "-q", "--classifier", saved, "--input", new])
    own = calibration["temperature"]
    logits = [{label: own * math.log(max(p, 1e-12)) for label, p in answer["probabilities"].items()} for answer in answers]
    hardness = min(1.0, calibration["held_out_loss"] / math.log(len(labels)))
    return {"own": own, "h": hardness, "logits": logits, "truth": [row["label"] for row in test]}


def best_line(runs):
    return min(LINES, key=lambda line: mean([measure(r, math.exp(line[0] * r["h"] + line[1]))[1] for r in runs]))


def measure(run, temperature):
    """The expected calibration error in ten bins, and the log loss."""
    gaps, loss = [0.0] * 10, 0.0
    for logits, truth in zip(run["logits"], run["truth"]):
        most = max(logits.values())
        weights = {label: math.exp((value - most) / temperature) for label, value in logits.items()}
        total = sum(weights.values())
        guess = max(weights, key=weights.get)
        confidence = weights[guess] / total
        gaps[min(9, int(10 * confidence))] += (guess == truth) - confidence
        loss -= math.log(max(weights[truth] / total, 1e-12))
    count = len(run["truth"])
    return sum(map(abs, gaps)) / count, loss / count


def mean(values):
    return sum(values) / len(values)


if __name__ == "__main__":
    main()
