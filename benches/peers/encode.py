"""Texts per second of Python's encoders on the CPU beside fewshot's: same texts, alternating rounds.

    pip install torch transformers onnx onnxscript onnxruntime openvino
    cargo bench --no-run --bench encoder      # names the executable for --fewshot
    python benches/peers/encode.py --model DIR --texts texts.txt \
        [--fewshot target/release/deps/encoder-...] [--threads 2] [--rounds 5] [--only torch-f32,fewshot-bf16]

All encode with the last layer and mean pooling, tokenising included. The peers get batches of 32
sorted by length, padded; fewshot makes its own batches. A round runs each encoder once over all
texts, then once over each of the first 20 texts alone; the medians of the rounds are printed, and
cosines to PyTorch f32. DIR is a folder with config.json, tokenizer.json and model.safetensors.
"""

import argparse
import os
import statistics
import subprocess
import tempfile
import time

import numpy as np
import onnxruntime
import openvino
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic
from transformers import AutoModel, AutoTokenizer

BATCH = 32
ALONE = 20


class Peer:
    """An encoder in this process; `forward` takes numpy ids and mask and gives the hidden state."""

    def __init__(self, tokenizer, forward):
        self.tokenizer, self.forward = tokenizer, forward

    def encode(self, texts):
        order = sorted(range(len(texts)), key=lambda at: len(texts[at]))
        vectors = [None] * len(texts)
        for at in range(0, len(texts), BATCH):
            places = order[at : at + BATCH]
            batch = self.tokenizer([texts[place] for place in places], padding=True, truncation=True, return_tensors="np")
            mask = batch["attention_mask"]
            hidden = self.forward(batch["input_ids"], mask)
            pooled = (hidden * mask[..., None]).sum(1) / mask.sum(1)[:, None]
            for place, vector in zip(places, pooled):
                vectors[place] = vector
        return np.stack(vectors)

    def seconds(self, texts):
        start = time.perf_counter()
        self.encode(texts)
        whole = time.perf_counter() - start
        return whole, [timed(lambda: self.encode([text])) for text in texts[:ALONE]]


class Fewshot:
    """`benches/encoder.rs --serve`, a process that waits to be told to run."""

    def __init__(self, args, precision):
        command = [args.fewshot, "--serve", "--texts", args.texts, "--model", args.model, "--precision", precision]
        environment = {**os.environ, "RAYON_NUM_THREADS": str(args.threads)}
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment)

    def ask(self, what):
        print(what, file=self.process.stdin, flush=True)
        return self.process.stdout.readline().split()

    def encode(self, texts):
        with tempfile.NamedTemporaryFile() as file:
            self.ask(file.name)
            return np.fromfile(file.name, dtype="<f4").reshape(len(texts), -1)

    def seconds(self, _texts):
        whole, *alone = map(float, self.ask("run"))
        return whole, alone


def timed(work):
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def torch_forward(model):
    def forward(ids, mask):
        with torch.inference_mode():
            hidden = model(input_ids=torch.from_numpy(ids), attention_mask=torch.from_numpy(mask))
            return hidden.last_hidden_state.float().numpy()

    return forward


class Hidden(torch.nn.Module):
    """Only what is asked for, so that an exported graph computes nothing else."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, input_ids, attention_mask):
        return self.model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state


def export(model, path):
    shape = {0: torch.export.Dim("batch"), 1: torch.export.Dim("tokens", max=500)}
    example = torch.randint(5, 1000, (2, 7))
    torch.onnx.export(
        Hidden(model), (example, torch.ones_like(example)), path, dynamo=True, external_data=False,
        input_names=["input_ids", "attention_mask"], output_names=["hidden"],
        dynamic_shapes={"input_ids": shape, "attention_mask": shape},
    )  # fmt: skip


def onnx_forward(path, threads):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda ids, mask: session.run(["hidden"], {"input_ids": ids, "attention_mask": mask})[0]


def openvino_forward(path, threads, precision):
    options = {"INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1, "INFERENCE_PRECISION_HINT": precision}
    compiled = openvino.Core().compile_model(path, "CPU", options)
    return lambda ids, mask: compiled({"input_ids": ids, "attention_mask": mask})[0]


def peers(args, folder):
    tokenizer = AutoTokenizer.from_pretrained(args.model)
    load = lambda: AutoModel.from_pretrained(args.model).eval()
    wanted = lambda name: not args.only or name in args.only.split(",")
    encoders = {"torch-f32": lambda: Peer(tokenizer, torch_forward(load()))}
    encoders["torch-bf16"] = lambda: Peer(tokenizer, torch_forward(load().to(torch.bfloat16)))
    plain, small = f"{folder}/f32.onnx", f"{folder}/int8.onnx"
    if any(wanted(name) for name in ["onnx-f32", "onnx-int8", "openvino-f32", "openvino-bf16"]):
        export(AutoModel.from_pretrained(args.model, attn_implementation="eager").eval(), plain)
    if wanted("onnx-int8"):
        quantize_dynamic(plain, small, weight_type=QuantType.QInt8)
    encoders["onnx-f32"] = lambda: Peer(tokenizer, onnx_forward(plain, args.threads))
    encoders["onnx-int8"] = lambda: Peer(tokenizer, onnx_forward(small, args.threads))
    encoders["openvino-f32"] = lambda: Peer(tokenizer, openvino_forward(plain, args.threads, "f32"))
    encoders["openvino-bf16"] = lambda: Peer(tokenizer, openvino_forward(plain, args.threads, "bf16"))
    if args.fewshot:
        for precision in ["f32", "bf16", "int8"]:
            encoders[f"fewshot-{precision}"] = lambda precision=precision: Fewshot(args, precision)
    return {name: make() for name, make in encoders.items() if wanted(name) or name == "torch-f32"}


def cosines(a, b):
    return (a * b).sum(1) / np.sqrt((a * a).sum(1) * (b * b).sum(1))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--texts", required=True)
    parser.add_argument("--fewshot")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    with open(args.texts, encoding="utf-8") as file:
        texts = [line for line in file.read().splitlines() if line.strip()]
    with tempfile.TemporaryDirectory() as folder:
        encoders = peers(args, folder)
        vectors = {name: encoder.encode(texts) for name, encoder in encoders.items()}
        rounds = [{name: encoder.seconds(texts) for name, encoder in encoders.items()} for _ in range(args.rounds)]
    versions = f"torch {torch.__version__}, onnxruntime {onnxruntime.__version__}, openvino {openvino.__version__}"
    print(f"{len(texts)} texts, {args.threads} threads, medians of {args.rounds} rounds; {versions}")
    print("| | texts/s | of torch-f32 | one text, ms | cosine, mean | cosine, worst |\n|---|---|---|---|---|---|")
    for name in encoders:
        rate = len(texts) / statistics.median(one[name][0] for one in rounds)
        ratio = statistics.median(one["torch-f32"][0] / one[name][0] for one in rounds)
        alone = 1000 * statistics.median(second for one in rounds for second in one[name][1])
        cosine = cosines(vectors[name], vectors["torch-f32"])
        print(f"| {name} | {rate:.1f} | {ratio:.2f} | {alone:.1f} | {cosine.mean():.5f} | {cosine.min():.5f} |")


if __name__ == "__main__":
    main()
