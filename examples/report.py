"""Collect the records of recipes and ladder in one report that compares each write-up's figures with fastcnn's.

python examples/report.py runs/recipes

The program writes report.md and a folder of figures to the same folder.
"""

import argparse
import json
import shutil
import statistics
import sys
from itertools import groupby
from pathlib import Path

from fastcnn import plotting, training

INTRODUCTIONS = {
    "S0": "LeNet made faster with im2col and `as_strided`",
    "S1": "PyNet's LeNet-5",
    "S2": "a CNN framework in NumPy",
    "S3": "a course report: a CNN against two MLPs",
    "S4": "one convolution, image by image, against PyTorch",
}


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="report.py", description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="the output folder of examples/recipes and examples/ladder")
    folder = parser.parse_args().folder
    records = read(folder)
    if not records:
        parser.exit(2, f"{parser.prog}: {folder} holds no record.json of examples/recipes\n")
    figures = folder / "figures"
    figures.mkdir(exist_ok=True)
    text = report(records, read_json(folder / "ladder.json"), figures)
    (folder / "report.md").write_text(text, encoding="utf-8")
    print(f"Wrote {folder / 'report.md'} and {len(list(figures.iterdir()))} figures.")
    return 0


def read(folder: Path) -> list[dict]:
    """Read all records, sorted by recipe, backend, run and seed; add the folder of each."""
    records = [read_json(path) | {"folder": path.parent} for path in sorted(folder.glob("*/*/*/record.json"))]
    return sorted(records, key=lambda r: (r["settings"]["recipe"], r["environment"]["backend"] == "numpy"))


def read_json(path: Path) -> dict | None:
    """Read a JSON file; None if it does not exist."""
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def report(records: list[dict], ladder: dict | None, figures: Path) -> str:
    """Return the whole report as Markdown."""
    parts = ["# Five write-ups, reproduced", machine(records[0]), overview(records)]
    for recipe, group in groupby(records, lambda record: record["settings"]["recipe"]):
        mine = list(group)
        parts += [f"## {recipe}: {INTRODUCTIONS[recipe]}", "\n".join(f"* {note}" for note in mine[0]["notes"])]
        parts += [claims(mine), *EXTRAS.get(recipe, curves)(mine, figures)]
        if recipe == "S0" and ladder:
            parts += rungs(ladder)
    return "\n\n".join(part for part in parts if part) + "\n"


def machine(record: dict) -> str:
    """Describe the data and the machine."""
    where, data = record["environment"], record["data"]
    source = data["source"].split(" from ")[0]
    return (
        f"{data['training_images']:,} training and {data['test_images']:,} test images ({source}). "
        f"{where['processor']}; Python {where['python']}, NumPy {where['numpy']}, Numba {where['numba']}, fastcnn "
        f"{where['fastcnn']}. Seconds are those of training, without evaluation; the seconds of an epoch are the "
        "median over all epochs. They are too high if other programs were running."
    )


def overview(records: list[dict]) -> str:
    """Return a table of all runs, and the sum of their times."""
    rows = [[
        record["settings"]["recipe"], record["settings"]["name"], str(record["settings"]["seed"]),
        record["environment"]["backend"], str(record["environment"]["threads"]), str(len(record["epochs"])),
        percent(record["figures"]["test_accuracy"]),
        f"{percent(record['figures']['best_test_accuracy'])} ({record['figures']['best_epoch']})",
        f"{record['figures']['seconds_an_epoch']:.2f}", f"{record['figures']['training_gflops']:.1f}",
    ] for record in records]  # fmt: skip
    head = ["", "run", "seed", "backend", "threads", "epochs", "test accuracy", "best (epoch)", "s an epoch", "GFLOP/s"]
    total = sum(record["figures"]["seconds"] for record in records)
    return table(head, rows) + f"\n\nIn all, {total / 60:.0f} minutes of training."


def claims(records: list[dict]) -> str:
    """Return a table with a row for each claim and backend: the write-up's figure and ours, the mean over the seeds."""
    rows = []
    for (backend, _), group in by_run(records):
        seeds = list(group)
        settings, trained = seeds[0]["settings"], len(seeds[0]["epochs"])
        for claim in settings["claims"]:
            ours = [record["figures"][claim["ours"]] for record in seeds]
            short = f", {trained} of {settings['epochs']} epochs" * (trained < settings["epochs"])
            rows.append([claim["row"], claim["what"], backend + short, *compared(claim, ours)])
    return table(["row", "", "backend", "the write-up", "fastcnn", "ratio", "reached"], rows)


def compared(claim: dict, ours: list[float]) -> list[str]:
    """Return the cells of a claim: the write-up's figure, ours, the ratio, and whether ours is at least as good."""
    said, mean = claim["said"], statistics.mean(ours)
    if "accuracy" in claim["ours"]:
        spread = f" ± {100 * statistics.stdev(ours):.2f}" if len(ours) > 1 else ""
        shown, ratio = (percent(said), percent(mean) + spread), f"{100 * (mean - said):+.2f} points"
    else:
        times = said / mean if claim["better"] == "lower" else mean / said
        shown, ratio = (f"{said:,.6g}", f"{mean:,.4g}" if mean < 1000 else f"{mean:,.0f}"), f"{times:,.3g}"
    holds = {"higher": mean >= said, "lower": mean <= said, "equal": mean == said}[claim["better"]]
    return [*shown, "" if claim["better"] == "equal" else ratio, "yes" if holds else "no"]


def by_run(records: list[dict]):
    """Group records by run, with all seeds of a run together."""
    return groupby(records, lambda record: (record["environment"]["backend"], record["settings"]["name"]))


def curves(records: list[dict], figures: Path) -> list[str]:
    """Plot test losses and accuracies of the runs over epochs and time, and the training losses of the log."""
    histories = {name(record): history(record) for record in records if record["environment"]["backend"] == "numba"}
    histories = histories or {name(record): history(record) for record in records}
    recipe = records[0]["settings"]["recipe"]
    return [
        picture(plotting.compare_histories(histories), figures / f"{recipe}-epochs.png", "Test loss and accuracy"),
        picture(log_figure(records), figures / f"{recipe}-training.png", "Training loss"),
    ]


def s3(records: list[dict], figures: Path) -> list[str]:
    """Return the comparison of S3: table, curves, feature maps, filters and the predictions for four digits."""
    best = [record for record in records if record["environment"]["backend"] == "numba"] or records
    rows = [[
        name(record), f"{record['figures']['parameters']:,}", f"{record['figures']['multiply_adds']:,}",
        f"{record['figures']['seconds_an_epoch']:.2f}", *(percent(accuracy_after(record, n)) for n in (1, 5, 30)),
        percent(record["figures"]["test_accuracy"]),
    ] for record in best]  # fmt: skip
    head = ["net", "parameters", "multiply-adds", "s an epoch", *(f"after {n}" for n in (1, 5, 30)), "final"]
    parts = ["### CNN against MLPs", table(head, rows), *curves(records, figures)]
    for record in best:
        if pictures := record.get("pictures"):
            parts.append("### What the CNN sees")
            for title, file in pictures["files"].items():
                shutil.copy(record["folder"] / file, figures / f"S3-{file}")
                parts.append(f"![{title}](figures/S3-{file})")
            pairs = zip(pictures["digits"], pictures["probabilities"], strict=True)
            cells = [[str(digit), *map(percent, probabilities)] for digit, probabilities in pairs]
            parts.append(table(["digit", *map(str, range(10))], cells))
    return parts


def s4(records: list[dict], figures: Path) -> list[str]:
    """Return the comparison of S4 with PyTorch."""
    parts = curves(records, figures)
    for record in records:
        theirs = record.get("pytorch")
        if not theirs:
            continue
        backend, epochs = record["environment"]["backend"], record["epochs"]
        ours, other = record["step_losses"], theirs["step_losses"]
        gap = max(abs(a - b) for a, b in zip(ours[:1000], other[:1000], strict=True))
        rows = [
            [
                f"fastcnn, {backend}",
                median([e["seconds"] for e in epochs]),
                percent(accuracy_after(record, len(epochs))),
            ],
            [f"PyTorch {theirs['version']}", median(theirs["seconds"]), percent(theirs["test_accuracies"][-1])],
        ]
        parts += [
            f"### The same net in PyTorch, and the {backend} backend",
            f"The net, the initial weights, the images and their order are identical; threads: {theirs['threads']} "
            f"each. The losses of the first 1,000 images differ by at most {gap:.1e}.",
            table(["", "seconds an epoch", "test accuracy"], rows),
            picture(
                two_curves(f"fastcnn, {backend}", ours, other),
                figures / f"S4-pytorch-{backend}.png",
                "fastcnn and PyTorch",
            ),
        ]
    return parts


EXTRAS = {"S3": s3, "S4": s4}


def rungs(ladder: dict) -> list[str]:
    """Return the ladders of S0, with the write-up's times in brackets."""
    parts = [f"### Four convolutions and four max-poolings ({ladder['environment']['threads']} threads)"]
    for title, key in (("1→6, 5x5, 16 images of 28x28", "convolutions"), ("2x2, 64 images of 28x28", "poolings")):
        rows = []
        for rung in ladder[key]:
            said = [f" ({number:.3g})" for number in rung["said_ms"] or ()] or ["", ""]
            speed = f"{rung['times_loops']:.3g}" + (f" ({rung['said_times_loops']:.3g})" if rung["said_ms"] else "")
            passes = zip((rung["forward_ms"], rung["backward_ms"]), said, strict=True)
            gflops = f"{rung['gflops']:.3g}" if "gflops" in rung else ""
            rows.append([rung["rung"], *(f"{ms:.3g}{there}" for ms, there in passes), speed, gflops])
        parts.append(f"{key}: {title}; the write-up's figures are in brackets.")
        parts.append(table(["rung", "forward, ms", "backward, ms", "times the loops", "GFLOP/s forward"], rows))
    parts.append(f"Dividing the gradient among ties costs {ladder['ties_cost']:.0%} (the write-up: 40 %; S0-10).")
    return parts


def log_figure(records: list[dict]):
    """Plot the training losses of the first seed of each run, averaged to at most 200 points."""
    figure, axes = frame("training loss", "batches")
    drawn = set()
    for record in records:
        run = record["settings"]["name"]
        if run in drawn or record["environment"]["backend"] != records[0]["environment"]["backend"]:
            continue
        drawn.add(run)
        log, width = record["log"], -(-len(record["log"]) // 200)
        points = [log[i : i + width] for i in range(0, len(log), width)]
        losses = [statistics.mean(line["loss"] for line in point) for point in points]
        axes.plot([point[-1]["steps"] for point in points], losses, label=name(record), linewidth=1.2)
    return finished(figure, axes)


def two_curves(label: str, ours: list[float], theirs: list[float]):
    """Plot the losses of both libraries as means over 1,000 images."""
    figure, axes = frame("training loss, means of 1,000 images", "images")
    for losses, what, style in ((ours, label, "-"), (theirs, "PyTorch", "--")):
        window = min(1000, len(losses))
        means = [statistics.mean(losses[i : i + window]) for i in range(0, len(losses) - window + 1, window)]
        axes.plot([window * (i + 1) for i in range(len(means))], means, style, label=what, linewidth=1.5)
    return finished(figure, axes)


def frame(title: str, x_label: str):
    """Make an empty figure."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3.6), dpi=150, layout="constrained")
    axes = figure.subplots()
    axes.set_title(title, loc="left", fontweight="bold")
    axes.set_xlabel(x_label)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def finished(figure, axes):
    """Make the y axis logarithmic and add a legend."""
    axes.set_yscale("log")
    axes.legend(frameon=False, loc="upper right")
    return figure


def picture(figure, path: Path, title: str) -> str:
    """Write a figure; return its Markdown."""
    figure.savefig(path)
    return f"![{title}](figures/{path.name})"


def history(record: dict) -> training.History:
    """Return the epochs as a History, each with the median time, because the first epoch may include compilation."""
    epochs = [epoch | {"seconds": record["figures"]["seconds_an_epoch"]} for epoch in record["epochs"]]
    return training.History.from_dict({"epochs": epochs, "step_losses": []})


def name(record: dict) -> str:
    """Return the name of a run, with its seed if there are several."""
    settings = record["settings"]
    return settings["name"] + (f", seed {settings['seed']}" if len(settings["seeds"]) > 1 else "")


def accuracy_after(record: dict, epochs: int) -> float:
    """Return the test accuracy after ``epochs`` epochs, or after the last one."""
    return history(record).epochs[min(epochs, len(record["epochs"])) - 1].validation_accuracy


def median(seconds: list[float]) -> str:
    """Format the median of the seconds of the epochs."""
    return f"{statistics.median(seconds):.1f}"


def percent(part: float) -> str:
    """Format a fraction from 0 to 1 in per cent."""
    return f"{part:.2%}".replace("%", " %")


def table(head: list[str], rows: list[list[str]]) -> str:
    """Format a Markdown table with the first column aligned left and the others right."""
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    sys.exit(main())
