"""How well low confidence tells texts of classes that no example has.

    python scripts/out_of_scope.py --set SET --known 20 --shots 8 --seeds 3 [--fewshot PROGRAM] -- --tune off

Some classes of SET/{train,test}.jsonl are known, 8 examples each; the texts of the test part are
classified, half of them of known classes, half of others, and the area under the ROC curve of the
highest probability is printed for each seed, with the accuracy on the known ones. What stands after
`--` goes to `fewshot classify`.
"""

import argparse
import json
import os
import random
import subprocess
import tempfile


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
    examples = []
    for label in sorted(known):
        examples += rng.sample([row for row in train if row["label"] == label], args.shots)
    inside = [row for row in test if row["label"] in known]
    outside = [row for row in test if row["label"] not in known]
    texts = rng.sample(inside, min(args.texts, len(inside)))
    count = len(texts)
    texts += rng.sample(outside, min(args.texts, len(outside)))
    answers = classify(args, examples, texts)
    confidence = [answer["probability"] for answer in answers]
    right = sum(a["label"] == t["label"] for a, t in zip(answers[:count], texts))
    return auroc(confidence[:count], confidence[count:]), right / count


def classify(args, examples, texts):
    with tempfile.TemporaryDirectory() as folder:
        few, new = os.path.join(folder, "few.jsonl"), os.path.join(folder, "new.jsonl")
        write(few, examples)
        write(new, [{"text": row["text"]} for row in texts])
        command = [args.fewshot, "classify", "-q", "--examples", few, "--input", new]
        output = subprocess.run(command + args.options, check=True, capture_output=True, text=True).stdout
    return [json.loads(line) for line in output.splitlines()]


def auroc(high, low):
    """The share of pairs in which the text of a known class is surer; half for equals."""
    wins = sum((a > b) + 0.5 * (a == b) for a in high for b in low)
    return wins / (len(high) * len(low))


def read(folder, part):
    with open(os.path.join(folder, part + ".jsonl"), encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def write(path, rows):
    with open(path, "w", encoding="utf-8") as file:
        for row in rows:
            print(json.dumps({"text": row["text"], **({"label": str(row["label"])} if "label" in row else {})}), file=file)


if __name__ == "__main__":
    main()
