"""The exponential moving average of parameters."""

import pickle

import numpy as np
import pytest

from fastcnn import data, models, nn, optim, training


def test_by_hand(dtype):
    weight = nn.Parameter(np.array([4.0], dtype))
    average = optim.ExponentialMovingAverage([weight], 0.15)
    values = []
    for value in (0, 8):
        weight.data[:] = value
        average.update()
        values.append(float(average.averages[0][0]))
    # the first decay is 1 / 10; the next would be 2 / 11, which is more than 0.15
    assert values == pytest.approx([4 / 10, 0.15 * 4 / 10 + 0.85 * 8], rel=1e-6 if dtype == np.float32 else 1e-14)
    assert average.averages[0].dtype == dtype
    assert average.updates == 2


def test_the_decay_rises_to_its_value():
    weight, decays = nn.Parameter(np.array([1.0])), []
    average = optim.ExponentialMovingAverage([weight], 0.75)
    weight.data[:] = 0
    for _ in range(30):
        before = average.averages[0][0]
        average.update()
        decays.append(average.averages[0][0] / before)
    np.testing.assert_allclose(decays, [min(0.75, (1 + t) / (10 + t)) for t in range(30)], rtol=1e-12)
    assert decays[25] < decays[26] == pytest.approx(0.75)  # 27 / 36


def test_the_average_of_a_short_run_is_good():
    rng = np.random.default_rng(0)
    images = rng.standard_normal((200, 4)).astype(np.float32)
    labels = (images[:, 0] > images[:, 1]).astype(np.int64)
    model = nn.Linear(4, 2, rng=rng)
    model.weight.data[...] = [[-3, 3, 0, 0], [3, -3, 0, 0]]  # wrong for every image
    average = optim.ExponentialMovingAverage(model, 0.999)
    optimizer = optim.Adam(model.parameters(), 0.3)
    trainer = training.Trainer(model, optimizer, nn.CrossEntropyLoss(), callbacks=[training.WeightAverage(average)])
    history = trainer.fit(data.DataLoader(images, labels, 5), (images, labels), 1)
    assert training.evaluate(model, images, labels).accuracy > 0.95
    assert history.epochs[0].validation_accuracy > 0.9  # evaluated with the average after 40 updates


def test_values_are_those_of_torch(rng):
    torch = pytest.importorskip("torch")
    ours = nn.Linear(5, 3, rng=rng, dtype=np.float64)
    theirs = torch.nn.Linear(5, 3).double()
    theirs.load_state_dict({name: torch.tensor(array) for name, array in ours.state_dict().items()})
    average = optim.ExponentialMovingAverage(ours, 0.6)
    swa = torch.optim.swa_utils

    def ramp(averages, parameters, updates):
        # PyTorch has no ramp, so its function gets another decay for each update; ours counts one update less
        decay = min(0.6, float(updates) / (9 + float(updates)))
        swa.get_ema_multi_avg_fn(decay)(averages, parameters, updates)

    twin = swa.AveragedModel(theirs, multi_avg_fn=ramp)
    twin.update_parameters(theirs)  # PyTorch's first update copies the parameters
    for _ in range(20):
        for parameter, tensor in zip(ours.parameters(), theirs.parameters(), strict=True):
            parameter.data += rng.standard_normal(parameter.shape)
            tensor.data = torch.tensor(parameter.data)
        average.update()
        twin.update_parameters(theirs)
    assert average.updates == 20
    for array, tensor in zip(average.averages, twin.module.parameters(), strict=True):
        np.testing.assert_allclose(array, tensor.detach().numpy(), rtol=1e-12)


def test_applied_computes_with_the_averages_and_restores_every_bit():
    rng = np.random.default_rng(0)
    model, x = models.LeNet5(rng=rng), rng.standard_normal((4, 1, 32, 32)).astype(np.float32)
    average, first = optim.ExponentialMovingAverage(model, 0.5), model(x)
    arrays = [parameter.data for parameter in model.parameters()]
    for parameter in model.parameters():
        parameter.data *= 1 + 1e-3 * rng.standard_normal(parameter.shape).astype(np.float32)
    before = {name: array.tobytes() for name, array in model.state_dict().items()}
    second = model(x)
    with average.applied():
        np.testing.assert_array_equal(model(x), first)
    assert {name: array.tobytes() for name, array in model.state_dict().items()} == before
    assert all(parameter.data is array for parameter, array in zip(model.parameters(), arrays, strict=True))
    np.testing.assert_array_equal(model(x), second)


def test_applied_restores_after_an_error_and_after_changes():
    weight = nn.Parameter(np.array([1.0]))
    average = optim.ExponentialMovingAverage([weight])
    weight.data[:] = 2

    def fail():
        weight.data[:] = 7
        raise RuntimeError("inside")

    with pytest.raises(RuntimeError, match="inside"), average.applied():
        fail()
    assert weight.data[0] == 2
    assert average.averages[0][0] == 1


@pytest.mark.parametrize(
    "call",
    [
        pytest.param(lambda a: a.update(), id="update"),
        pytest.param(lambda a: a.applied().__enter__(), id="applied"),
        pytest.param(lambda a: a.load_state_dict(a.state_dict()), id="load_state_dict"),
    ],
)
def test_within_applied_nothing_else_may_be_done(call, request):
    weight = nn.Parameter(np.array([1.0]))
    average = optim.ExponentialMovingAverage([weight])
    weight.data[:] = 2
    what = request.node.callspec.id
    with average.applied(), pytest.raises(RuntimeError, match=f"{what} cannot be used within `applied`"):
        call(average)
    assert weight.data[0] == 2


def test_a_loaded_state_goes_on_as_if_never_stopped(dtype, rng):
    weight = nn.Parameter(rng.standard_normal(7).astype(dtype))
    average = optim.ExponentialMovingAverage([weight], 0.9)
    weight.data[:] = 1
    average.update()
    resumed = optim.ExponentialMovingAverage([weight])
    resumed.load_state_dict(average.state_dict())
    weight.data[:] = 2
    average.update()
    resumed.update()
    np.testing.assert_array_equal(average.averages[0], resumed.averages[0])
    assert (resumed.decay, resumed.updates) == (0.9, 2)


def test_errors_say_what_is_wrong():
    weight, other = nn.Parameter(np.ones(1)), nn.Parameter(np.ones(2))
    with pytest.raises(ValueError, match=r"`decay` is 1\.5 but must be at least 0 and at most 1"):
        optim.ExponentialMovingAverage([weight], 1.5)
    with pytest.raises(ValueError, match="`params` holds no parameter"):
        optim.ExponentialMovingAverage(nn.ReLU())
    average = optim.ExponentialMovingAverage([weight], 0.5)
    for updates, error in ((-1, ValueError), (0.5, TypeError)):
        with pytest.raises(error, match="`updates`"):
            average.load_state_dict({**average.state_dict(), "decay": 0.1, "updates": updates})
    with pytest.raises(ValueError, match=r"The state has 'decay' but that of .* has 'decay', 'updates', 'ave"):
        average.load_state_dict({"decay": 0.1})
    with pytest.raises(ValueError, match=r"The state's averages do not fit the parameters: \[\(\(2,\)"):
        average.load_state_dict(optim.ExponentialMovingAverage([other]).state_dict())
    for averages in (None, [[1.0]]):
        with pytest.raises(ValueError, match="The state's averages do not fit the parameters"):
            average.load_state_dict({**average.state_dict(), "decay": 0.1, "averages": averages})
    with pytest.raises(TypeError, match=r"The state of ExponentialMovingAverage must be a dictionary, not None\."):
        average.load_state_dict(None)
    assert average.decay == 0.5
    assert average.averages[0].tolist() == [1]


def test_a_parameter_of_another_form_changes_no_average():
    first, second = nn.Parameter(np.ones(2)), nn.Parameter(np.ones(3))
    average = optim.ExponentialMovingAverage([first, second])
    first.data, second.data = np.zeros(2), np.zeros(1)
    with pytest.raises(
        ValueError, match=r"Parameter 1 has shape \(1,\) and dtype float64, .* made for \(3,\) and float64"
    ):
        average.update()
    np.testing.assert_array_equal(average.averages[0], 1)


@pytest.mark.parametrize(
    ("array", "text"),
    [
        (np.zeros(1), r"Parameter 1 has shape \(1,\) and dtype float64, .* made for \(3,\) and float64"),
        (np.broadcast_to(0.0, 3), "Parameter 1 cannot be set to its average: its array is read-only"),
    ],
    ids=["shape", "read-only"],
)
def test_averages_that_cannot_be_applied_change_nothing(array, text):
    first, second = nn.Parameter(np.ones(2)), nn.Parameter(np.ones(3))
    average = optim.ExponentialMovingAverage([first, second])
    first.data, second.data = np.zeros(2), array
    with pytest.raises(ValueError, match=text), average.applied():
        pytest.fail("the averages were applied")
    np.testing.assert_array_equal(first.data, 0)
    second.data = np.zeros(3)
    with average.applied():
        np.testing.assert_array_equal(second.data, 1)


def test_an_average_that_was_unpickled_without_a_copy_can_be_updated():
    weight, buffers = nn.Parameter(np.ones(2)), []
    pickled = pickle.dumps(optim.ExponentialMovingAverage([weight]), protocol=5, buffer_callback=buffers.append)
    average = pickle.loads(pickled, buffers=[bytes(buffer) for buffer in buffers])
    average.params[0].data[:] = 0
    average.update()
    np.testing.assert_allclose(average.averages[0], 0.1)
    assert average.averages[0].flags.writeable


@pytest.mark.parametrize(("decay", "error"), [(1.5, ValueError), ("1", TypeError)])
def test_a_wrong_decay_changes_no_average(decay, error):
    weight = nn.Parameter(np.ones(2))
    average = optim.ExponentialMovingAverage([weight])
    average.decay, weight.data[:] = decay, 0
    with pytest.raises(error, match="`decay`"):
        average.update()
    np.testing.assert_array_equal(average.averages[0], 1)
    assert average.updates == 0
