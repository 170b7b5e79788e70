"""What a start from other tasks is worth, one set after the other left out of it.

    python scripts/leave_one_out.py --sets DIR … [--shots 8] [--seeds 3] [--tuned] [--only SET …] [--fewshot PROGRAM]

For each set of DIR/{train,test}.jsonl, `fewshot meta-train` makes a start from the training parts of the
other sets, and `fewshot benchmark` compares classifiers with it and without it on the same draws: with the
encoder not tuned further and, with `--tuned`, tuned too. Printed are the accuracy without, and the
difference in points with its 95 % interval. `--only` names the sets to leave out, if not all.
"""

import argparse
import json
import os
import subprocess
import tempfile

from few_shot import name_of, output_of


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="+", required=True)
    parser.add_argument("--shots", type=int, default=8)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", nargs="+")
    parser.add_argument("--tuned", action="store_true")
    parser.add_argument("--fewshot", default="fewshot")
    args = parser.parse_args()
    kinds = ("off", "6") if args.tuned else ("off",)
    print("| set | --tune | without | with the start | difference |\n|---|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for left_out in args.only or args.sets:
            start = os.path.join(folder, "start.safetensors")
            tasks = [os.path.join(other, "train.jsonl") for other in args.sets if name_of(other) != name_of(left_out)]
            subprocess.run([args.fewshot, "meta-train", "-q", "--tasks", *tasks, "--output", start], check=True)
            for tune in kinds:
                print(row(args, left_out, start, tune), flush=True)
            os.remove(start)


def row(args, folder, start, tune):
    command = [args.fewshot, "benchmark", "-q", "--json", "--sets", folder]
    command += ["--shots", str(args.shots), "--seeds", str(args.seeds)]
    command += ["--config", f"without=--inductive --tune {tune} --start off", "--config", f"with=--inductive --tune {tune} --start {start}"]
    without, with_start = json.loads(output_of(command))["rows"]
    difference = with_start["difference"]
    mean, low, high = (100 * difference[key] for key in ("mean", "low", "high"))
    return f"| {name_of(folder)} | {tune} | {100 * without['mean']:.1f} | {100 * with_start['mean']:.1f} | {mean:+.1f} ({low:+.1f} to {high:+.1f}) |"


if __name__ == "__main__":
    main()
