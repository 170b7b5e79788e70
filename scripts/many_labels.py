"""Examples and test texts of many labels: those of several sets together.

    python scripts/many_labels.py --sets SET... --labels 150 --shots 8 --output DIR
    python scripts/many_labels.py --sets SET... --examples 5000 --output DIR

Reads SET/{train,test}.jsonl, writes DIR/few.jsonl and DIR/test.jsonl. A label is the set's name and its
own; those with enough examples and a test text count, in the order of the sets. --examples takes so many
texts as they come, in place of a number for each label.
"""

import argparse
import os
import random

from few_shot import draw, read, write


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", nargs="+", required=True)
    parser.add_argument("--labels", type=int, default=150, help="most labels")
    parser.add_argument("--shots", type=int, default=8)
    parser.add_argument("--examples", type=int)
    parser.add_argument("--texts", type=int, default=2000, help="most test texts")
    parser.add_argument("--output", required=True)
    args = parser.parse_args()
    train, test = together(args.sets, "train"), together(args.sets, "test")
    tested = {row["label"] for row in test}
    counts = {}
    for row in train:
        counts[row["label"]] = counts.get(row["label"], 0) + 1
    enough = [label for label, count in counts.items() if count >= args.shots and label in tested]
    labels = enough[: args.labels]
    train, test = ([row for row in rows if row["label"] in labels] for rows in (train, test))
    rng = random.Random(0)
    few = rng.sample(train, args.examples) if args.examples else draw(train, labels, args.shots, rng)
    os.makedirs(args.output, exist_ok=True)
    write(os.path.join(args.output, "few.jsonl"), few)
    write(os.path.join(args.output, "test.jsonl"), rng.sample(test, min(args.texts, len(test))))
    print(f"{len(labels)} labels, {len(few)} examples")


def together(folders, part):
    names = [os.path.basename(folder.rstrip("/")) for folder in folders]
    sets = [(name, read(folder, part)) for name, folder in zip(names, folders)]
    return [
        {"text": row["text"], "label": f"{name} {row['label']}".replace("_", " ")}
        for name, rows in sets
        for row in rows
    ]


if __name__ == "__main__":
    main()
