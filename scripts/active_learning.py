"""The tables of docs/active-learning.md: the agent on sets whose families it has not seen.

    python3 scripts/active_learning.py --data DATA --out OUT [--seeds 50] [--rollouts 40000] [-- --start off]

DATA holds a folder with train.jsonl and test.jsonl for each set. For each family the agent is
trained on all other families, then `fewshot simulate` runs on the family's sets, both with the options
behind `--`. Prints markdown;
OUT keeps policies and documents, and what is there is not made again.
"""

import argparse
import json
import math
import os
import statistics
import subprocess

FAMILIES = {
    "reviews": ["sst2", "cr", "subj", "sst5"],
    "questions": ["trec6"],
    "news": ["ag_news"],
    "emotions": ["emotion", "tweet_eval_emotion"],
    "finance": ["financial_phrasebank"],
    "intents": ["snips", "xsid_en", "banking77"],
    "counterfactuals": ["amazon_counterfactual_en"],
    "programming": ["stackoverflow"],
    "spam": ["sms_spam"],
    "hate": ["hate_davidson"],
}
OTHERS = "random,margin,typical,rep,urep,focus,uted,uniform,rep>8>uted"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument("--first-seed", type=int, default=1000)
    parser.add_argument("--rollouts", type=int, default=40000)
    parser.add_argument("--fewshot", default="fewshot")
    parser.add_argument("options", nargs="*")
    args = parser.parse_args()
    os.makedirs(args.out, exist_ok=True)
    sets = {}
    for family, names in FAMILIES.items():
        for row in document(args, family, names)["sets"]:
            sets[row["name"]] = {s["strategy"]: s for s in row["strategies"]}
    table(sets)


def document(args, family, names):
    policy, result = (f"{args.out}/{family}.{end}.json" for end in ("policy", "curves"))
    folders = {name: f"{args.data}/{name}" for group in FAMILIES.values() for name in group}
    others = [folders[name] for name in folders if name not in names]
    if not os.path.exists(policy):
        run(args, "policy", "train", "--tasks", *others, "--output", policy, "--rollouts", args.rollouts, *args.options)
    if not os.path.exists(result):
        text = run(
            args, "simulate", "--sets", *(folders[name] for name in names), "--policy", policy,
            "--strategies", f"q-learning,{OTHERS}", "--seeds", args.seeds, "--seed", args.first_seed,
            "--json", *args.options,
        )  # fmt: skip
        with open(result, "w", encoding="utf-8") as file:
            file.write(text)
    with open(result, encoding="utf-8") as file:
        return json.load(file)


def run(args, *words):
    done = subprocess.run([args.fewshot, *map(str, words)], check=True, capture_output=True, text=True)
    return done.stdout


def table(sets):
    others = OTHERS.split(",")
    print("| set | q-learning | " + " | ".join(others) + " | reached |")
    print("|---" * (len(others) + 3) + "|")
    runs = {other: [] for other in others}
    means = {other: [] for other in others}
    reached = []
    for name, rows in sets.items():
        own = rows["q-learning"]
        cells = []
        for other in others:
            differences = [100 * (a - b) for a, b in zip(own["areas"], rows[other]["areas"])]
            runs[other] += differences
            means[other].append(sum(differences) / len(differences))
            cells.append(f"{means[other][-1]:+.2f}")
        goal = rows["random"]["mean_curve"][-1]
        reached.append(next((at + 1 for at, share in enumerate(own["mean_curve"]) if share >= goal), None))
        cells.append(str(reached[-1] or "never"))
        print(f"| {name} | {100 * own['area']['mean']:.2f} | " + " | ".join(cells) + " |")
    print("| mean | | " + " | ".join(f"{mean(means[o]):+.2f}" for o in others) + " | |")
    print("| ± over runs | | " + " | ".join(f"{half(runs[o], 1.96):.2f}" for o in others) + " | |")
    student = {9: 2.26, 10: 2.23, 14: 2.14, 15: 2.13, 16: 2.12}.get(len(sets) - 1, 2.2)
    print("| ± over sets | | " + " | ".join(f"{half(means[o], student):.2f}" for o in others) + " | |")
    median = statistics.median(at or 61 for at in reached)
    print(f"\nlabels to random's accuracy at 60, median over the sets: {median:g}")
    print("\n| labels | " + " | ".join(["q-learning", *others]) + " |\n" + "|---" * (len(others) + 2) + "|")
    for labels in (8, 16, 32, 60):
        at = [mean([rows[o]["mean_curve"][labels - 1] for rows in sets.values()]) for o in ["q-learning", *others]]
        print(f"| {labels} | " + " | ".join(f"{100 * share:.1f}" for share in at) + " |")


def mean(values):
    return sum(values) / len(values)


def half(values, quantile):
    middle = mean(values)
    variance = sum((value - middle) ** 2 for value in values) / (len(values) - 1)
    return quantile * math.sqrt(variance / len(values))


if __name__ == "__main__":
    main()
