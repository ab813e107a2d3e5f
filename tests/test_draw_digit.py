"""The drawing example, with simulated mouse events."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from fastcnn.commands.classifier import Classifier
from tests.command_line import write_mnist

matplotlib = pytest.importorskip("matplotlib")
pytest.importorskip("matplotlib.pyplot")

STROKES = {  # (x, y) on the canvas
    "0": [[(0.5, 0.15), (0.3, 0.3), (0.25, 0.55), (0.4, 0.85), (0.6, 0.85), (0.75, 0.6), (0.7, 0.3), (0.5, 0.15)]],
    "1": [[(0.5, 0.15), (0.48, 0.5), (0.47, 0.85)]],
    "7": [[(0.3, 0.2), (0.7, 0.2), (0.55, 0.5), (0.45, 0.85)]],
    "4": [[(0.35, 0.2), (0.3, 0.5), (0.65, 0.5)], [(0.65, 0.25), (0.6, 0.85)]],
}


@pytest.fixture(scope="module")
def example():
    path = Path(__file__).parent.parent / "examples" / "draw_digit.py"
    spec = importlib.util.spec_from_file_location("draw_digit", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def classifier(trained_run):
    return Classifier(trained_run)


@pytest.fixture
def window(example, classifier):
    matplotlib.use("Agg")
    window = example.Window(classifier)
    window.figure.canvas.draw()
    yield window
    matplotlib.pyplot.close(window.figure)


def mouse(window, name: str, place, button=1) -> None:
    """Send a mouse event at a position on the canvas, from 0 to 1."""
    from matplotlib.backend_bases import MouseEvent

    x, y = window._axes.transData.transform(place)
    canvas = window.figure.canvas
    canvas.callbacks.process(name, MouseEvent(name, canvas, x, y, button))


def draw(window, strokes) -> None:
    for first, *rest in strokes:
        mouse(window, "button_press_event", first)
        for start, end in zip([first, *rest], rest, strict=False):
            for t in np.linspace(0, 1, 4)[1:]:
                mouse(window, "motion_notify_event", np.add(start, t * np.subtract(end, start)))
        mouse(window, "button_release_event", rest[-1])


@pytest.mark.parametrize("digit", STROKES)
def test_the_bars_show_the_digit_that_is_drawn(window, digit):
    draw(window, STROKES[digit])
    assert window.classifier.classes[int(window.probabilities.argmax())] == digit
    widths = [bar.get_width() for bar in window._bars]
    np.testing.assert_allclose(widths, window.probabilities)
    assert window._axes.get_title(loc="left").startswith(f"{digit}  (")


def test_names_of_classes_and_data_are_shown_as_they_are(example, trained_run):
    matplotlib.use("Agg")
    classifier = Classifier(trained_run)
    classifier.classes = tuple(f"$\\frac$ {k} caf\udce9" for k in range(10))
    classifier.settings["data"] = "/data/$\\frac$ caf\udce9"
    window = example.Window(classifier)
    draw(window, STROKES["1"])
    window.figure.canvas.draw()
    assert window.title.endswith("trained on $\\frac$ caf\ufffd")
    k = int(window.probabilities.argmax())
    assert window._axes.get_title(loc="left").startswith(f"$\\frac$ {k} caf\ufffd  (")
    matplotlib.pyplot.close(window.figure)


@pytest.mark.parametrize("how", ["right button", "key"])
def test_the_sheet_is_cleared(window, how):
    draw(window, STROKES["7"])
    if how == "key":
        from matplotlib.backend_bases import KeyEvent

        window.figure.canvas.callbacks.process(
            "key_press_event", KeyEvent("key_press_event", window.figure.canvas, "c")
        )
    else:
        mouse(window, "button_press_event", (0.5, 0.5), button=3)
    assert not window.sheet.picture.any()
    assert window.probabilities is None
    assert not any(bar.get_width() for bar in window._bars)


def test_moving_without_a_button_draws_nothing(window):
    mouse(window, "motion_notify_event", (0.5, 0.5))
    assert not window.sheet.picture.any()
    draw(window, STROKES["1"])
    before = window.sheet.picture.copy()
    mouse(window, "motion_notify_event", (0.1, 0.1))
    np.testing.assert_array_equal(window.sheet.picture, before)


def test_a_line_is_as_thick_as_the_pen(example):
    sheet = example.Sheet()
    sheet.line((0.25, 0.5), (0.75, 0.5))
    column = sheet.picture[0, :, example.SIDE // 2] / 255
    assert column.sum() == pytest.approx(2 * example.PEN, abs=0.1)
    assert sheet.picture[0, example.SIDE // 2].sum() / 255 == pytest.approx(example.SIDE / 2 + 2 * example.PEN, abs=0.5)


def test_a_click_is_a_dot(window):
    mouse(window, "button_press_event", (0.5, 0.5))
    assert window.probabilities is not None


def test_a_network_for_other_images_is_refused(example, classifier):
    other = Classifier.__new__(Classifier)
    other.image_shape = (3, 32, 32)
    with pytest.raises(ValueError, match="must take grey digits of 28x28 but was trained on images of 3x32x32"):
        example.Window(other)


def started(capsys, monkeypatch, example, run, backend) -> tuple[int, str]:
    monkeypatch.setattr(example.sys, "argv", ["draw_digit.py", str(run)])
    monkeypatch.setattr(matplotlib.pyplot, "get_backend", lambda: backend)
    monkeypatch.setattr(matplotlib.pyplot, "show", lambda: None)
    return example.main(), capsys.readouterr().err


def test_the_program(example, trained_run, tmp_path, monkeypatch, capsys):
    matplotlib.use("Agg")
    assert started(capsys, monkeypatch, example, trained_run, "TkAgg") == (0, "")
    matplotlib.pyplot.close("all")
    message = "draw_digit.py: matplotlib's backend agg opens no window.\n"
    assert started(capsys, monkeypatch, example, trained_run, "agg") == (1, message)
    message = f"draw_digit.py: There is no run and no checkpoint {tmp_path / 'no'}.\n"
    assert started(capsys, monkeypatch, example, tmp_path / "no", "TkAgg") == (1, message)


def test_the_first_time_it_trains(example, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("FASTCNN_DATA", str(write_mnist(tmp_path, 200, 50)))
    monkeypatch.setenv("FASTCNN_BACKEND", "numpy")
    assert example.train(tmp_path / "run") == 0
    assert "Training a network the first time" in capsys.readouterr().err
    assert Classifier(tmp_path / "run").image_shape == (1, 28, 28)
