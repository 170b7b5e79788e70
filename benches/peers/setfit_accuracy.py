"""SetFit at its documented defaults on the draws of `fewshot benchmark`, to stand beside it.

    pip install setfit
    python benches/peers/setfit_accuracy.py --model MODEL_DIR --data DATA --sets sst2,cr --seeds 3 --output results.jsonl

Accuracy on the whole test part and the seconds of `Trainer.train` and `predict`. Prints one line
of JSON a fit, and leaves out what --output already holds, so that a run can be cut and resumed.
"""

import argparse
import json
import os
import tempfile
import time

import torch
from datasets import Dataset
from fewshot_random import draw
from setfit import SetFitModel, Trainer, TrainingArguments


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True, help="hub id or folder")
    parser.add_argument("--data", required=True, help="folder with SET/{train,test}.jsonl")
    parser.add_argument("--sets", required=True)
    parser.add_argument("--shots", type=int, default=8)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--output", required=True, help="file that results are added to")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    done = known(args.output)
    for seed in range(args.seeds):
        for name in args.sets.split(","):
            if (name, args.shots, seed) not in done:
                result = {"set": name, "shots": args.shots, "seed": seed, "threads": args.threads}
                result.update(fit_and_test(args, name, seed))
                with open(args.output, "a", encoding="utf-8") as file:
                    print(json.dumps(result), file=file)


def known(path):
    if not os.path.exists(path):
        return set()
    with open(path, encoding="utf-8") as file:
        results = [json.loads(line) for line in file]
    return {(result["set"], result["shots"], result["seed"]) for result in results}


def fit_and_test(args, name, seed):
    texts, labels = read(args, name, "train")
    test_texts, test_labels = read(args, name, "test")
    names = sorted(set(labels))
    rows = draw(labels, args.shots, seed)
    support = Dataset.from_dict(
        {
            "text": [texts[row] for row in rows],
            "label": [names.index(labels[row]) for row in rows],
        }
    )
    model = SetFitModel.from_pretrained(args.model)
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(output_dir=folder, seed=seed, report_to="none", save_strategy="no")
        trainer = Trainer(model=model, args=arguments, train_dataset=support)
        start = time.time()
        trainer.train()
        fit = time.time() - start
    start = time.time()
    given = model.predict(test_texts, show_progress_bar=False)
    predict = time.time() - start
    right = sum(names[int(answer)] == label for answer, label in zip(given, test_labels))
    return {"accuracy": right / len(test_labels), "fit_seconds": fit, "predict_seconds": predict}


def read(args, name, part):
    with open(f"{args.data}/{name}/{part}.jsonl", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    return [row["text"] for row in rows], [str(row["label"]) for row in rows]


if __name__ == "__main__":
    main()
