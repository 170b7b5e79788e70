"""Learning curves of small-text's strategies, to stand beside `fewshot simulate`.

    pip install small-text scikit-learn
    for part in train test; do
        fewshot embed --layers 6-12 --input SET/$part.jsonl --output VECTORS/SET.$part.npy
    done
    python benches/peers/small_text_curves.py --data DATA --vectors VECTORS --sets sst2,cr --seeds 10

The same vectors, pools and tests as `fewshot simulate --seed 0`: the sampling is that of
`Task::sample`. small-text's pool-based learner with its scikit-learn classifier at the documented
default (ConfidenceEnhancedLinearSVC, as in its examples), refitted after each label; before two
classes are known texts are drawn at random and the class of the first label, or 1/classes, is the
answer, as in `fewshot simulate`. Prints the area under each curve (mean test accuracy after label
1 to 60, in points), and writes all areas with --json.
"""

import argparse
import json
import warnings

import numpy as np
from fewshot_random import Random
from small_text import (
    BreakingTies,
    ConfidenceEnhancedLinearSVC,
    EmbeddingKMeans,
    LeastConfidence,
    PoolBasedActiveLearner,
    RandomSampling,
    SklearnClassifierFactory,
    SklearnDataset,
)
from sklearn.exceptions import ConvergenceWarning

STRATEGIES = {
    "random": RandomSampling,
    "least-confidence": LeastConfidence,
    "breaking-ties": BreakingTies,
    "k-means": EmbeddingKMeans,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True, help="folder with SET/{train,test}.jsonl")
    parser.add_argument("--vectors", required=True, help="folder with SET.{train,test}.npy")
    parser.add_argument("--suffix", default="", help="before .npy in the names of the vectors")
    parser.add_argument("--sets", required=True)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--budget", type=int, default=60)
    parser.add_argument("--json")
    args = parser.parse_args()
    warnings.filterwarnings("ignore", category=ConvergenceWarning)
    areas = {}
    for name in args.sets.split(","):
        parts = [read(args, name, part) for part in ("train", "test")]
        names = sorted(set(parts[0][1]) | set(parts[1][1]))
        pool, test = [(x, np.array([names.index(label) for label in y])) for x, y in parts]
        areas[name] = {
            strategy: [
                100 * area(strategy, pool, test, len(names), seed, args.budget)
                for seed in range(args.first_seed, args.first_seed + args.seeds)
            ]
            for strategy in STRATEGIES
        }
        means = {strategy: np.mean(values) for strategy, values in areas[name].items()}
        print(name, *(f"{strategy} {mean:.2f}" for strategy, mean in means.items()), flush=True)
    for strategy in STRATEGIES:
        print("mean", strategy, f"{np.mean([areas[name][strategy] for name in areas]):.2f}")
    if args.json:
        with open(args.json, "w", encoding="utf-8") as file:
            json.dump(areas, file, indent=1)


def read(args, name, part):
    vectors = np.load(f"{args.vectors}/{name}.{part}{args.suffix}.npy")
    with open(f"{args.data}/{name}/{part}.jsonl", encoding="utf-8") as file:
        labels = [str(json.loads(line)["label"]) for line in file]
    return vectors, labels


def area(strategy, pool, test, ways, seed, budget):
    random = Random(seed, "sample")
    rows = random.first(len(pool[1]), 600)
    tests = random.first(len(test[1]), 1000)
    centre = pool[0][rows].mean(axis=0)
    features, truth = unit(pool[0][rows] - centre), pool[1][rows]
    test_features, test_truth = unit(test[0][tests] - centre), test[1][tests]
    np.random.seed(seed)
    curve = labelled_curve(strategy, features, truth, test_features, test_truth, ways, budget)
    return float(np.mean(curve))


def labelled_curve(strategy, features, truth, test_features, test_truth, ways, budget):
    order = np.random.permutation(len(truth))
    count = 1
    curve = []
    # Until a second class is there: texts at random, one class.
    while len(set(truth[order[:count]])) < 2 and count < budget:
        curve.append(np.mean(test_truth == truth[order[0]]))
        count += 1
    start = order[:count]
    dataset = SklearnDataset(features, truth, target_labels=np.arange(ways))
    factory = SklearnClassifierFactory(ConfidenceEnhancedLinearSVC(), ways)
    learner = PoolBasedActiveLearner(factory, make(strategy), dataset)
    learner.initialize_data(start, truth[start])
    curve.append(np.mean(learner.classifier.model.predict(test_features) == test_truth))
    while len(curve) < budget:
        kwargs = {"embeddings": features} if strategy == "k-means" else {}
        asked = learner.query(num_samples=1, query_strategy_kwargs=kwargs)
        learner.update(truth[asked])
        curve.append(np.mean(learner.classifier.model.predict(test_features) == test_truth))
    return curve


def make(strategy):
    return STRATEGIES[strategy]()


def unit(vectors):
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


if __name__ == "__main__":
    main()
