"""Train the nets of five write-ups with their settings, and record fastcnn's results.

python examples/recipes --recipe S1 --backend numba --out runs/recipes

A run that was stopped continues after its last epoch. `python examples/report.py runs/recipes` shows all records.
"""

import argparse
import sys
from pathlib import Path

import s0
import s1
import s2
import s3
import s4
from train import load_data, place, train

import fastcnn

RECIPES = {module.RECIPE.name: module.RECIPE for module in (s0, s1, s2, s3, s4)}


def main() -> int:
    """Run the command line; return the exit code: 0, 2 for wrong options, 130 after Ctrl-C."""
    parser = argparse.ArgumentParser(prog="recipes", description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--recipe", choices=(*RECIPES, "all"), default="all", help="default: %(default)s")
    add("--run", metavar="NAME", help="only this run of the recipe, such as cnn of S3")
    add("--backend", choices=("naive", "numpy", "numba"), default="numba", help="backend (default: %(default)s)")
    add("--threads", type=int, metavar="N", help="default: the number of the run, else one for each processor")
    add("--epochs", type=int, metavar="N", help="train for at most N epochs")
    add("--seeds", type=int, metavar="N", help="train with at most N of the recipe's seeds")
    add("--data", type=Path, metavar="DIR", help="MNIST's folder (default: FASTCNN_DATA; else download)")
    add("--out", type=Path, metavar="DIR", default=Path("runs/recipes"), help="default: %(default)s")
    add("--quick", action="store_true", help="two epochs on 256 built-in digits, to check that it works")
    args = parser.parse_args()
    recipes = list(RECIPES.values()) if args.recipe == "all" else [RECIPES[args.recipe]]
    names = [run.name for recipe in recipes for run in recipe.runs]
    if args.run not in (None, *names):
        parser.error(f"--run is {args.run!r}, but the runs are {', '.join(names)}")
    for name in ("epochs", "seeds"):
        if getattr(args, name) is not None and getattr(args, name) < 1:
            parser.error(f"--{name} is {getattr(args, name)} but must be at least 1")
    try:
        fastcnn.set_backend(args.backend)
        threads = fastcnn.get_num_threads()
        if args.threads is not None:
            fastcnn.set_num_threads(args.threads)
        datasets = load_data(args.data, args.quick)
        for recipe in recipes:
            for run in recipe.runs:
                if args.run in (None, run.name):
                    fastcnn.set_num_threads(args.threads or run.threads or threads)
                    go(recipe, run, args, datasets)
    except (ValueError, OSError, FloatingPointError) as error:
        parser.exit(2, f"{parser.prog}: {error}\n")
    return 0


def go(recipe, run, args, datasets) -> None:
    """Train one run with each of its seeds."""
    epochs = min(run.epochs, args.epochs or run.epochs, 2 if args.quick else run.epochs)
    for seed in run.seeds[: args.seeds]:
        print(f"{recipe.name}, {run.name}, seed {seed}, {args.backend}: {epochs} of {run.epochs} epochs", flush=True)
        out = place(args.out, recipe.name, run.name, seed)
        record = train(recipe, run, seed, datasets, out, epochs, args.quick)
        for claim in run.claims:
            print(f"  {claim.row} {claim.what}: {claim.said:g} there, {record['figures'][claim.ours]:.5g} here")


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
