# ruff: noqa: E501  a changed line is not wrapped
"""Change one line of fastcnn at a time and check that tests fail: this shows that the tests can detect faults.

python tests/mutants.py [WORD ...] runs all mutants, or those whose file name contains one of the words. Each mutant is
made in a copy of the tree. The tests named with it must fail on the mutant and pass on the unchanged copy. The program
prints a table; its exit code is 1 if a mutant survives or the line that it changes no longer exists.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
TIMEOUT = 900  # seconds; tests that hang have detected the mutant, too
NUMBA = "backends/numba_direct/"


class Mutant(NamedTuple):
    """A line of a file in fastcnn/, its replacement, and the tests that should detect it."""

    file: str
    old: str
    new: str
    tests: str  # arguments of pytest, separated by |


FUSED = "tests/test_nn.py::test_fused_neighbours_change_no_bit|-k|numba and float32 and "
MUTANTS = [
    Mutant(NUMBA + "kernels/correlate.py", "offset = (start + before - first * dilation)", "offset = (start - first * dilation)",
           "tests/test_conv.py::test_backward_with_stride_and_padding_by_hand[numba-float32]"),
    Mutant(NUMBA + "kernels/correlate.py", "if a.relu and c + a.chunk >= C:", "if a.relu and c == 0:",
           FUSED + "after"),
    Mutant(NUMBA + "kernels/correlate.py", "for kx in range(KW) if 0 <= ox * k", "for kx in range(KW) if -1 <= ox * k",
           "tests/test_conv.py::test_backward_with_stride_and_padding_by_hand[numba-float32]|tests/test_conv.py::test_agrees_with_naive|-k|numba-float32"),
    Mutant(NUMBA + "kernels/depthwise.py", "oy = row + whole if row >= top else row", "oy = row",
           "tests/test_conv.py::test_agrees_with_naive|-k|numba-float32"),
    Mutant(NUMBA + "runtime/chains.py", "not (self.writes & (other.reads | other.writes) or other.writes & self.reads)",
           "not self.writes & (other.reads | other.writes)", "tests/test_chains.py|-k|stays_in_order"),
    Mutant(NUMBA + "normalization.py", '@kernel(writes="dx")', '@kernel(writes="")', "tests/test_chains.py|-k|bits or needs"),
    Mutant(NUMBA + "runtime/program.py", "            place(lifetimes)", "            pass", "tests/test_chains.py|-k|bits"),
    Mutant(NUMBA + "kernels/outer.py", "for part in range(1, parts):\n            dweight", "for part in range(2, parts):\n            dweight",
           "tests/test_conv.py::test_agrees_with_naive[numba-float32-beyond two batch blocks]"),
    Mutant(NUMBA + "kernels/outer.py", "if tap_chunk == 0:", "if tap_chunk < 0:",
           "tests/test_conv.py::test_backward_with_stride_and_padding_by_hand[numba-float32]"),
    Mutant(NUMBA + "kernels/winograd.py", "if not tile_is_finite(out):", "if False:", "tests/test_winograd.py|-k|not_finite"),
    Mutant(NUMBA + "kernels/winograd.py", "down * SIDE - oy, right * SIDE - ox", "0, 0", "tests/test_winograd.py|-k|threads_and_batches"),
    Mutant(NUMBA + "kernels/winograd_gradient.py", "count = a.images if", "count = L if", "tests/test_winograd.py|-k|lanes_without"),
    Mutant(NUMBA + "kernels/winograd_gradient.py", "for part in range(parts):\n                at =", "for part in range(1):\n                at =",
           "tests/test_winograd.py|-k|many and panels"),
    Mutant("nn/recording.py", "(get_convolution(), model", "(model", "tests/test_winograd.py|-k|models_follow"),
    Mutant("training/train_step.py", "            self.optimizer._count(made.places)\n        return y",
           "        self.optimizer._count(made.places)\n        return y", "tests/test_train_step.py|-k|not_finite"),
    Mutant(NUMBA + "runtime/launch.py", "        if read(failed) != 0:\n            break", "        pass", "tests/test_train_step.py|-k|not_finite"),
    Mutant(NUMBA + "kernels/padding.py", "min(max(0, -ix), columns)", "0",
           "tests/test_conv.py::test_backward_with_stride_and_padding_by_hand[numba-float32]"),
    Mutant(NUMBA + "pooling.py", "np.minimum(first + taps, extent + after) - first", "np.minimum(first + taps, extent) - first",
           "tests/test_pooling.py::test_avg_pool_by_hand|-k|numba-float32"),
    Mutant(NUMBA + "pooling.py", "(np.minimum(last, extent - 1) - first) // step + 1", "(last - first) // step + 1",
           "tests/test_pooling.py::test_max_pool_by_hand|-k|numba-float32"),
    Mutant(NUMBA + "simd/tile.py", "return self.builder.or_(greater, nan)", "return greater",
           "tests/test_pooling.py::test_max_pool_by_hand|-k|numba-float32"),
    Mutant(NUMBA + "pooling.py", "if place >= 0 else dy.dtype.type(0)", "if place >= -1 else dy.dtype.type(0)",
           FUSED + "overlapping"),
    Mutant(NUMBA + "simd/tile.py", "return self.builder.select(negative, zero, vector), negative",
           "return vector, negative", FUSED + "fully"),
    Mutant(NUMBA + "pooling.py", "np.transpose(spans) - [[0], [1]]", "np.transpose(spans) - [[0], [0]]",
           "tests/test_adaptive_pooling.py::test_max_by_hand|-k|numba-float32"),
    Mutant(NUMBA + "normalization.py", "square -= total * total / count", "pass",
           "tests/test_batch_norm.py::test_variance_of_numbers_whose_mean_is_no_float32[numba]"),
    Mutant(NUMBA + "normalization.py", "blocks, images = 1, N % L", "blocks, images = 1, L",
           "tests/test_batch_norm.py::test_training_by_hand[numba-float32]"),
    Mutant(NUMBA + "class_losses.py", "largest[i] = x[start + i * step]", "largest[i] = 0",
           "tests/test_losses.py::test_cross_entropy_by_hand|-k|numba-float32"),
    Mutant(NUMBA + "class_losses.py", "dx[start + k * a.class_step + i * step] = weights", "dx[start + i * step] = weights",
           "tests/test_losses.py::test_cross_entropy_backward_by_hand[numba-float32]"),
    Mutant(NUMBA + "losses.py", "dx[i] * dy[i] if dy[i] != 0 else 0", "dx[i] * dy[i]",
           "tests/test_losses.py::test_losses_one_by_one_by_hand|-k|numba-float32"),
    Mutant(NUMBA + "losses.py", "min((task + 1) * PIECE, x.size)", "min(PIECE, x.size)",
           "tests/test_losses.py::test_losses_agree_with_naive|-k|numba-float32 and several"),
    Mutant(NUMBA + "kernels/exp.py", "large = small + abs(x)", "large = abs(x)",
           "tests/test_losses.py::test_losses_one_by_one_by_hand|-k|numba-float32"),
    Mutant(NUMBA + "optim.py", "step = step + momentum * velocity[i] if nesterov else velocity[i]", "step = velocity[i]",
           "tests/test_optim.py::test_two_steps_by_hand|-k|numba and Nesterov"),
    Mutant(NUMBA + "optim.py", "min(start + _CHUNK, sizes[k])", "min(start + _CHUNK, sizes[k] - 1)",
           "tests/test_optim.py::test_two_steps_by_hand|-k|numba and SGD"),
    Mutant(NUMBA + "group_norm.py", "statistics[near + L + lane] = mean", "statistics[near + L + lane] = 0",
           "tests/test_group_norm.py::test_numbers_around_ten_thousand_lose_nothing|-k|numba"),
    Mutant(NUMBA + "group_norm.py", "images = min(L, N - block * L)", "images = L",
           "tests/test_contracts.py::test_backends_keep_their_contract|-k|numba-group_norm"),
    Mutant(NUMBA + "activations.py", "out[i] = 0 if y[i] <= 0 else dy[i]", "out[i] = 0 if y[i] < 0 else dy[i]",
           "tests/test_activations.py::test_backward_by_hand|-k|numba-float32-relu"),
    Mutant(NUMBA + "kernels/exp.py", "_LAST_POWER = {np.float32: 7,", "_LAST_POWER = {np.float32: 4,",
           "tests/test_exp.py::test_they_are_right_to_the_last_places|-k|float32"),
    Mutant(NUMBA + "runtime/memory.py", "return unused.pop()", "return unused[-1]", "tests/test_memory.py"),
    Mutant(NUMBA + "runtime/memory.py", "        self.shelf.clear(self)\n", "        pass\n", "tests/test_memory.py|-k|pool"),
    Mutant(NUMBA + "runtime/arguments.py", '">", index, last)', '">", index, size)',
           "tests/test_guard_bands.py::test_bounds_are_checked_where_numba_is_told_to"),
    Mutant(NUMBA + "runtime/cache.py", "== (self._source_stamp, key) else None", "!= () else None",
           "tests/test_cache.py|-k|index_says"),
    Mutant("backends/numpy_im2col/optim.py", "1 - beta2**step", "1 - beta2",
           "tests/test_optim.py::test_two_steps_by_hand|-k|numpy"),
    Mutant("nn/fusion.py", "units.append(ConvMaxPool(rest.pop(0), rest.pop(1), relu=True))",
           "units.append(ConvMaxPool(rest.pop(0), rest.pop(1), relu=False))",
           "tests/test_nn.py::test_fused_neighbours_change_no_bit|-k|numpy and float32 and C1"),
    Mutant("nn/calls.py", "self.twin: Any = _twin(layer)", "self.twin: Any = layer",
           "tests/test_calls.py|-k|numpy"),
    Mutant("nn/calls.py", "if _form(dy) != call.y:", "if False:", "tests/test_calls.py|-k|numpy"),
    Mutant("nn/calls.py", "        _write_back(call.twin, self)\n        if _running.kept:", "        if _running.kept:",
           "tests/test_calls.py|-k|numpy"),
    Mutant("nn/calls.py", "return inside[-1] if", "return inside[0] if", "tests/properties/test_programs.py|-k|numpy"),
    Mutant("nn/module.py", "        self._last = None  #", "        #", "tests/test_calls.py|-k|numpy and failed"),
    Mutant("nn/recording.py", "items() if name not in _HARMLESS", "items() if False",
           "tests/test_recording.py|-k|mixin or property"),
    Mutant("nn/recording.py", "self._now(model) == self._versions", "True",
           "tests/test_recording.py::test_a_change_is_seen|-k|attribute"),
    Mutant("nn/recording.py", "found is None or not found.is_free()", "found is None",
           "tests/test_recording.py::test_a_stretch_that_is_called_twice_remembers_both_calls"),
    Mutant(NUMBA + "one_image/convolution.py", "w.DW) * width + c % width", "w.DW) * width",
           "tests/test_one_image.py|-k|conv2d"),
    Mutant(NUMBA + "one_image/convolution.py", "iy = oy - top", "iy = oy",
           "tests/test_one_image.py|-k|conv2d"),
    Mutant(NUMBA + "one_image/convolution.py", "block = task // H * L", "block = 0",
           "tests/test_inference.py|-k|bit_for_bit and batch and norm"),
    Mutant(NUMBA + "one_image/__init__.py", "if C % L and channels > C:", "if False:",
           "tests/test_one_image.py|-k|resize_channels"),
    Mutant(NUMBA + "one_image/__init__.py", "if any(other.maps != x.maps for other in others):", "if False:",
           "tests/test_inference.py|-k|rows and two and ways"),
    Mutant(NUMBA + "inference.py", "if backend.largest < _WORTH_THREADS:", "if False:",
           "tests/test_inference.py|-k|small_layers"),
    Mutant(NUMBA + "runtime/program.py", "fixed = [*outputs, *map(buffers.find, recorder.called)]", "fixed = outputs", "tests/test_chains.py|-k|bits"),
    Mutant(NUMBA + "runtime/program.py", "elif array.flags.writeable:", "elif False:",
           "tests/test_kernels.py|-k|what_numpy_computed"),
    Mutant("functional/dropout.py", "np.multiply(keep, 0 if p == 1 else 1 / (1 - p), dtype=dtype)", "keep.astype(dtype)", "tests/test_nn.py::test_dropout_keeps_the_mean_and_scales|-k|numpy"),
    Mutant("_processors.py", "math.ceil(int(time)", "math.floor(int(time)", "tests/test_processors.py"),
    Mutant("_files.py", "            os.fsync(file.fileno())\n", "", "tests/test_loses_nothing.py|-k|on_the_disk"),
    Mutant("_files.py", "threading.get_native_id()", "os.getpid()", "tests/test_loses_nothing.py|-k|two_threads"),
    Mutant("_files.py", 'beside = path.with_name(f".{path.name}.{threading.get_native_id()}.part")', "beside = path",
           "tests/test_loses_nothing.py|-k|killed"),
    Mutant("training/checkpoint.py", "        digest.update(arrays[name].tobytes())\n", "",
           "tests/test_checkpoint.py::test_a_damaged_file_is_refused"),
    Mutant("training/progress.py", "self.loss += batch.loss * batch.weight", "self.loss += batch.loss", "tests/test_trainer.py|-k|numpy"),
    Mutant("training/trainer.py", "        self.optimizer.zero_grad()\n", "", "tests/test_trainer.py|-k|numpy"),
    Mutant("training/tasks/evaluation.py", "np.argsort(-self.logits", "np.argsort(self.logits", "tests/test_evaluation.py"),
    Mutant("data/loader.py", "(seed, i, part)", "(seed, 0, part)", "tests/test_loader.py|-k|another"),
    Mutant("data/loader.py", 'epoch: dict[str, Any] = {"rng": self._rng_state(), "batches": self._skip}',
           'epoch: dict[str, Any] = {"rng": self._rng_state(), "batches": 0}', "tests/test_loader.py|-k|stopped"),
    Mutant("data/transforms.py", "padding : padding + W] = images", ": W] = images", "tests/test_transforms.py"),
    Mutant("data/augment/whole_pixels.py", "images[flipped, :, :, ::-1]", "images[flipped, :, ::-1]",
           "tests/test_augment.py|-k|flip"),
    Mutant("optim/schedules/one_cycle.py", "if self.steps <= peak:", "if self.steps < peak:", "tests/test_schedules.py|-k|one_cycle"),
    Mutant("optim/clipping.py", "if not factor >= 1:", "if factor < 1:", "tests/test_clipping.py"),
]  # fmt: skip


def run(tree: Path, cache: Path, arguments: list[str]) -> tuple[int, str]:
    """Run pytest in a tree; return its exit code and the end of its output."""
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(cache), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *arguments]
    try:
        done = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True, timeout=TIMEOUT)
    except subprocess.TimeoutExpired:
        return 1, "hangs"
    return done.returncode, done.stdout[-3000:] + done.stderr[-1000:]


passed = set()  # tests that have passed on the unchanged tree


def verdict(mutant: Mutant, tree: Path, cache: Path) -> str:
    """Test a mutant and restore the tree; return "killed", "SURVIVED", or "STALE: ..." if it could not be tested."""
    file, tests = tree / "fastcnn" / mutant.file, mutant.tests.split("|")
    source = file.read_text(encoding="utf-8")
    if source.count(mutant.old) != 1:
        return f"STALE: its line occurs {source.count(mutant.old)} times"
    if mutant.tests not in passed:
        code, said = run(tree, cache, tests)
        if code != 0:
            return f"STALE: its tests do not pass without it (exit code {code})\n{said}"
        passed.add(mutant.tests)
    spare = cache.with_name("mutant")  # hard links: recompiled kernels replace them and leave the cache unchanged
    shutil.copytree(cache, spare, copy_function=os.link)
    try:
        file.write_text(source.replace(mutant.old, mutant.new), encoding="utf-8")
        code, said = run(tree, spare, tests)
    finally:
        file.write_text(source, encoding="utf-8")
        shutil.rmtree(spare)
    return {0: "SURVIVED", 1: "killed"}.get(code, f"STALE: it does not run (exit code {code})\n{said}")


def main(words: list[str]) -> int:
    """Test the chosen mutants and print a table; return the exit code."""
    chosen = [mutant for mutant in MUTANTS if not words or any(word in mutant.file for word in words)]
    verdicts = []
    with tempfile.TemporaryDirectory() as folder:
        tree, cache = Path(folder, "tree"), Path(folder, "cache")
        ignored = shutil.ignore_patterns(".git", "__pycache__", ".venv", "runs")
        shutil.copytree(ROOT, tree, ignore=ignored)
        cache.mkdir()
        for mutant in chosen:
            start = time.perf_counter()
            verdicts.append(verdict(mutant, tree, cache))
            change = f"{mutant.old.strip()}  ->  {mutant.new.strip() or '(nothing)'}".replace("\n", " ")
            print(f"{verdicts[-1]:<10} {time.perf_counter() - start:5.1f} s  {mutant.file}: {change}", flush=True)
    print(f"{verdicts.count('killed')} of {len(chosen)} mutants killed.")
    return 0 if chosen and verdicts.count("killed") == len(chosen) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
