"""How many texts `--threshold auto` labels, and how many of the labels are right.

    python scripts/threshold.py --sets DIR … [--shots 8] [--seeds 1] [--share 0.95] [--fewshot PROGRAM] -- --tune off

For each set of DIR/{train,test}.jsonl and each seed, examples are drawn from the training part and the
test part is classified. What stands after `--` goes to `fewshot classify`.
"""

import random

from few_shot import classify, draw, name_of, options, read


def main():
    parser = options(__doc__, seeds=1)
    parser.add_argument("--sets", nargs="+", required=True)
    parser.add_argument("--share", type=float, default=0.95)
    args = parser.parse_args()
    print(f"| set | seed | right without a threshold | labelled with auto:{args.share} | right of these |\n|---|---|---|---|---|")
    for folder in args.sets:
        train, test = read(folder, "train"), read(folder, "test")
        labels = sorted({row["label"] for row in train})
        for seed in range(args.seeds):
            examples = draw(train, labels, args.shots, random.Random(seed))
            threshold = ["--threshold", f"auto:{args.share}"]
            answers = classify(args.fewshot, examples, test, [*threshold, *args.options])
            given = [(a["label"], row["label"]) for a, row in zip(answers, test) if a["label"] is not None]
            guesses = [max(a["probabilities"], key=a["probabilities"].get) for a in answers]
            right = share(zip(guesses, (row["label"] for row in test)))
            print(f"| {name_of(folder)} | {seed} | {right} | {100 * len(given) / len(test):.0f} % | {share(given)} |", flush=True)


def share(pairs):
    right = [a == b for a, b in pairs]
    return f"{100 * sum(right) / len(right):.1f} %" if right else "–"


if __name__ == "__main__":
    main()
