"""What the scripts here share: their options, reading sets, and asking fewshot."""

import argparse
import contextlib
import json
import os
import subprocess
import tempfile


def options(description, seeds):
    """A parser of the options that are common to draws of few examples."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shots", type=int, default=8)
    parser.add_argument("--seeds", type=int, default=seeds)
    parser.add_argument("--fewshot", default="fewshot")
    parser.add_argument("options", nargs="*")
    return parser


def name_of(folder):
    """The name of a set."""
    return os.path.basename(os.path.normpath(folder))


def classify(fewshot, examples, texts, options):
    """The answers of one run of `fewshot classify` on rows with `text` and, in the examples, `label`."""
    with files(examples, without_labels(texts)) as (few, new):
        return rows_of([fewshot, "classify", "-q", "--examples", few, "--input", new, *options])


@contextlib.contextmanager
def files(*parts):
    """A file of JSON lines for each list of rows."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [os.path.join(folder, f"{number}.jsonl") for number in range(len(parts))]
        for path, rows in zip(paths, parts):
            write(path, rows)
        yield paths


def without_labels(rows):
    return [{"text": row["text"]} for row in rows]


def output_of(command):
    """What a command prints."""
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def rows_of(command):
    """The JSON lines that a command prints."""
    return [json.loads(line) for line in output_of(command).splitlines()]


def read(folder, part):
    """The rows of DIR/train.jsonl or DIR/test.jsonl; labels are strings."""
    with open(os.path.join(folder, f"{part}.jsonl"), encoding="utf-8") as file:
        rows = [json.loads(line) for line in file if line.strip()]
    return [{**row, "label": str(row["label"])} for row in rows]


def draw(rows, labels, shots, rng):
    """`shots` rows of each label."""
    return [row for label in labels for row in rng.sample([r for r in rows if r["label"] == label], shots)]


def write(path, rows):
    with open(path, "w", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
