"""What the scripts here share: reading sets, and asking `fewshot classify`."""

import json
import os
import subprocess
import tempfile


def classify(fewshot, examples, texts, options):
    """The answers of one run of the program on rows with `text` and, in the examples, `label`."""
    with tempfile.TemporaryDirectory() as folder:
        few, new = os.path.join(folder, "few.jsonl"), os.path.join(folder, "new.jsonl")
        write(few, [{"text": row["text"], "label": str(row["label"])} for row in examples])
        write(new, [{"text": row["text"]} for row in texts])
        command = [fewshot, "classify", "-q", "--examples", few, "--input", new, *options]
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return [json.loads(line) for line in output.splitlines()]


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
