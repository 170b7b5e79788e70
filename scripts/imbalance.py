"""What `--class-weights` does where examples are labelled as they come, not as many of each label.

    python scripts/imbalance.py --sets DIR … [--seeds 5] [--texts 400] [--fewshot PROGRAM] -- --tune off

For each set of DIR/{train,test}.jsonl and each seed, eight examples a label on average are drawn without
regard to their labels, and one more of each label that is then missing; accuracy and macro F1 on texts of
the test part, mean over the seeds, in percent. What stands after `--` goes to `fewshot evaluate`.
"""

import argparse
import json
import os
import random
import subprocess
import tempfile

from few_shot import read, write

KINDS = ("none", "sqrt", "balanced")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="+", required=True)
    parser.add_argument("--shots", type=int, default=8)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--texts", type=int, default=400)
    parser.add_argument("--fewshot", default="fewshot")
    parser.add_argument("options", nargs="*")
    args = parser.parse_args()
    print(f"| set | rarest label | {' | '.join(f'{kind}: accuracy, macro F1' for kind in KINDS)} |")
    means = []
    for folder in args.sets:
        train, test = distinct(read(folder, "train")), distinct(read(folder, "test"))
        runs, rarest = [], []
        for seed in range(args.seeds):
            rng = random.Random(seed)
            examples = as_they_come(train, args.shots, rng)
            labels = [row["label"] for row in examples]
            rarest.append(min(labels.count(label) for label in set(labels)))
            texts = rng.sample(test, min(args.texts, len(test)))
            runs.append([evaluate(args, examples, texts, kind) for kind in KINDS])
        means.append(mean_of(runs))
        name = os.path.basename(os.path.normpath(folder))
        print(f"| {name} | {mean(rarest):.1f} | {cells(means[-1])} |", flush=True)
    print(f"| mean | | {cells(mean_of(means))} |")


def distinct(rows):
    """Some sets have a text twice, with two labels."""
    return list({row["text"].strip(): row for row in rows}.values())


def as_they_come(rows, shots, rng):
    order = rng.sample(rows, len(rows))
    labels = sorted({row["label"] for row in rows})
    drawn = order[: shots * len(labels)]
    missing = [label for label in labels if all(row["label"] != label for row in drawn)]
    return drawn + [next(row for row in order if row["label"] == label) for label in missing]


def evaluate(args, examples, texts, kind):
    """Accuracy and macro F1."""
    with tempfile.TemporaryDirectory() as folder:
        few, test = os.path.join(folder, "few.jsonl"), os.path.join(folder, "test.jsonl")
        write(few, [{"text": row["text"], "label": row["label"]} for row in examples])
        write(test, [{"text": row["text"], "label": row["label"]} for row in texts])
        command = [args.fewshot, "evaluate", "-q", "--json", "--examples", few, "--test", test, "--class-weights", kind]
        output = subprocess.run([*command, *args.options], check=True, stdout=subprocess.PIPE, text=True).stdout
    report = json.loads(output)["report"]
    return report["accuracy"]["value"], report["macro_f1"]["value"]


def mean_of(runs):
    """For each kind, the mean accuracy and the mean macro F1."""
    return [[mean(run[kind][figure] for run in runs) for figure in (0, 1)] for kind in range(len(KINDS))]


def mean(values):
    values = list(values)
    return sum(values) / len(values)


def cells(figures):
    return " | ".join(f"{100 * accuracy:.1f}, {100 * f1:.1f}" for accuracy, f1 in figures)


if __name__ == "__main__":
    main()
