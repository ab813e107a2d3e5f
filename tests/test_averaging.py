"""The exponential moving average of parameters."""

import numpy as np
import pytest

from fastcnn import models, nn, optim


def test_by_hand(dtype):
    weight = nn.Parameter(np.array([4.0], dtype))
    average = optim.ExponentialMovingAverage([weight], 0.75)
    values = []
    for value in (0, 8):
        weight.data[:] = value
        average.update()
        values.append(float(average.averages[0][0]))
    assert values == [3, 4.25]
    assert average.averages[0].dtype == dtype


def test_values_are_those_of_torch(rng):
    torch = pytest.importorskip("torch")
    ours = nn.Linear(5, 3, rng=rng, dtype=np.float64)
    theirs = torch.nn.Linear(5, 3).double()
    theirs.load_state_dict({name: torch.tensor(array) for name, array in ours.state_dict().items()})
    average = optim.ExponentialMovingAverage(ours, 0.9)
    swa = torch.optim.swa_utils
    twin = swa.AveragedModel(theirs, multi_avg_fn=swa.get_ema_multi_avg_fn(0.9))
    twin.update_parameters(theirs)  # PyTorch's first update takes the parameters as they are
    for _ in range(20):
        for parameter, tensor in zip(ours.parameters(), theirs.parameters(), strict=True):
            parameter.data += rng.standard_normal(parameter.shape)
            tensor.data = torch.tensor(parameter.data)
        average.update()
        twin.update_parameters(theirs)
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
    with average.applied(), pytest.raises(RuntimeError, match=f"{what} is not for within `applied`"):
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
    assert resumed.decay == 0.9


def test_errors_say_what_is_wrong():
    weight, other = nn.Parameter(np.ones(1)), nn.Parameter(np.ones(2))
    with pytest.raises(ValueError, match=r"`decay` is 1\.5 but must be at least 0 and at most 1"):
        optim.ExponentialMovingAverage([weight], 1.5)
    with pytest.raises(ValueError, match="`params` holds no parameter"):
        optim.ExponentialMovingAverage(nn.ReLU())
    average = optim.ExponentialMovingAverage([weight], 0.5)
    with pytest.raises(ValueError, match="The state has 'decay' but must have 'decay', 'averages'"):
        average.load_state_dict({"decay": 0.1})
    with pytest.raises(ValueError, match=r"The state's averages do not fit the parameters: \[\(\(2,\)"):
        average.load_state_dict(optim.ExponentialMovingAverage([other]).state_dict())
    assert average.decay == 0.5
    assert average.averages[0].tolist() == [1]
