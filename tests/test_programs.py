"""Programs as tables, with or without times, and the command that prints the program of a training step."""

import re

import numpy as np
import pytest

from fastcnn import models, nn, use_backend
from fastcnn.backends.numba_direct.runtime.buffers import Buffer
from fastcnn.backends.numba_direct.runtime.listing import Listing, Row, times
from tests.command_line import call


@pytest.fixture(autouse=True)
def numba_backend():
    with use_backend("numba"):
        yield


class Absolute(nn.Module):
    def forward_native(self, x, backend):
        self._x = x
        return backend.leaky_relu(x, -1.0)

    def backward_native(self, dy, backend, input_grad):
        return backend.leaky_relu_backward(dy, self._x, -1.0)


def trained(model, x, *, input_grad=True):
    """Train a model for one step on a batch."""
    model.backward(np.ones_like(model(x)), input_grad=input_grad)
    return model


def test_the_table():
    rows = [Row("pack", "", 128, 1_048_576), Row("(Python)", "", 0, 0), Row("correlate pool", "4x6", 7, 1000)]
    assert str(Listing(rows)).splitlines() == [
        "   kernel          tile  tasks       kB",
        "---------------------------------------",
        "1  pack                    128  1,048.6",
        "2  (Python)",
        "3  correlate pool   4x6      7      1.0",
        "---------------------------------------",
        "   3 steps                      1,049.6",
    ]


def test_the_table_with_times():
    rows = [Row("pack", "", 128, 1_048_576, 30.0), Row("(Python)", "", 0, 0), Row("relu", "", 7, 1000, 10.0)]
    assert str(Listing(rows, 36.0)).splitlines() == [
        "   kernel         tile  tasks       kB  microseconds   share",
        "------------------------------------------------------------",
        "1  pack                   128  1,048.6          30.0   75.0%",
        "2  (Python)",
        "3  relu                     7      1.0          10.0   25.0%",
        "------------------------------------------------------------",
        "   3 steps                     1,049.6          40.0  100.0%",
        "   in one launch                                36.0   90.0%",
    ]


def test_the_programs_of_a_model_show_its_kernels():
    x = np.ones((5, 7), np.float32)
    model = trained(nn.Sequential(nn.Tanh(), nn.Sigmoid()), x)
    (forward,), (backward,) = model.programs().values()
    kernels = [row[3:].split("  ")[0] for row in str(forward).splitlines()[2:-2]]
    assert kernels == ["pack", "tanh", "sigmoid", "unpack"]
    kernels = [row[3:].split("  ")[0] for row in str(backward).splitlines()[2:-2]]
    assert kernels == ["pack", "sigmoid gradient", "tanh gradient", "unpack"]
    assert re.search(r"tanh +\d+ +\d+\.\d", str(forward))


def test_bytes_are_those_of_all_arrays_once():
    x = np.ones((64, 256), np.float32)
    model = nn.Sequential(nn.Tanh(), nn.Tanh())
    model(x)
    ((forward,), _) = model.programs().values()
    assert [row.bytes for row in forward.times().rows] == [2 * x.nbytes] * 4


def test_only_the_passes_of_the_last_batch():
    model, x = nn.Sequential(nn.Linear(3, 2)), np.ones((4, 3), np.float32)
    with pytest.raises(RuntimeError, match=r"Sequential\.programs needs a batch"):
        model.programs()
    trained(model, x)
    with_input = model.programs()
    assert [len(programs) for programs in with_input.values()] == [1, 1]
    trained(model, x, input_grad=False)
    without = model.programs()
    assert without["forward"] == with_input["forward"]
    assert len(str(without["backward"][0])) < len(str(with_input["backward"][0]))
    model(x)
    assert model.programs() == {"forward": with_input["forward"], "backward": []}


def test_layers_that_are_called_stand_between_programs():
    chain = nn.Sequential(nn.Linear(3, 3), nn.Tanh())
    model = trained(nn.Sequential(chain, Absolute(), nn.Sigmoid(), nn.Linear(3, 2)), np.ones((4, 3), np.float32))
    forward, backward = model.programs().values()
    assert ["tanh" in str(program) for program in forward] == [True, False]
    assert ["tanh" in str(program) for program in backward] == [False, True]


def test_other_backends_have_none():
    with use_backend("numpy"):
        assert trained(nn.Sequential(nn.Tanh()), np.ones((4, 3))).programs() == {"forward": [], "backward": []}


def test_times_change_nothing(rng):
    model = nn.Sequential(
        nn.Conv2d(2, 4, 3, rng=rng), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.5, rng=rng),
        nn.AdaptiveMaxPool2d(2), nn.Flatten(), nn.Linear(16, 3, rng=rng),
    )  # fmt: skip
    x = rng.standard_normal((20, 2, 9, 9), np.float32)
    y = model(x)
    dx = model.backward(np.ones_like(y))
    state, draws = model.state_dict(), rng.bit_generator.state
    grads = [parameter.grad.copy() for parameter in model.parameters()]
    outputs = y.copy(), dx.copy()
    (forward,), (backward,) = model.programs().values()
    for program in (forward, backward):
        listing = program.times()
        assert [row._replace(microseconds=None) for row in listing.rows] == list_rows(program)
        assert all((row.microseconds or 0) > 0 for row in listing.rows if row.tasks)
        assert listing.together > 0
        assert str(listing).splitlines()[-1].split()[:3] == ["in", "one", "launch"]
    assert "(Python)" in str(forward)
    assert rng.bit_generator.state == draws
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, state[name])
    for parameter, grad in zip(model.parameters(), grads, strict=True):
        np.testing.assert_array_equal(parameter.grad, grad)
    np.testing.assert_array_equal(y, outputs[0])
    np.testing.assert_array_equal(dx, outputs[1])
    np.testing.assert_array_equal(model.backward(np.ones_like(y)), dx)  # the state of the forward pass is unchanged


def test_a_copy_of_a_buffer_has_the_views_of_the_original():
    array = np.arange(20.0).reshape(4, 5)
    buffer, words = Buffer(array), np.zeros(3, np.intp)
    for word, view in enumerate((array, array[2:], array[1, 3:])):
        buffer.uses.append((word, buffer.offset(view)))
    block = buffer.copy(words)
    np.testing.assert_array_equal(block.view(np.float64)[:20], array.ravel())
    assert (words - block.ctypes.data).tolist() == [0, 80, 64]


def list_rows(program):
    from fastcnn.backends.numba_direct.runtime.listing import listing

    return listing(program.chains).rows


def test_the_steps_of_an_inference_program_have_times(monkeypatch):
    from fastcnn.backends.numba_direct import inference

    made = []
    original = inference.record

    def record(*arguments):
        program, outputs = original(*arguments)
        made.append(program)
        return program, outputs

    monkeypatch.setattr(inference, "record", record)
    infer = nn.Sequential(nn.Tanh(), nn.Sigmoid()).compile_inference()
    x = np.ones((64, 256), np.float32)
    infer(x)
    (program,) = made
    rows = list_rows(program)
    assert [row.kernel for row in rows] == ["pack", "tanh", "sigmoid", "unpack"]
    assert [row.bytes for row in rows] == [2 * x.nbytes] * 4
    assert all(row.microseconds for row in program.times().rows)


def test_the_command(capsys):
    code, out, err = call(capsys, "program", "--model", "conv8", "--image-size", 12, "--channels", 2, "--batch-size", 8,
                          "--classes", 3, "--optimizer", "sgd")  # fmt: skip
    assert code == 0, err
    assert re.match(r"Conv8 and sgd, a training step on 8 images of 2x12x12, on \d+ threads?\n", out)
    assert len(re.findall(r"^ +in one launch +[\d.,]+ +[\d.]+%$", out, re.MULTILINE)) == 1
    for kernel in ("correlate", "cross entropy gradient", "outer", "sgd"):
        assert re.search(rf"^ *\d+  (?:[/|\\\\] )?{kernel}.* [\d,]+ +[\d,.]+ +[\d,.]+ +[\d.]+%$", out, re.MULTILINE), (
            kernel
        )


def test_the_command_takes_the_model_of_a_run(trained_run, capsys):
    code, out, err = call(capsys, "program", trained_run, "--batch-size", 3)
    assert code == 0, err
    assert out.startswith("Conv4Conv8 and adam, a training step on 3 images of 1x28x28, on ")
    code, _, err = call(capsys, "program", trained_run, "--classes", 3)
    assert code == 2
    assert "has a model already: leave out --model and the options of a model" in err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--model", "conv9"], "'conv9' is not one of lenet5"),
        (["--model", "conv8", "--image-size", 1], "--image-size is 1 but must be at least 4 for the model conv8."),
        (["--model", "conv8", "--model-options", "depth=3"], "has no option `depth`"),
        (["--optimizer", "lion"], "'lion' is not one of adam"),
    ],
)
def test_wrong_options_are_said(options, said, capsys):
    code, out, err = call(capsys, "program", *options)
    assert (code, out) == (2, "")
    assert said in err


def test_a_summary_names_the_layers_that_are_called(capsys):
    model = nn.Sequential(nn.Linear(3, 3), nn.Tanh(), Absolute())
    model.summary((3,))
    assert capsys.readouterr().out.splitlines()[-1] == "layer by layer: 2 (Absolute is a user-defined class)"
    assert "layer by layer" not in str(nn.summarize(models.LeNet5()))


def test_a_program_of_python_calls_has_no_times():
    assert [row.microseconds for row in times([lambda: None], np.zeros(0, np.int64), None).rows] == [None]


def test_a_result_that_occurs_twice_is_one_array(rng):
    """Both branches return what the layer before them returned."""
    model = nn.Sequential(nn.Tanh(), nn.Concat(nn.Identity(), nn.Identity()))
    x = rng.standard_normal((3, 4)).astype(np.float32)
    np.testing.assert_array_equal(model(x), np.tile(model[0](x), (1, 2)))
