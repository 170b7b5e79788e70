"""How well low confidence tells texts of classes that no example has.

    python scripts/out_of_scope.py --set SET --known 20 --shots 8 --seeds 3 [--fewshot PROGRAM] -- --tune off

Some classes of SET/{train,test}.jsonl are known, 8 examples each; the texts of the test part are
classified, half of them of known classes, half of others, and the area under the ROC curve of the
highest probability is printed for each seed, with the accuracy on the known ones. What stands after
`--` goes to `fewshot classify`.
"""

import argparse
import random

from few_shot import classify, draw, read


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--set", required=True)
    parser.add_argument("--known", type=int, default=20)
    parser.add_argument("--shots", type=int, default=8)
    parser.add_argument("--texts", type=int, default=300)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--fewshot", default="fewshot")
    parser.add_argument("options", nargs="*")
    args = parser.parse_args()
    train, test = read(args.set, "train"), read(args.set, "test")
    areas = []
    for seed in range(args.seeds):
        area, accuracy = one(args, train, test, random.Random(seed))
        areas.append(area)
        print(f"seed {seed}: AUROC {area:.3f}, accuracy on known classes {accuracy:.3f}", flush=True)
    print(f"mean AUROC {sum(areas) / len(areas):.3f}")


def one(args, train, test, rng):
    labels = sorted({row["label"] for row in train})
    known = set(rng.sample(labels, args.known))
    examples = draw(train, sorted(known), args.shots, rng)
    inside = [row for row in test if row["label"] in known]
    outside = [row for row in test if row["label"] not in known]
    texts = rng.sample(inside, min(args.texts, len(inside)))
    count = len(texts)
    texts += rng.sample(outside, min(args.texts, len(outside)))
    answers = classify(args.fewshot, examples, texts, args.options)
    confidence = [answer["probability"] for answer in answers]
    right = sum(a["label"] == t["label"] for a, t in zip(answers[:count], texts))
    return auroc(confidence[:count], confidence[count:]), right / count


def auroc(high, low):
    """The share of pairs in which the text of a known class is surer; half for equals."""
    wins = sum((a > b) + 0.5 * (a == b) for a in high for b in low)
    return wins / (len(high) * len(low))


if __name__ == "__main__":
    main()
