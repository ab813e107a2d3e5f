"""Several Python threads may compute at the same time, and forked processes compute the same results."""

import os
import subprocess
import sys

import pytest

STEP = """
import numpy as np, sys, fastcnn
from fastcnn import functional as F, nn, optim

def train(seed, steps=20):
    "The weights after some steps of a small net."
    rng = np.random.default_rng(seed)
    model = nn.Sequential(nn.Conv2d(1, 2, 3, rng=rng), nn.ReLU(), nn.Flatten(), nn.Linear(72, 4, rng=rng))
    loss, optimizer = nn.CrossEntropyLoss(), optim.SGD(model.parameters(), 0.1)
    x, labels = rng.standard_normal((40, 1, 8, 8)).astype(np.float32), rng.integers(0, 4, 40)
    for _ in range(steps):
        loss(model(x), labels)
        optimizer.zero_grad()
        model.backward(loss.backward(), input_grad=False)
        optimizer.step()
    return b"".join(parameter.data.tobytes() for parameter in model.parameters())
"""
TWO_THREADS = """
import threading
alone, together = [train(seed) for seed in (0, 1)], [None, None]

def work(seed):
    for _ in range(10):
        together[seed] = train(seed)

threads = [threading.Thread(target=work, args=(seed,)) for seed in (0, 1)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(alone == together)
"""
FORK = """
import multiprocessing

def child(queue, call):
    try:
        queue.put(call())
    except RuntimeError as error:
        queue.put(str(error))

def in_a_fork(call):
    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()
    process = context.Process(target=child, args=(queue, call))
    process.start()
    process.join(60)
    if process.is_alive():
        process.kill()
        return "hangs"
    return "ended with " + str(process.exitcode) if queue.empty() else queue.get()
"""


def run(code: str) -> str:
    """Run code in a fresh process with two threads; return its output."""
    environment = {**os.environ, "FASTCNN_NUM_THREADS": "2"}
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", STEP + code]  # warns of forks
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_two_python_threads_train_at_once():
    assert run(TWO_THREADS) == "True"


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not fork by default")
class TestAfterFork:
    def test_a_child_computes(self):
        code = """
weights = train(0)
layer = nn.Linear(4, 2)
layer(np.ones((3, 4), np.float32))
def forward_here_backward_there():
    return layer.backward(np.ones((3, 2), np.float32)).tobytes()
print(in_a_fork(lambda: train(0)) == weights, in_a_fork(forward_here_backward_there) == forward_here_backward_there())
with fastcnn.use_backend("numpy"):
    print(in_a_fork(lambda: train(0) == train(0)))
"""
        assert run(FORK + code) == "True True\nTrue"

    def test_the_parent_goes_on(self):
        code = "weights = train(0); in_a_fork(lambda: train(0)); print(train(0) == weights)"
        assert run(FORK + code) == "True"

    def test_a_child_forked_before_the_first_computation_computes(self):
        assert run(FORK + "weights = in_a_fork(lambda: train(0)); print(train(0) == weights)") == "True"

    def test_a_child_of_a_child_computes(self):
        code = "weights = train(0); print(in_a_fork(lambda: in_a_fork(lambda: train(0)) == weights == train(0)))"
        assert run(FORK + code) == "True"

    def test_a_child_waits_for_no_thread_of_its_parent(self):
        code = """
import threading, time
ended = []
train(0)
thread = threading.Thread(target=lambda: [train(1) for _ in iter(lambda: len(ended), 1)])
thread.start()
weights = train(0)
same = [in_a_fork(lambda: train(0)) == weights for _ in range(5)]
ended.append(True)
thread.join()
print(same)
"""
        assert run(FORK + code) == "[True, True, True, True, True]"


def test_a_process_ends_while_its_threads_wait_and_work():
    assert run("train(0); print(1)") == "1"
    assert run("import threading; threading.Thread(target=train, args=(0,), daemon=True).start(); print(1)") == "1"


def test_threads_that_were_idle_for_long_wake_up():
    assert run("import time; weights = train(0); time.sleep(1); print(train(0) == weights)") == "True"


def test_more_threads_than_processors_compute_the_same():
    code = "weights = train(0); fastcnn.set_num_threads(33); print(train(0) == weights)"
    assert run(code) == "True"
