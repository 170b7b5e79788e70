"""How well low confidence tells texts of classes that no example has.

    python scripts/out_of_scope.py --set SET --known 20 --shots 8 --seeds 3 [--fewshot PROGRAM] -- --tune off

Some classes of SET/{train,test}.jsonl are known, 8 examples each; the texts of the test part are
classified, half of them of known classes, half of others, and the area under the ROC curve of the
highest probability is printed for each seed, with the accuracy on the known ones; and the area of the plain
softmax: nothing learned from the texts, temperature 1. What stands after `--` goes to `fewshot classify`
and `fewshot train`.
"""

import json
import os
import random
import subprocess

from few_shot import classify, draw, files, options, read, rows_of, without_labels


def main():
    parser = options(__doc__, seeds=3)
    parser.add_argument("--set", required=True)
    parser.add_argument("--known", type=int, default=20)
    parser.add_argument("--texts", type=int, default=300)
    args = parser.parse_args()
    train, test = read(args.set, "train"), read(args.set, "test")
    areas, plain_areas = [], []
    for seed in range(args.seeds):
        area, plain_area, accuracy = one(args, train, test, random.Random(seed))
        areas.append(area)
        plain_areas.append(plain_area)
        print(f"seed {seed}: AUROC {area:.3f}, plain softmax {plain_area:.3f}, accuracy on known classes {accuracy:.3f}", flush=True)
    print(f"mean AUROC {sum(areas) / len(areas):.3f}, plain softmax {sum(plain_areas) / len(areas):.3f}")


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
    plain = plain_softmax(args, examples, texts)
    return auroc(confidence[:count], confidence[count:]), auroc(plain[:count], plain[count:]), right / count


def plain_softmax(args, examples, texts):
    """The highest probability of each text at temperature 1, from the examples alone."""
    with files(examples, without_labels(texts)) as (few, new):
        classifier = os.path.join(os.path.dirname(few), "classifier")
        subprocess.run([args.fewshot, "train", "-q", "--examples", few, "--output", classifier, *args.options], check=True)
        answers = rows_of([args.fewshot, "predict", "-q", "--classifier", classifier, "--input", new])
        with open(os.path.join(classifier, "classifier.json"), encoding="utf-8") as file:
            temperature = json.load(file)["calibration"]["temperature"]
    return [highest(answer["probabilities"].values(), temperature) for answer in answers]


def highest(probabilities, temperature):
    """The highest of probabilities that were made at a temperature, at temperature 1."""
    powers = [probability**temperature for probability in probabilities]
    return max(powers) / sum(powers)


def auroc(high, low):
    """The share of pairs in which the text of a known class is surer; half for equals."""
    wins = sum((a > b) + 0.5 * (a == b) for a in high for b in low)
    return wins / (len(high) * len(low))


if __name__ == "__main__":
    main()
