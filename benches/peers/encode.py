"""Texts per second of Python's encoders on the CPU, to stand beside `cargo bench --bench encoder`.

    pip install torch transformers
    python benches/peers/encode.py --model DIR --texts texts.txt [--threads 2] [--runs 5]

PyTorch f32 with transformers, batches of 32 sorted by length, mean pooling; median of the runs.
"""

import argparse
import statistics
import time

import torch
from transformers import AutoModel, AutoTokenizer


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True)
    parser.add_argument("--texts", required=True)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runs", type=int, default=5)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    tokenizer = AutoTokenizer.from_pretrained(args.model)
    model = AutoModel.from_pretrained(args.model).eval()
    with open(args.texts, encoding="utf-8") as file:
        texts = [line for line in file.read().splitlines() if line.strip()]
    times = [encode(tokenizer, model, texts) for _ in range(args.runs + 1)][1:]
    rate = len(texts) / statistics.median(times)
    print(f"torch {torch.__version__} f32: {rate:.1f} texts/s ({len(texts)} texts, {args.threads} threads)")


def encode(tokenizer, model, texts):
    start = time.perf_counter()
    texts = sorted(texts, key=len)
    with torch.inference_mode():
        for at in range(0, len(texts), 32):
            batch = tokenizer(texts[at : at + 32], padding=True, truncation=True, return_tensors="pt")
            hidden = model(**batch).last_hidden_state
            mask = batch["attention_mask"].unsqueeze(-1)
            (hidden * mask).sum(1) / mask.sum(1)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
