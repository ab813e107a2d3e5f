"""Optimizers: one step by hand, many steps compared with PyTorch, state, and errors for bad input."""

import numpy as np
import pytest

import fastcnn
from fastcnn import nn, optim
from fastcnn.commands import parts
from fastcnn.testing import assert_close
from fastcnn.testing.optimizers import CLASSES, ONE_OF_EACH, OPTIMIZERS, make


@pytest.fixture
def backend(backend):
    """Run the test in the backend; the value is its name."""
    with fastcnn.use_backend(backend):
        yield backend


def parameters(rng, dtype=np.float64) -> list[nn.Parameter]:
    return [nn.Parameter(rng.standard_normal(shape).astype(dtype)) for shape in ((3, 2, 2, 2), (37,), (1, 1))]


def step(params, optimizer, grads) -> None:
    """Take a step with these gradients; None is no gradient."""
    for parameter, grad in zip(params, grads, strict=True):
        parameter.grad = grad
    optimizer.step()


all_optimizers = pytest.mark.parametrize("name", OPTIMIZERS)


def test_every_optimizer_is_tested_and_on_the_command_line():
    known = {value for value in vars(optim).values() if isinstance(value, type) and issubclass(value, optim.Optimizer)}
    assert known == {*CLASSES, optim.Optimizer}
    assert known == {*(kind for kind, _, _ in parts.OPTIMIZERS.values()), optim.Optimizer}


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        pytest.param(lambda p: optim.SGD(p, 0.5), [1 - 0.5 * 2, 0 - 0.5 * 2], id="SGD"),
        pytest.param(lambda p: optim.SGD(p, 0.5, weight_decay=0.5), [-0.25, -0.25 - 0.5 * 1.875], id="weight decay"),
        pytest.param(lambda p: optim.SGD(p, 0.5, 0.5), [1 - 0.5 * 2, 0 - 0.5 * (0.5 * 2 + 2)], id="momentum"),
        pytest.param(lambda p: optim.SGD(p, 0.5, 0.5, nesterov=True), [1 - 0.5 * 3, -0.5 - 0.5 * (2 + 0.5 * 3)],
                     id="Nesterov"),
        # loses 0.1 of itself in each step, then the gradient is subtracted
        pytest.param(lambda p: optim.AdamW(p, 0.5, eps=0, weight_decay=0.2), [0.9 - 0.5, 0.36 - 0.5], id="AdamW"),
        # squares 4 * 3/4 = 3, then 3 / 4 + 3 = 3.75
        pytest.param(lambda p: optim.RMSprop(p, 0.5, 0.25, eps=0), [1 - 1 / 3**0.5, 1 - 1 / 3**0.5 - 1 / 3.75**0.5],
                     id="RMSprop"),
        # means 1.5, then 1.875; variances 3 - 2.25, then 3.75 - 3.515625
        pytest.param(lambda p: optim.RMSprop(p, 0.5, 0.25, eps=0, centered=True),
                     [1 - 1 / 0.75**0.5, 1 - 1 / 0.75**0.5 - 1 / 0.234375**0.5], id="RMSprop, centered"),
        pytest.param(lambda p: optim.RMSprop(p, 0.5, 0, eps=0, momentum=0.5), [0.5, 0.5 - 0.75],
                     id="RMSprop, momentum"),
        pytest.param(lambda p: optim.Adam(p, 0.5, eps=0), [0.5, 0.0], id="Adam's first steps are the learning rate"),
        # loses 0.1 of itself in each step, then the sign of the gradient times 1.5 - 0.5 + 0.25 is subtracted
        pytest.param(lambda p: optim.Muon(p, 0.5, 0.2, ns_coefficients=(1.5, -0.5, 0.25), ns_steps=1),
                     [0.9 - 0.5 * 1.25, 0.9 * 0.275 - 0.5 * 1.25], id="Muon"),
    ],
)  # fmt: skip
def test_two_steps_by_hand(make, expected, backend):
    parameter = nn.Parameter(np.array([1.0]))
    optimizer = make([parameter])
    for value in expected:
        parameter.grad = np.array([2.0])
        optimizer.step()
        assert parameter.data[0] == pytest.approx(value, abs=1e-12)


@all_optimizers
@pytest.mark.parametrize(("dtype", "rtol"), [(np.float64, 1e-12), (np.float32, 1e-5)], ids=["float64", "float32"])
def test_thirty_steps_are_those_of_torch(name, dtype, rtol, backend, monkeypatch):
    torch, twin = pytest.importorskip("torch"), pytest.importorskip("tests.torch_optimizers")
    rng = np.random.default_rng(0)
    ours = parameters(rng, dtype)
    theirs = twin.twins(ours)
    kind, options = OPTIMIZERS[name]
    optimizer, other = kind(ours, **options), getattr(torch.optim, kind.__name__)(theirs, **options)
    for _ in range(30):
        for parameter in ours:
            parameter.grad = rng.standard_normal(parameter.shape).astype(dtype)
        twin.step(optimizer, other, ours, theirs, monkeypatch)
    twin.assert_same(ours, theirs, rtol)


@all_optimizers
def test_five_steps_agree_with_naive(name, dtype, fast_backend):
    found = []
    for backend in (fast_backend, "naive"):
        rng = np.random.default_rng(0)
        ours = [nn.Parameter(rng.standard_normal(shape).astype(dtype)) for shape in ((), (1,), (120,), (2, 3, 5, 5))]
        optimizer = make(name, ours)
        with fastcnn.use_backend(backend):
            for _ in range(5):
                step(ours, optimizer, [rng.standard_normal(parameter.shape).astype(dtype) for parameter in ours])
        found.append([*(parameter.data for parameter in ours), *optimizer._arrays()])
    for a, e in zip(*found, strict=True):
        assert_close(a, e, 5 * 30, np.full(a.shape, 16.0))  # thirty operations on numbers of this size


@pytest.mark.parametrize("shapes", [[(5000,), (1,), (3, 7)], [(n,) for n in range(1, 40)]], ids=["few", "many"])
@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_many_parameters_at_once_are_as_one_by_one(name, shapes, backend):
    """Parameters of both dtypes, one longer than the chunk of a task; every third takes one step less."""
    rng = np.random.default_rng(0)
    dtypes = [(np.float32, np.float64)[i % 2] for i in range(len(shapes))]
    arrays = [rng.standard_normal(shape).astype(kind) for shape, kind in zip(shapes, dtypes, strict=True)]
    together, alone = ([nn.Parameter(array.copy()) for array in arrays] for _ in range(2))
    optimizer, optimizers = make(name, together), [make(name, [parameter]) for parameter in alone]
    for number in range(2):
        grads = [None if number == 0 and k % 3 == 0 else array + 1 for k, array in enumerate(arrays)]
        step(together, optimizer, grads)
        for parameter, own, grad in zip(alone, optimizers, grads, strict=True):
            step([parameter], own, [grad])
    for one, other in zip(together, alone, strict=True):
        np.testing.assert_array_equal(one.data, other.data)


@all_optimizers
def test_a_gradient_of_nan_stays_where_it_is(name, dtype, backend):
    both = nn.Parameter(np.ones(3, dtype)), nn.Parameter(np.ones(2, dtype))
    optimizer = make(name, both)
    for sign in (1, -1):
        step(both, optimizer, [sign * np.array([1, np.nan, np.inf], dtype), np.ones(2, dtype)])
    mixed = isinstance(optimizer, optim.Muon)  # an element's step depends on all elements of its parameter
    assert np.isfinite(both[0].data).tolist() == ([False] * 3 if mixed else [True, False, False])
    assert np.isfinite(both[1].data).all()


@all_optimizers
def test_a_loaded_state_goes_on_as_if_never_stopped(name, backend):
    rng = np.random.default_rng(1)
    ours = parameters(rng)
    optimizer = make(name, ours)
    grads = [[rng.standard_normal(parameter.shape) for parameter in ours] for _ in range(5)]
    for some in grads[:3]:
        step(ours, optimizer, some)
    copies = [nn.Parameter(parameter.data.copy()) for parameter in ours]
    resumed = type(optimizer)(copies, lr=7.0)
    resumed.load_state_dict(optimizer.state_dict())
    for some in grads[3:]:
        step(ours, optimizer, some)
        step(copies, resumed, some)
    for a, b in zip(ours, copies, strict=True):
        np.testing.assert_array_equal(a.data, b.data)


def test_arrays_of_a_state_may_be_in_another_order(backend):
    weight = nn.Parameter(np.zeros((2, 3)))
    optimizer = optim.SGD([weight], 1.0, 0.5)
    state = optimizer.state_dict()
    state["velocity"] = [np.asfortranarray(np.arange(6.0).reshape(2, 3))]
    optimizer.load_state_dict(state)
    step([weight], optimizer, [np.zeros((2, 3))])
    np.testing.assert_array_equal(weight.data, -np.arange(6).reshape(2, 3) / 2)


def test_a_parameter_may_have_been_in_another_order_when_the_optimizer_was_made(backend):
    weight = nn.Parameter(np.zeros((2, 3)))
    weight.data = np.asfortranarray(weight.data)
    optimizer, grad = optim.SGD([weight], 1.0, 0.5), np.arange(6.0).reshape(2, 3)
    weight.data = np.zeros((2, 3))
    for _ in range(2):
        step([weight], optimizer, [grad])
    np.testing.assert_array_equal(weight.data, -2.5 * grad)
    np.testing.assert_array_equal(optimizer.velocity[0], 1.5 * grad)


def test_a_state_with_buffers_that_are_no_longer_needed_can_be_loaded():
    weight = nn.Parameter(np.ones(2))
    optimizer = optim.Adam([weight], amsgrad=True)
    optimizer.amsgrad = False
    step([weight], optimizer, [np.ones(2)])
    optimizer.load_state_dict(optimizer.state_dict())
    assert optimizer.amsgrad is False
    assert optimizer.largest[0].shape == (2,)


@all_optimizers
def test_parameters_without_gradient_stay(name, backend):
    trained, still = nn.Parameter(np.ones(2)), nn.Parameter(np.ones(2))
    optimizer = make(name, [still, trained])
    trained.grad = np.ones(2)
    optimizer.step()
    assert (still.data == 1).all()
    assert (trained.data < 1).all()
    optimizer.zero_grad()
    assert trained.grad is None


@all_optimizers
def test_gradients_are_not_changed(name, backend):
    parameter = nn.Parameter(np.ones(3))
    parameter.grad = np.ones(3)
    make(name, [parameter]).step()
    np.testing.assert_array_equal(parameter.grad, np.ones(3))


def test_a_parameter_given_twice_moves_once():
    parameter = nn.Parameter(np.array([1.0]))
    optimizer = optim.SGD([parameter, parameter], lr=0.5)
    parameter.grad = np.array([1.0])
    optimizer.step()
    assert parameter.data[0] == 0.5


def test_a_gradient_that_is_no_array_changes_nothing():
    first, second = nn.Parameter(np.ones(2)), nn.Parameter(np.ones(2))
    with pytest.raises(TypeError, match=r"The gradient of parameter 1 must be a numpy array, not list\."):
        step([first, second], optim.SGD([first, second]), [np.ones(2), [1.0, 1.0]])
    assert (first.data == 1).all()


@pytest.mark.parametrize(
    "grad", [pytest.param(np.ones((2, 1)), id="shape"), pytest.param(np.ones(2, np.float32), id="dtype")]
)
def test_a_gradient_that_does_not_fit_changes_nothing(grad):
    first, second = nn.Parameter(np.ones(2)), nn.Parameter(np.ones(2))
    optimizer = optim.Adam([first, second])
    first.grad, second.grad = np.ones(2), grad
    with pytest.raises(ValueError, match=r"The gradient of parameter 1 has shape .* but must have those of the param"):
        optimizer.step()
    assert (first.data == 1).all()
    assert optimizer.steps == [0, 0]


@pytest.mark.parametrize(
    "array", [np.broadcast_to(1.0, 2), np.ones((2, 2))[:, 0]], ids=["read-only", "every second number"]
)
def test_an_array_that_cannot_be_changed_in_place_changes_nothing(array):
    first, second = nn.Parameter(np.ones(2)), nn.Parameter(np.ones(2))
    optimizer = optim.Adam([first, second])
    first.grad, second.grad, second.data = np.ones(2), np.ones(2), array
    with pytest.raises(ValueError, match="Parameter 1 cannot be changed in place: its array is read-only or strided"):
        optimizer.step()
    assert (first.data == 1).all()
    assert optimizer.steps == [0, 0]


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        pytest.param(lambda p: optim.SGD([], 0.1), ValueError, "`params` holds no parameter", id="none"),
        pytest.param(lambda p: optim.SGD(nn.ReLU(), 0.1), TypeError, "model.parameters(), not ReLU", id="a layer"),
        pytest.param(
            lambda p: optim.SGD([p.data], 0.1), TypeError, "must hold Parameters only, not ndarray", id="array"
        ),
        pytest.param(lambda p: optim.SGD([p], -1), ValueError, "`lr` is -1 but must be at least 0", id="negative rate"),
        pytest.param(lambda p: optim.SGD([p], float("nan")), ValueError, "`lr` is nan", id="rate is NaN"),
        pytest.param(lambda p: optim.SGD([p], 1, momentum=1), ValueError, "`momentum` is 1", id="momentum"),
        pytest.param(lambda p: optim.SGD([p], 1, weight_decay=-1), ValueError, "`weight_decay` is -1", id="decay"),
        pytest.param(lambda p: optim.SGD([p], 1, nesterov=True), ValueError, "rule needs a momentum", id="Nesterov"),
        pytest.param(lambda p: optim.Adam([p], betas=0.9), ValueError, "`betas` must be a pair", id="one beta"),
        pytest.param(lambda p: optim.Adam([p], betas=(0.9, 1.0)), ValueError, "`betas` is 1.0", id="beta of 1"),
        pytest.param(lambda p: optim.RMSprop([p], alpha=1), ValueError, "`alpha` is 1 but must be", id="alpha of 1"),
        pytest.param(lambda p: optim.RMSprop([p], momentum=-1), ValueError, "`momentum` is -1", id="RMSprop momentum"),
        pytest.param(lambda p: optim.Adam([p], eps=-1), ValueError, "`eps` is -1", id="eps"),
        pytest.param(lambda p: optim.Muon([p], momentum=1), ValueError, "`momentum` is 1 but", id="Muon momentum"),
        pytest.param(
            lambda p: optim.Muon([p], ns_steps=100),
            ValueError,
            "`ns_steps` is 100 but must be at most 99.",
            id="ns_steps",
        ),
        pytest.param(lambda p: optim.Muon([p], ns_steps=-1), ValueError, "must be at least 0", id="negative ns_steps"),
        pytest.param(
            lambda p: optim.Muon([p], ns_coefficients=(1, 2)),
            ValueError,
            "`ns_coefficients` must be three numbers, not (1, 2).",
            id="two ns_coefficients",
        ),
        pytest.param(
            lambda p: optim.Muon([p], ns_coefficients=(1, 2, np.nan)),
            ValueError,
            "`ns_coefficients` is nan but must be finite.",
            id="ns_coefficients",
        ),
        pytest.param(
            lambda p: optim.Muon([p], adjust_lr_fn="match"), ValueError, "`adjust_lr_fn` is 'match'", id="adjust_lr_fn"
        ),
    ],
)
def test_construction_says_what_is_wrong(make, error, text):
    with pytest.raises(error) as raised:
        make(nn.Parameter(np.ones(1)))
    assert text in str(raised.value)


def test_a_state_of_something_else_changes_nothing():
    one, two = nn.Parameter(np.ones(1)), nn.Parameter(np.ones(2))
    adam = optim.Adam([one])
    with pytest.raises(ValueError, match="but that of Adam has 'param_groups'"):
        adam.load_state_dict(optim.SGD([one], 0.1).state_dict())
    with pytest.raises(ValueError, match="'mean' does not fit the parameters"):
        adam.load_state_dict(optim.Adam([two], lr=7.0).state_dict())
    assert adam.lr == 1e-3


@pytest.mark.parametrize(
    ("changed", "error", "text"),
    [
        (None, TypeError, "The state of Adam must be a dictionary, not None."),
        ({"param_groups": None}, TypeError, "'param_groups' must be a list of dictionaries, not None."),
        ({"param_groups": [3]}, TypeError, "'param_groups' must be a list of dictionaries, not [3]."),
        ({"param_groups": [{}]}, ValueError, "The state's groups have the parameters [None] but must have [[0]]."),
        ({"steps": [-1]}, ValueError, "`steps` is -1 but must be at least 0."),
        ({"steps": [1.5]}, TypeError, "`steps` must be a whole number, not 1.5."),
        ({"steps": ["1"]}, ValueError, "The state's 'steps' does not fit the parameters: ['str']."),
        ({"mean": None}, ValueError, "The state's 'mean' does not fit the parameters: None."),
        ({"mean": [[1.0]]}, ValueError, "The state's 'mean' does not fit the parameters: ['list']."),
    ],
    ids=str,
)
def test_what_is_no_state_changes_nothing(changed, error, text):
    optimizer = optim.Adam([nn.Parameter(np.ones(1))])
    before = optimizer.state_dict()
    with pytest.raises(error) as raised:
        optimizer.load_state_dict(changed if changed is None else before | changed)
    assert text in str(raised.value)
    assert str(optimizer.state_dict()) == str(before)


class Halving(optim.Optimizer):
    """Its buffers are numbers, whole ones at first, and it counts its updates."""

    updates = 0

    def _new_buffers(self, group):
        return {"rates": [1 for _ in group["params"]]}

    def _update_group(self, backend, group, places, parameters, grads):
        for i, parameter, grad in zip(places, parameters, grads, strict=True):
            parameter -= self.rates[i] * grad
            self.rates[i] /= 2
        self.updates += 1


def test_a_state_may_have_numbers():
    params = [nn.Parameter(np.zeros(2))]
    optimizer, resumed = (Halving(params, {"lr": 1, "weight_decay": 0}) for _ in range(2))
    resumed.updates = 5
    step(params, optimizer, [np.ones(2)])
    resumed.load_state_dict(optimizer.state_dict())
    step(params, resumed, [np.ones(2)])
    np.testing.assert_array_equal(params[0].data, -1.5)
    assert resumed.updates == 2


class HalfWay(optim.Optimizer):
    """Its step fails in the second group."""

    def _new_buffers(self, group):
        return {"moved": [np.zeros_like(parameter.data) for parameter in group["params"]]}

    def _update_group(self, backend, group, places, parameters, grads):
        if places[0] > 0:
            raise MemoryError
        backend.sgd_update(parameters, grads, [self.moved[i] for i in places], 1.0, 0.5, 0.0, False)


def test_an_error_within_a_step_changes_nothing(backend):
    params = [nn.Parameter(np.ones(2)) for _ in range(2)]
    optimizer = HalfWay([{"params": parameter} for parameter in params], {"lr": 1, "weight_decay": 0})
    with pytest.raises(MemoryError):
        step(params, optimizer, [np.ones(2), np.ones(2)])
    np.testing.assert_array_equal([parameter.data for parameter in params], 1)
    np.testing.assert_array_equal(optimizer.moved, 0)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_variance_is_not_below_zero(dtype, backend):
    parameter = nn.Parameter(np.zeros(200, dtype))
    optimizer = optim.RMSprop([parameter], alpha=0.9, centered=True)
    for _ in range(300):  # always the same gradient, so that only rounding errors remain of the variance
        parameter.grad = np.linspace(1, 3, 200).astype(dtype)
        optimizer.step()
    assert np.isfinite(parameter.data).all()


@all_optimizers
def test_the_number_of_threads_does_not_matter(name):
    before, results = fastcnn.get_num_threads(), []
    for threads in (1, 2, 3, 8):
        fastcnn.set_num_threads(threads)
        rng = np.random.default_rng(0)
        ours = [nn.Parameter(rng.standard_normal(5000).astype(np.float32)) for _ in range(3)]
        optimizer = make(name, ours)
        for _ in range(3):
            for parameter in ours:
                parameter.grad = rng.standard_normal(5000).astype(np.float32)
            optimizer.step()
        results.append([parameter.data.tobytes() for parameter in ours])
    fastcnn.set_num_threads(before)
    assert all(result == results[0] for result in results)


@pytest.mark.parametrize(
    "array", [np.zeros(100_000), np.zeros(1), np.zeros(3, np.float32)], ids=["more", "less", "dtype"]
)
@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_a_parameter_of_another_form_than_its_buffers_changes_nothing(name, array, backend):
    first, second = nn.Parameter(np.ones(2)), nn.Parameter(np.ones(3))
    optimizer = make(name, [first, second])
    second.data = array
    for parameter in (first, second):
        parameter.grad = np.ones_like(parameter.data)
    with (
        fastcnn.use_backend(backend),
        pytest.raises(ValueError, match=r"Parameter 1 has shape .* but its buffers were made for \(3,\) and float64"),
    ):
        optimizer.step()
    np.testing.assert_array_equal(first.data, 1)


@pytest.mark.parametrize("shape", [(7, 20), (20, 7), (9, 9), (20, 7, 1, 2), (5, 33, 3)], ids=str)
def test_muons_step_is_nearly_orthogonal(shape, backend, rng):
    """With coefficients that let the iteration converge, the step's singular values are 1."""
    parameter, grad = nn.Parameter(np.zeros(shape)), rng.standard_normal(shape)
    options = {"lr": 1.0, "ns_coefficients": (15 / 8, -10 / 8, 3 / 8), "ns_steps": 30}
    step([parameter], optim.Muon([parameter], weight_decay=0, **options), [grad])
    rows, columns = len(grad), grad.size // len(grad)
    u, _, v = np.linalg.svd(grad.reshape(rows, columns), full_matrices=False)
    expected = -(max(1, rows / columns) ** 0.5) * (u @ v)
    np.testing.assert_allclose(parameter.data.reshape(rows, columns), expected, atol=1e-10)


def test_muon_takes_a_number_as_a_matrix(backend):
    parameter = nn.Parameter(np.array(1.0))
    step([parameter], optim.Muon([parameter], 0.5, 0, ns_steps=0), [np.array(-3.0)])
    assert parameter.data == 1.5


@pytest.mark.parametrize("shape", [(3, 4), (4, 1, 2, 2), (6,)], ids=str)
def test_muon_enlarges_no_gradient_below_eps(shape, backend, rng):
    parameter, grad = nn.Parameter(np.zeros(shape)), rng.standard_normal(shape)
    grad[:2] = 0
    options = {"weight_decay": 0, "momentum": 0, "ns_steps": 0, "adjust_lr_fn": "match_rms_adamw"}
    step([parameter], optim.Muon([parameter], 1.0, eps=100.0, **options), [grad])
    rows = len(grad)
    np.testing.assert_allclose(parameter.data, -0.2 * max(rows, grad.size // rows) ** 0.5 * grad / 100, rtol=1e-12)
