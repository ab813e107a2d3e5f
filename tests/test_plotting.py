"""Figures show the right numbers, and errors for bad input."""

import itertools
import math
import subprocess
import sys

import numpy as np
import pytest

from fastcnn import models, nn, use_backend
from fastcnn.plotting import (
    compare_histories,
    plot_confusion,
    plot_feature_maps,
    plot_filters,
    plot_grad_cam,
    plot_history,
    plot_mistakes,
    plot_saliency,
)
from fastcnn.training import Epoch, History
from tests.epochs import classified

pytest.importorskip("matplotlib")

HISTORY = History(
    [classified(i, 3, 0.5, 1 / i, 1 - 0.1 / i, 0.5 / i, 1 - 0.05 / i, 0.006, 1e5) for i in (1, 2, 3)],
    list(np.geomspace(2.3, 0.01, 11)),  # two batches of an unfinished fourth epoch
)


def curves(axes) -> dict:
    return {line.get_label(): line.get_xydata() for line in axes.get_lines()}


def test_curves_hold_the_numbers():
    loss, accuracy = plot_history(HISTORY).axes
    losses = curves(loss)
    np.testing.assert_allclose(losses["training, mid-epoch mean"], [(0.5, 1), (1.5, 1 / 2), (2.5, 1 / 3)])
    np.testing.assert_allclose(losses["validation, epoch's end"], [(1, 0.5), (2, 0.25), (3, 0.5 / 3)])
    np.testing.assert_allclose(losses["training, each batch"][:, 0], np.arange(1, 12) / 3)
    np.testing.assert_allclose(losses["training, each batch"][:, 1], HISTORY.step_losses)
    names, lines = zip(*curves(accuracy).items(), strict=True)
    assert names == ("training, final 96.67", "validation, final 98.33")
    np.testing.assert_allclose(lines[1][:, 1], [95, 97.5, 100 - 5 / 3])
    assert loss.get_ylim()[0] < 0.5 / 3  # the smallest loss


def test_the_best_epoch_is_marked():
    records = [(1, 0.9, 0.5, 0.91), (2, 0.8, 0.2, 0.95), (3, 0.7, 0.3, 0.95)]
    history = History([classified(i, 1, 0.5, t, 0.9, v, a, 0.006, 1e5) for i, t, v, a in records], [1, 1, 1])
    places = {
        "validation_accuracy": ([("best epoch, 2", (2, 0.2))], [("best epoch, 95.00", (2, 95))]),
        "train_loss": ([("best epoch, 3", (2.5, 0.7))], [("best epoch, 90.00", (2.5, 90))]),
    }
    for monitor, expected in places.items():
        for axes, marked in zip(plot_history(history, monitor).axes, expected, strict=True):
            found = {name: place for name, place in curves(axes).items() if name.startswith("best")}
            assert [(name, *map(tuple, place)) for name, place in found.items()] == marked
    assert history.best("validation_accuracy").epoch == 2
    with pytest.raises(ValueError, match="`monitor` is 'test_loss' but must be one of 'train_loss', "):
        plot_history(history, "test_loss")
    unmarked = [name for axes in plot_history(history).axes for name in curves(axes)]
    assert not [name for name in unmarked if name.startswith("best")]
    nan = History([classified(1, 1, 0.5, 1, 0.9, math.nan, math.nan, 0.006, 1e5)], [1])
    assert nan.best("validation_loss") is None
    plot_history(nan, "validation_loss")


@pytest.mark.parametrize("count", [1, 3, 30])
@pytest.mark.parametrize("validation", [True, False])
def test_legends_are_between_title_and_curves(count, validation):
    losses = {"train_loss": lambda i: 1 / i, "validation_loss": lambda i: 0.5 + i / 9}  # no corner stays empty
    rates = {"train_accuracy": lambda i: 1 - 0.1 / i, "validation_accuracy": lambda i: 0.9}
    curves = {name: of for name, of in {**losses, **rates}.items() if validation or name.startswith("train")}
    numbers = range(1, count + 1)
    epochs = [Epoch(i, 3, 0.5, {name: of(i) for name, of in curves.items()}, 0.006, 1e5) for i in numbers]
    figure = plot_history(History(epochs, list(np.geomspace(2.3, 0.01, 3 * count))))
    figure.draw_without_rendering()
    for axes in figure.axes:
        legend, title = axes.get_legend().get_window_extent(), axes._left_title.get_window_extent()
        assert axes.get_window_extent().y1 < legend.y0 < legend.y1 < title.y0
        assert legend.x1 < figure.bbox.x1 / 2 * (1 + figure.axes.index(axes))


def test_one_epoch_is_a_picture(tmp_path):
    history = History(HISTORY.epochs[:1], HISTORY.step_losses[:3])
    plot_history(history).savefig(tmp_path / "curves.png")
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_a_loss_of_zero_is_no_place_on_a_logarithmic_axis():
    some = [classified(i, 1, 0.5, loss, 1, 0, 1, 0.01, 1e5) for i, loss in ((1, 0.5), (2, 0.0))]
    assert plot_history(History(some, [0.5, 0.0])).axes[0].get_ylim()[0] > 0
    zero = History([classified(1, 1, 0.5, 0, 1, 0, 1, 0.01, 1e5)], [0.0])
    plot_history(zero)
    compare_histories({"one": zero, "other": zero})


def test_nothing_to_draw():
    with pytest.raises(ValueError, match="`history` has no finished epoch"):
        plot_history(History())


def test_importing_does_not_import_matplotlib():
    code = "import fastcnn.plotting, fastcnn.training, sys; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def title(figure) -> str:
    return figure.axes[0].get_title(loc="left")


def words(figure) -> list[str]:
    return [text.get_text() for text in figure.axes[0].texts]


def pictures(figure) -> list[np.ndarray]:
    return [np.asarray(image.get_array()) for image in figure.axes[0].get_images()]


@pytest.mark.parametrize("count", [1, 3, 15])
def test_runs_side_by_side(count, tmp_path):
    figure = compare_histories({f"run {i}": HISTORY for i in range(count)})
    figure.savefig(tmp_path / "runs.png")
    loss, by_epoch, by_time = figure.axes
    lines = loss.get_lines()
    assert [line.get_label() for line in lines] == [f"run {i}, final 98.33 %" for i in range(count)]
    assert len({(line.get_color(), line.get_linestyle()) for line in lines}) == count
    np.testing.assert_allclose(lines[-1].get_xydata(), [(1, 0.5), (2, 0.25), (3, 0.5 / 3)])
    np.testing.assert_allclose(by_epoch.get_lines()[0].get_ydata(), [95, 97.5, 100 - 5 / 3])
    np.testing.assert_allclose(by_time.get_lines()[0].get_xdata(), [0.5, 1.0, 1.5])


@pytest.mark.parametrize("highest", [0.011, 0.09, 900.0], ids=["less than a decade", "one decade", "many decades"])
def test_a_logarithmic_axis_has_numbers(highest):
    epochs = [classified(i, 3, 0.5, loss, 0.9, loss, 0.9, 0.006, 1e5) for i, loss in ((1, highest), (2, 0.01))]
    figure = compare_histories({"run": History(epochs)})
    figure.canvas.draw()
    low, high = figure.axes[0].get_ylim()
    assert sum(low <= tick <= high for tick in figure.axes[0].get_yticks()) >= 3


def test_confusion_holds_the_numbers(tmp_path):
    figure = plot_confusion(np.array([[970, 0, 30], [1, 998, 1], [0, 0, 0]]), ["cat", "dog", "mouse"])
    figure.savefig(tmp_path / "confusion.png")
    assert words(figure) == ["970", "30", "1", "998", "1"]  # cells with 0 are empty
    np.testing.assert_allclose(pictures(figure)[0], [[0.97, 0, 0.03], [0.001, 0.998, 0.001], [0, 0, 0]])
    assert title(figure) == "1,968 of 2,000 right, 98.40 %"
    axes = figure.axes[0]
    assert (axes.get_ylabel(), axes.get_xlabel()) == ("true", "predicted")
    assert [label.get_text() for label in axes.get_yticklabels()] == ["cat", "dog", "mouse"]
    assert figure.axes[1].get_ylabel() == "share of the true class (scale not linear)"


def test_numbers_of_a_confusion_are_black_or_white_where_that_is_read_better():
    counts = np.array([[100, 0, 0, 0], [5, 80, 10, 5], [20, 15, 35, 30], [1, 1, 48, 50]])
    figure = plot_confusion(counts)
    (drawn,) = figure.axes[0].get_images()
    for text in figure.axes[0].texts:
        j, k = text.get_position()
        grey = np.dot(drawn.to_rgba(drawn.get_array()[k, j])[:3], (0.3, 0.6, 0.1))
        if abs(grey - 0.45) > 0.1:
            assert text.get_color() == ("black" if grey > 0.45 else "white"), text.get_text()
    assert {text.get_color() for text in figure.axes[0].texts} == {"black", "white"}


def test_confusion_of_many_classes_stays_a_picture():
    figure = plot_confusion(np.eye(100, dtype=int))
    assert max(figure.get_size_inches()) < 16
    assert not words(figure)


def test_filters_are_the_weights(rng):
    layer = nn.Conv2d(1, 6, (5, 3), rng=rng)
    figure = plot_filters(layer)
    assert title(figure) == "6 filters, 5 x 3"
    np.testing.assert_array_equal(pictures(figure), layer.weight.data[:, 0])
    limit = np.abs(layer.weight.data).max()
    assert {image.get_clim() for image in figure.axes[0].get_images()} == {(-limit, limit)}


def test_filters_of_colours(rng):
    layer = nn.Conv2d(3, 2, 3, rng=rng)
    layer.weight.data[0] = 0
    drawn = pictures(plot_filters(layer))
    np.testing.assert_array_equal(drawn[0], np.full((3, 3, 3), 0.5))  # zero is grey
    largest = np.abs(layer.weight.data).max()
    np.testing.assert_allclose(drawn[1], 0.5 + np.moveaxis(layer.weight.data[1], 0, -1) / (2 * largest), rtol=1e-6)


def test_filters_of_many_channels(rng):
    layer = nn.Conv2d(20, 40, 1, rng=rng)
    figure = plot_filters(layer)
    assert title(figure) == "40 filters across, 20 channels down, 1 x 1; the first 32 filters and 16 channels"
    np.testing.assert_array_equal(np.ravel(pictures(figure)), layer.weight.data[:32, :16].ravel())
    assert words(figure) == [str(i) for i in [*range(32), *range(16)]]
    axes = figure.axes[0]
    left, _, *rows = np.transpose([image.get_extent() for image in axes.images])
    assert all(text.get_position()[1] > np.max(rows) for text in axes.texts[:32])  # filters: below the pictures
    assert all(text.get_position()[0] < np.min(left) for text in axes.texts[32:])  # channels: beside them


@pytest.fixture
def lenet5():
    with use_backend("numpy"):
        yield models.LeNet5(rng=np.random.default_rng(0)).eval()


IMAGE = np.random.default_rng(3).standard_normal((1, 32, 32)).astype(np.float32)


@pytest.mark.parametrize("layer", [0, "0", 3, 5, 6])
def test_maps_of_a_layer(lenet5, layer, tmp_path):
    figure = plot_feature_maps(lenet5, IMAGE, layer)
    figure.savefig(tmp_path / "maps.png")
    image, *maps = pictures(figure)
    np.testing.assert_allclose(image, (IMAGE[0] - IMAGE.min()) / np.ptp(IMAGE), rtol=1e-6)
    x = IMAGE[None]
    for one in lenet5[: int(layer) + 1]:
        x = one(x)
    np.testing.assert_array_equal(maps, x[0, :64])
    scales = [drawn.get_clim() for drawn in figure.axes[0].get_images()[1:]]
    if layer == 6:  # maps of one pixel are compared with each other
        assert set(scales) == {(np.min(maps), np.max(maps))}
    else:
        assert scales == [(one.min(), one.max()) for one in maps]
    assert f"{x.shape[1]} maps of" in title(figure)


def test_maps_through_the_model(lenet5):
    figure = plot_feature_maps(lenet5, IMAGE)
    assert [" ".join(text.splitlines()) for text in words(figure)] == [
        "input 1 x 32 x 32", "0: Conv2d 6 x 28 x 28", "1: ReLU 6 x 28 x 28", "2: MaxPool2d 6 x 14 x 14",
        "3: Conv2d 16 x 10 x 10", "4: ReLU 16 x 10 x 10", "5: MaxPool2d 16 x 5 x 5",
    ]  # fmt: skip
    assert len(pictures(figure)) == 1 + 3 * 6 + 3 * 8


def test_maps_of_a_layer_inside_and_of_a_colour_image():
    with use_backend("numpy"):
        block = models.residual_block(3, 4, rng=np.random.default_rng(0)).eval()
        image = np.random.default_rng(1).standard_normal((3, 6, 4)).astype(np.float32)
        figure = plot_feature_maps(block, image, "0.body.2")
    assert title(figure) == "0.body.2: ReLU, 4 maps of 6 x 4"
    assert pictures(figure)[0].shape == (6, 4, 3)


def signals(figure):
    """Return the curves in a figure, scaled from 0 to 1 in their frames."""
    patches, lines = figure.axes[0].patches, figure.axes[0].get_lines()
    frames = [next(p for p in patches if p.get_bbox().contains(*line.get_xydata()[0])).get_bbox() for line in lines]
    return [(0.95 - (line.get_ydata() - f.y0) / f.height) / 0.9 for line, f in zip(lines, frames, strict=True)]


@pytest.mark.parametrize("channels", [1, 3])
def test_filters_of_signals_are_curves(channels, rng, tmp_path):
    layer = nn.Conv1d(channels, 4, 9, rng=rng)
    figure = plot_filters(layer)
    figure.savefig(tmp_path / "filters.png")
    limit = np.abs(layer.weight.data).max()
    wide = "4 filters" if channels == 1 else "4 filters across, 3 channels down"
    assert title(figure) == f"{wide}, 9 long, from {-limit:.2g} to {limit:.2g}"
    np.testing.assert_allclose(signals(figure), layer.weight.data.reshape(-1, 9) / (2 * limit) + 0.5, atol=1e-6)


def test_maps_of_signals_are_curves(rng, tmp_path):
    with use_backend("numpy"):
        net = nn.Sequential(nn.Conv1d(2, 3, 5, rng=rng), nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten())
        signal = rng.standard_normal((2, 20)).astype(np.float32)
        whole, one, point = (plot_feature_maps(net, signal, layer) for layer in (None, 0, 2))
        maps = net[0](signal[None])[0]
    for figure in (whole, one, point):
        figure.savefig(tmp_path / "maps.png")
    assert title(one) == "0: Conv1d, 3 maps of 16"
    assert len(signals(whole)) == 2 + 2 * 3  # maps of the last layers have a single element
    low, high = maps.min(1, keepdims=True), maps.max(1, keepdims=True)
    np.testing.assert_allclose(signals(one)[2:], (maps - low) / (high - low), atol=1e-6)
    np.testing.assert_allclose(np.ravel(pictures(point)), net[1](maps[None])[0].mean(1), rtol=1e-5)


SURE = np.array([[0.9, 0.1], [0.2, 0.8], [0.3, 0.7], [0.99999, 0.00001]])
DIGITS = np.random.default_rng(2).integers(0, 256, (4, 1, 5, 5)).astype(np.uint8)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_most_confident_mistakes_come_first(dtype, tmp_path):
    figure = plot_mistakes(DIGITS, np.array([0, 0, 0, 1]), SURE.astype(dtype), ["cat", "dog"])
    figure.savefig(tmp_path / "mistakes.png")
    assert title(figure) == "3 of 4 images are wrong"
    assert words(figure) == ["dog → cat  99.9 %", "cat → dog  80.0 %", "cat → dog  70.0 %"]
    np.testing.assert_array_equal(pictures(figure), DIGITS[[3, 1, 2], 0])


def test_as_many_mistakes_as_asked():
    figure = plot_mistakes(DIGITS.astype(np.float32), np.array([0, 0, 0, 1]), SURE, count=1)
    assert title(figure) == "3 of 4 images are wrong; the 1 most confident"
    assert words(figure) == ["1 → 0  99.9 %"]
    assert len(pictures(figure)) == 1


def test_saliency_is_beside_the_image(lenet5, tmp_path):
    figure = plot_saliency(lenet5, IMAGE, 3)
    figure.savefig(tmp_path / "saliency.png")
    image, values = pictures(figure)
    np.testing.assert_allclose(image, (IMAGE[0] - IMAGE.min()) / np.ptp(IMAGE), rtol=1e-6)
    np.testing.assert_array_equal(values, nn.saliency(lenet5, IMAGE[None], 3)[0])
    predicted = int(lenet5(IMAGE[None]).argmax())
    assert title(figure) == f"Saliency: class 3 (predicted: {predicted})"
    assert title(plot_saliency(lenet5, IMAGE)) == f"Saliency: class {predicted}"


def test_grad_cam_lies_over_the_image(lenet5, tmp_path):
    figure = plot_grad_cam(lenet5, IMAGE, 3, 4, classes=[*"abcdefghij"])
    figure.savefig(tmp_path / "cam.png")
    image, below, values = pictures(figure)
    np.testing.assert_array_equal(image, below)
    np.testing.assert_array_equal(values, nn.grad_cam(lenet5, IMAGE[None], 3, 4)[0])
    predicted = "abcdefghij"[lenet5(IMAGE[None]).argmax()]
    assert title(figure) == f"Grad-CAM, layer 4: d (predicted: {predicted})"
    drawn = figure.axes[0].get_images()[-1]
    assert drawn.get_clim() == (0, values.max())
    assert (drawn.get_alpha()[values == 0] == 0).all()  # there the image shows
    assert drawn.get_alpha().max() == pytest.approx(0.8)
    np.testing.assert_array_equal(pictures(plot_grad_cam(lenet5, IMAGE, 3))[-1], nn.grad_cam(lenet5, IMAGE[None], 3)[0])


@pytest.mark.parametrize("draw", [plot_saliency, plot_grad_cam])
def test_attributions_of_several_images(lenet5, draw, tmp_path):
    images = np.random.default_rng(4).standard_normal((40, 1, 32, 32)).astype(np.float32)
    classes = np.arange(40) % 10
    figure = draw(lenet5, images, classes)
    figure.savefig(tmp_path / "several.png")
    predicted = lenet5(images).argmax(axis=1)
    assert words(figure) == [
        f"class {k}" if k == p else f"class {k} (predicted: {p})"
        for k, p in zip(classes[:32], predicted[:32], strict=True)
    ]
    assert title(figure) == {plot_saliency: "Saliency", plot_grad_cam: "Grad-CAM, layer 5"}[draw] + "; the first 32"
    function = nn.saliency if draw is plot_saliency else nn.grad_cam
    np.testing.assert_array_equal(pictures(figure)[-1], function(lenet5, images[:32], classes[:32])[-1])
    assert title(draw(lenet5, images[:32])) == title(figure).removesuffix("; the first 32")


def test_attributions_of_a_colour_image():
    with use_backend("numpy"):
        net = nn.Sequential(nn.Conv2d(3, 2, 3, padding=1), nn.ReLU(), nn.GlobalAvgPool2d())
        image = np.random.default_rng(1).standard_normal((3, 6, 4)).astype(np.float32)
        saliency, cam = pictures(plot_saliency(net, image)), pictures(plot_grad_cam(net, image))
    assert [drawn.shape for drawn in saliency] == [(6, 4, 3), (6, 4)]
    assert [drawn.shape for drawn in cam] == [(6, 4, 3), (6, 4), (6, 4)]  # the map lies over grey


@pytest.mark.parametrize("draw", [plot_saliency, plot_grad_cam])
def test_attributions_of_a_signal_are_the_colour_behind_it(draw, rng, tmp_path):
    with use_backend("numpy"):
        net = nn.Sequential(nn.Conv1d(2, 3, 5, rng=rng), nn.ReLU(), nn.Flatten(), nn.Linear(48, 3, rng=rng))
        one = rng.standard_normal((2, 20)).astype(np.float32)
        figure = draw(net, one, 1)
        figure.savefig(tmp_path / "signal.png")
        expected = (nn.saliency if draw is plot_saliency else nn.grad_cam)(net, one[None], 1)
    np.testing.assert_array_equal(pictures(figure)[0], expected)
    assert len(signals(figure)) == 2


def test_a_map_of_zeros_is_drawn(tmp_path):
    with use_backend("numpy"):
        net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.GlobalAvgPool2d())
        net[0].bias.data[:] = -9
        for draw in (plot_saliency, plot_grad_cam):
            figure = draw(net, np.zeros((1, 5, 5), np.float32))
            figure.savefig(tmp_path / "zeros.png")
            assert not pictures(figure)[-1].any()


NAMES = ["$\\sin$", "$5-$10", "$\\frac$", "_old", "\\$x\\$", "$", "caf\udce9", "__", "a_$b$^2", "{}%s"]
SHOWN = [name.replace("\udce9", "\ufffd") for name in NAMES]


class Odd(nn.ReLU):
    """A layer with an unusual name."""


Odd.__name__ = "$\\frac$"

FIGURES = {
    "confusion": lambda: plot_confusion(np.eye(10, dtype=int), NAMES),
    "mistakes": lambda: plot_mistakes(
        np.zeros((10, 1, 4, 4), np.uint8), np.arange(10), np.roll(np.eye(10), 1, axis=1), NAMES
    ),
    "runs": lambda: compare_histories(dict.fromkeys(NAMES, HISTORY)),
    "run": lambda: plot_history(HISTORY),
    "saliency": lambda: plot_saliency(models.LeNet5(), IMAGE, classes=NAMES),
    "maps of evidence": lambda: plot_grad_cam(models.LeNet5(), np.stack([IMAGE] * 10), np.arange(10), classes=NAMES),
    "a layer": lambda: plot_feature_maps(nn.Sequential(Odd()), IMAGE, 0),
    "layers": lambda: plot_feature_maps(nn.Sequential(Odd()), IMAGE),
    "a layer of many maps": lambda: plot_feature_maps(nn.Sequential(nn.Conv2d(1, 33, 3)), IMAGE, 0),
    "layers of many maps": lambda: plot_feature_maps(nn.Sequential(nn.Conv2d(1, 33, 3), nn.ReLU()), IMAGE),
    "filters": lambda: plot_filters(nn.Conv2d(1, 2, 3)),
    "many filters": lambda: plot_filters(nn.Conv2d(1, 20, 3)),
    "filters of many channels": lambda: plot_filters(nn.Conv2d(4, 2, 3)),
}


@pytest.mark.parametrize("draw", FIGURES.values(), ids=FIGURES)
def test_no_text_of_a_figure_is_mathematics(draw, tmp_path, monkeypatch):
    from matplotlib.mathtext import MathTextParser
    from matplotlib.text import Text

    def parse(self, s, *more, **options):
        raise AssertionError(f"{s!r} was read as mathematics")

    with use_backend("numpy"):
        figure = draw()
    monkeypatch.setattr(MathTextParser, "parse", parse)
    for suffix in ("png", "pdf", "svg"):
        figure.savefig(tmp_path / f"a.{suffix}")
    assert not any(text.get_parse_math() for text in figure.findobj(Text) if "$" in text.get_text())


@pytest.mark.parametrize("name", [name for name in FIGURES if name not in ("confusion", "runs", "run")])
def test_nothing_is_cut_off(name):
    """Tiles, curves, frames and texts lie inside their figure, and tiles do not overlap."""
    with use_backend("numpy"):
        figure = FIGURES[name]()
    figure.draw_without_rendering()
    axes, page = figure.axes[0], figure.bbox
    for part in (*axes.get_images(), *axes.patches, *axes.get_lines(), *axes.texts, axes._left_title):
        box = part.get_window_extent()
        assert page.x0 - 1 < box.x0 <= box.x1 < page.x1 + 1, part
        assert page.y0 - 1 < box.y0 <= box.y1 < page.y1 + 1, part
    corners = {tuple(image.get_extent()) for image in axes.get_images()}
    for one, other in itertools.combinations(corners, 2):
        (left, right, bottom, top), (x0, x1, y1, y0) = one, other  # y points down
        assert min(right, x1) - max(left, x0) < 1e-9 or min(bottom, y1) - max(top, y0) < 1e-9, (one, other)


def test_mathematics_that_somebody_wants_stays():
    """Numbers are still typeset as mathematics if matplotlib's settings say so."""
    import matplotlib

    with matplotlib.rc_context({"axes.formatter.use_mathtext": True}):
        figure = plot_history(HISTORY)
        figure.canvas.draw()
    labels = figure.axes[1].get_yticklabels()
    assert any("$" in label.get_text() for label in labels)
    assert all(label.get_parse_math() for label in labels)


def test_names_are_no_latex_either():
    import matplotlib

    with matplotlib.rc_context({"text.usetex": True}):
        figures = [draw() for name, draw in FIGURES.items() if name in ("confusion", "mistakes", "runs")]
    for figure in figures:
        named = [text for text in figure.findobj(matplotlib.text.Text) if "caf" in text.get_text()]
        assert named
        assert not any(text.get_usetex() for text in named)


def test_names_are_shown_as_they_are(tmp_path):
    confusion = plot_confusion(np.eye(10, dtype=int), NAMES)
    confusion.savefig(tmp_path / "confusion.png")  # ticks get their text when they are drawn
    for labels in (confusion.axes[0].get_xticklabels(), confusion.axes[0].get_yticklabels()):
        assert [label.get_text() for label in labels] == SHOWN
    (legend,) = compare_histories(dict.fromkeys(NAMES, HISTORY)).legends
    assert [text.get_text() for text in legend.get_texts()] == [f"{name}, final 98.33 %" for name in SHOWN]
    wrong = np.roll(np.eye(10), 1, axis=1)
    mistakes = plot_mistakes(np.zeros((10, 1, 4, 4), np.uint8), np.arange(10), wrong, NAMES)
    assert words(mistakes)[3] == "_old → \\$x\\$  99.9 %"


@pytest.mark.parametrize(
    ("draw", "error", "text"),
    [
        pytest.param(lambda: compare_histories({}), ValueError, "`histories` has no run", id="no run"),
        pytest.param(lambda: compare_histories({"a": History()}), ValueError, "The run 'a' in `histories` has no",
                     id="no epoch"),
        pytest.param(lambda: plot_confusion(np.ones((2, 3), int)), ValueError, "`matrix` must be (K, K), whole",
                     id="no square"),
        pytest.param(lambda: plot_confusion(np.ones((2, 2))), ValueError, "whole numbers, not float64", id="shares"),
        pytest.param(lambda: plot_confusion(-np.ones((2, 2), int)), ValueError, "`matrix` holds -1", id="negative"),
        pytest.param(lambda: plot_confusion(np.ones((2, 2), int), ["cat"]), ValueError,
                     "`classes` has 1 names but there are 2 classes", id="names"),
        pytest.param(lambda: plot_filters(nn.Linear(2, 2)), TypeError,
                     "`layer` must be a Conv1d or a Conv2d, not Linear",
                     id="no convolution"),
        pytest.param(lambda: plot_feature_maps(nn.ReLU(), IMAGE[0, 0]), ValueError,
                     "`image` must be an array (C, H, W), or (C, L) of a signal, not one of shape (32,)",
                     id="no channels"),
        pytest.param(lambda: plot_feature_maps(nn.Sequential(nn.ReLU()), IMAGE, 1), ValueError,
                     "`model` has no layer '1'; its layers are '', '0'", id="no layer"),
        pytest.param(lambda: plot_feature_maps(nn.Sequential(nn.Flatten()), IMAGE, 0), ValueError,
                     "Layer '0' makes no maps: its output has shape (1024,)", id="rows"),
        pytest.param(lambda: plot_feature_maps(nn.Sequential(nn.Flatten()), IMAGE), ValueError,
                     "No layer directly inside `model` makes maps", id="only rows"),
        pytest.param(lambda: plot_saliency(models.LeNet5(), IMAGE[0, 0]), ValueError,
                     "`image` must be an array (C, H, W), (N, C, H, W) of several, or (C, L) of a signal, not one of "
                     "shape (32,)", id="saliency without channels"),
        pytest.param(lambda: plot_grad_cam(models.LeNet5(), IMAGE.tolist()), ValueError, "of a signal, not list",
                     id="evidence in a list"),
        pytest.param(lambda: plot_grad_cam(models.LeNet5(), IMAGE, 10), ValueError,
                     "`target` is 10, but the classes of `model` are 0 to 9", id="no class"),
        pytest.param(lambda: plot_saliency(models.LeNet5(), np.stack([IMAGE] * 2), np.zeros(3, int)), ValueError,
                     "`target` has shape (3,) but must have (2,)", id="a class too many"),
        pytest.param(lambda: plot_grad_cam(models.LeNet5(), IMAGE, layer=12), ValueError,
                     "`model` has no layer '12'", id="no layer of evidence"),
        pytest.param(lambda: plot_saliency(models.LeNet5(), IMAGE, classes=["cat"]), ValueError,
                     "`classes` has 1 names but there are 10 classes", id="saliency of names"),
        pytest.param(lambda: plot_mistakes(DIGITS[:, 0], np.zeros(4, int), SURE), ValueError,
                     "`images` must be an array (N, C, H, W) with C of 1 or 3, not of shape (4, 5, 5)", id="images"),
        pytest.param(lambda: plot_mistakes(DIGITS, np.array([0, 1, 1, 0]), SURE), ValueError,
                     "there is no mistake to plot", id="all right"),
        pytest.param(lambda: plot_mistakes(DIGITS, np.zeros(4, int), SURE[:3]), ValueError,
                     "`probabilities` has 3 rows but there are 4 images", id="rows of probabilities"),
        pytest.param(lambda: plot_mistakes(DIGITS, np.full(4, 2), SURE), ValueError, "`labels` holds 2", id="label"),
        pytest.param(lambda: plot_mistakes(DIGITS, np.zeros(4, int), SURE, count=0), ValueError, "`count` is 0",
                     id="none"),
    ],
)  # fmt: skip
def test_what_cannot_be_drawn_is_said(draw, error, text):
    with use_backend("numpy"), pytest.raises(error) as raised:
        draw()
    assert text in str(raised.value)


def test_a_figure_is_shown_in_its_size():
    figure = plot_history(HISTORY)
    picture, size = figure._repr_png_()
    assert picture.startswith(b"\x89PNG")
    assert [size["width"], size["height"]] == np.round(96 * figure.get_size_inches()).tolist()
