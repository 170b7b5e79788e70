"""Whether synthetic examples made from the few real ones help: logistic regression on fewshot's vectors.

    pip install scikit-learn
    python scripts/augmentation.py --sets SET... --shots 8 --seeds 10 [--fewshot PROGRAM] [-- OPTIONS]

For each set (SET/{train,test}.jsonl) and draw, accuracy without synthetic examples and, paired, the
difference that each kind makes: in embedding space `mixup` (Zhang et al. 2018: two examples and their
labels blended), `within` (two examples of one label blended) and `noise`; in text space `drop` (a fifth
of the words left out) and `wrap` (put in other words' frames). Each example's synthetic ones count
together as much as it does itself (--weight). The labels' names are prior examples, as in fewshot. What
stands after `--` goes to `fewshot embed`.
"""

import argparse
import os
import random
import subprocess
import tempfile

import numpy as np
from few_shot import draw, name_of, read, write
from sklearn.linear_model import LogisticRegression

KINDS = ["mixup", "within", "noise", "drop", "wrap"]
FRAMES = ["Somebody wrote: {}", "{} That is what it says.", "This is about the following: {}", '"{}"']


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", nargs="+", required=True)
    parser.add_argument("--shots", type=int, default=8)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--copies", type=int, default=4, help="synthetic examples of each example")
    parser.add_argument("--weight", type=float, default=1.0)
    parser.add_argument("--fewshot", default="fewshot")
    parser.add_argument("options", nargs="*")
    args = parser.parse_args()
    gains = {kind: [] for kind in KINDS}
    for folder in args.sets:
        base, differences = one_set(args, folder)
        told = "  ".join(f"{kind} {interval(differences[kind])}" for kind in KINDS)
        print(f"{name_of(folder)}: {100 * np.mean(base):.1f}  {told}", flush=True)
        for kind in KINDS:
            gains[kind].append(np.mean(differences[kind]))
    print("all sets:", "  ".join(f"{kind} {interval(gains[kind])}" for kind in KINDS))


def interval(values):
    """Mean and half of the normal 95 % interval, in points."""
    half = 1.96 * np.std(values, ddof=1) / len(values) ** 0.5 if len(values) > 1 else float("nan")
    return f"{100 * np.mean(values):+.1f}±{100 * half:.1f}"


def one_set(args, folder):
    train, test = read(folder, "train"), read(folder, "test")
    labels = sorted({row["label"] for row in train})
    draws = [draw(train, labels, args.shots, random.Random(seed)) for seed in range(args.seeds)]
    texts = [row["text"] for rows in draws for row in rows]
    rng = random.Random(0)
    dropped = [drop(text, rng) for text in texts for _ in range(args.copies)]
    wrapped = [rng.choice(FRAMES).format(text) for text in texts for _ in range(args.copies)]
    parts = [texts, dropped, wrapped, [label.replace("_", " ") for label in labels]]
    vectors, dropped, wrapped, names, tested = embed(args, [*parts, [row["text"] for row in test]])
    truth = np.array([labels.index(row["label"]) for row in test])
    count = len(draws[0])
    base, differences = [], {kind: [] for kind in KINDS}
    for seed, rows in enumerate(draws):
        own = slice(seed * count, (seed + 1) * count)
        many = slice(own.start * args.copies, own.stop * args.copies)
        classes = np.array([labels.index(row["label"]) for row in rows])
        task = Task(vectors[own], classes, names, tested, truth)
        rng = np.random.default_rng(seed)
        ways = {kind: synthetic(kind, task, args.copies, rng) for kind in ["mixup", "within", "noise"]}
        of_texts = np.repeat(np.eye(len(labels))[classes], args.copies, axis=0)
        ways["drop"] = (task.seen(dropped[many]), of_texts)
        ways["wrap"] = (task.seen(wrapped[many]), of_texts)
        base.append(task.accuracy(None, 0))
        for kind in KINDS:
            weight = args.weight / args.copies
            differences[kind].append(task.accuracy(ways[kind], weight) - base[-1])
    return base, differences


class Task:
    """One draw: the examples, the names and the test texts, centred and of length 1."""

    def __init__(self, examples, classes, names, tested, truth):
        means = [examples[classes == one].mean(axis=0) for one in range(len(names))]
        self.centre = np.mean(means, axis=0)
        self.examples, self.classes = self.seen(examples), classes
        self.names, self.tested, self.truth = self.seen(names), self.seen(tested), truth

    def seen(self, vectors):
        vectors = vectors - self.centre
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    def accuracy(self, more, weight):
        ways = len(self.names)
        features = [self.examples, self.names]
        targets = [np.eye(ways)[self.classes], np.eye(ways)]
        if more is not None:
            features.append(more[0])
            targets.append(weight * more[1])
        features, targets = np.concatenate(features), np.concatenate(targets)
        # A soft target is one row for each class that it has a share of.
        rows, columns = np.nonzero(targets)
        fitted = LogisticRegression(C=10.0, max_iter=500)
        fitted.fit(features[rows], columns, sample_weight=targets[rows, columns])
        return np.mean(fitted.predict(self.tested) == self.truth)


def synthetic(kind, task, copies, rng):
    """Vectors and soft targets made from the examples' vectors."""
    first = np.repeat(np.arange(len(task.classes)), copies)
    targets = np.eye(len(task.names))[task.classes]
    if kind == "noise":
        noise = rng.normal(size=(len(first), task.examples.shape[1]))
        noise *= 0.5 / np.linalg.norm(noise, axis=1, keepdims=True)
        return unit(task.examples[first] + noise), targets[first]
    if kind == "within":
        second = np.array([rng.choice(np.flatnonzero(task.classes == task.classes[at])) for at in first])
        share = rng.uniform(size=(len(first), 1))
    else:
        second = rng.integers(len(task.classes), size=len(first))
        share = rng.beta(0.4, 0.4, size=(len(first), 1))
    blend = share * task.examples[first] + (1 - share) * task.examples[second]
    return unit(blend), share * targets[first] + (1 - share) * targets[second]


def unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def drop(text, rng):
    words = text.split()
    kept = [word for word in words if rng.random() > 0.2]
    return " ".join(kept) or text


def embed(args, parts):
    """The vectors of each part, by one run of the program."""
    with tempfile.TemporaryDirectory() as folder:
        texts, vectors = os.path.join(folder, "texts.jsonl"), os.path.join(folder, "vectors.npy")
        write(texts, [{"text": text} for part in parts for text in part])
        command = [args.fewshot, "embed", "-q", "--layers", "6-12", "--input", texts, "-o", vectors]
        subprocess.run([*command, *args.options], check=True)
        rows = np.load(vectors)
    ends = np.cumsum([len(part) for part in parts])
    return np.split(rows, ends[:-1])


if __name__ == "__main__":
    main()
