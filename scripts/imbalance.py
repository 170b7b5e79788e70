"""What `--class-weights` does where examples are labelled as they come, not as many of each label.

    python scripts/imbalance.py --sets DIR … [--seeds 5] [--texts 400] [--fewshot PROGRAM] -- --tune off

For each set of DIR/{train,test}.jsonl and each seed, eight examples a label on average are drawn without
regard to their labels, and one more of each label that is then missing; accuracy and macro F1 on texts of
the test part, mean over the seeds, in percent. What stands after `--` goes to `fewshot evaluate`.
"""

import json
import random

from few_shot import files, name_of, options, output_of, read

KINDS = ("none", "sqrt", "balanced")


def main():
    parser = options(__doc__, seeds=5)
    parser.add_argument("--sets", nargs="+", required=True)
    parser.add_argument("--texts", type=int, default=400)
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
        print(f"| {name_of(folder)} | {mean(rarest):.1f} | {cells(means[-1])} |", flush=True)
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
    with files(examples, texts) as (few, test):
        command = [args.fewshot, "evaluate", "-q", "--json", "--examples", few, "--test", test]
        output = output_of([*command, "--class-weights", kind, *args.options])
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
