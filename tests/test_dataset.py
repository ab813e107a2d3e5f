"""A loader of a dataset gives the same batches with any number of threads."""

import gc
import re
import threading
import time

import numpy as np
import pytest

from fastcnn import data, nn, optim, training
from fastcnn.data import ArrayDataset, DataLoader, Dataset, ImageFolder
from tests.test_loader import arrays, equal, noise

Image = pytest.importorskip("PIL.Image", reason="Pillow is not installed: pip install Pillow")


class Numbers:
    """A dataset by duck typing; reading item ``bad`` fails."""

    def __init__(self, n=10, bad=None, seconds=0.0):
        self.images, self.numbers = arrays(n)
        self.bad, self.seconds, self.asked = bad, seconds, []

    def __len__(self):
        return len(self.images)

    def __getitem__(self, i):
        self.asked.append(i)
        time.sleep(self.seconds)
        if i == self.bad:
            raise OSError(f"number {i} is gone")
        return self.images[i], int(self.numbers[i])


def workers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("fastcnn data loader")]


def loader(dataset, batch_size=3, **options):
    options = {"shuffle": True, "rng": np.random.default_rng(0), "augment": noise, **options}
    return DataLoader(dataset, batch_size, **options)


WORKERS = [0, 1, 2, 5]


@pytest.mark.parametrize("num_workers", WORKERS)
@pytest.mark.parametrize("shuffle", [False, True], ids=["in order", "shuffled"])
def test_batches_are_those_of_arrays_whoever_makes_them(num_workers, shuffle):
    images, labels = arrays(10)
    expected = DataLoader(images, labels, 3, shuffle=shuffle, rng=np.random.default_rng(0), augment=noise)
    one = loader(Numbers(), shuffle=shuffle, num_workers=num_workers)
    for _ in range(2):
        equal(list(one), list(expected))
        assert one.state_dict() == expected.state_dict()
    assert not workers()


@pytest.mark.parametrize("num_workers", WORKERS)
def test_parts_are_those_of_arrays(num_workers):
    images, labels = arrays(10)
    for part in range(5):  # with batches of four and a last one of two, some parts are empty
        expected = DataLoader(images, labels, 4, shuffle=True, rng=np.random.default_rng(0)).parts(part, 5)
        equal(list(loader(Numbers(), 4, augment=None, num_workers=num_workers).parts(part, 5)), list(expected))


@pytest.mark.parametrize("num_workers", WORKERS)
def test_it_goes_on_in_the_middle_of_an_epoch(num_workers):
    expected = list(loader(Numbers()))
    for stop in range(len(expected) + 1):
        one = loader(Numbers(), num_workers=num_workers)
        batches = iter(one)
        seen = [next(batches) for _ in range(stop)]
        other = loader(Numbers(), rng=np.random.default_rng(5), num_workers=num_workers)
        other.load_state_dict(one.state_dict())
        equal(seen + list(other), expected)


def test_forms_of_pytorch():
    dataset, rng = Numbers(), np.random.default_rng(0)
    assert [len(y) for _, y in DataLoader(dataset)] == [1] * 10
    assert [len(y) for _, y in DataLoader(dataset, 4)] == [4, 4, 2]
    assert [len(y) for _, y in DataLoader(dataset, batch_size=4, drop_last=True)] == [4, 4]
    shuffled = [y.tolist() for _, y in DataLoader(dataset, 10, True, rng=rng)]
    assert shuffled == [np.random.default_rng(0).permutation(10).tolist()]
    pairs = [(np.zeros(2), 3), [np.ones(2), 4]]
    (x, y), = DataLoader(pairs, batch_size=2)  # fmt: skip
    assert (x.tolist(), y.tolist(), y.dtype) == ([[0, 0], [1, 1]], [3, 4], np.int64)
    assert DataLoader(arrays(3)[0], [2, 1, 0], 3).labels.tolist() == [2, 1, 0]


def test_a_data_set_of_arrays_is_one():
    images = np.arange(12, dtype=np.uint8).reshape(3, 1, 2, 2)
    dataset = ArrayDataset(images, np.array([2, 0, 1]), "three")
    assert isinstance(dataset, Dataset)
    image, label = dataset[1]
    assert (image.tolist(), label) == ([[[4, 5], [6, 7]]], 0)
    (x, y), _ = DataLoader(dataset, 2)
    assert np.shares_memory(x, images)
    assert y.tolist() == [2, 0]


def test_threads_are_ahead_but_not_far():
    dataset = Numbers(100)
    batches = iter(DataLoader(dataset, 5, num_workers=2))
    next(batches)
    limit = time.monotonic() + 10
    while len(dataset.asked) < 20 and time.monotonic() < limit:
        time.sleep(0.01)
    time.sleep(0.05)
    assert len(dataset.asked) == 20  # five batches of four: two for each thread
    assert len(workers()) == 2
    batches.close()
    assert not workers()


@pytest.mark.parametrize("end", ["close", "break", "forget"])
def test_an_iteration_that_is_given_up_leaves_no_thread(end):
    batches = iter(DataLoader(Numbers(100), 5, num_workers=3))
    for _ in batches:
        break
    assert workers()
    if end == "close":
        batches.close()
    elif end == "break":
        for _ in DataLoader(Numbers(100), 5, num_workers=3):
            break
    del batches
    gc.collect()
    assert not workers()


@pytest.mark.parametrize("num_workers", WORKERS)
def test_what_fails_fails_at_its_batch(num_workers):
    batches = iter(DataLoader(Numbers(bad=7), 2, num_workers=num_workers))
    assert [next(batches)[1].tolist() for _ in range(3)] == [[0, 1], [2, 3], [4, 5]]
    with pytest.raises(OSError, match="number 7 is gone") as caught:
        next(batches)
    assert caught.value.__notes__ == ["That was dataset[7]."]
    assert not workers()


def test_ctrl_c_leaves_no_thread():
    def interrupted():
        for number, _ in enumerate(DataLoader(Numbers(100, seconds=0.001), 5, num_workers=2)):
            if number == 3:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    gc.collect()
    assert not workers()


BAD_ITEMS = {
    "no pair": ([np.zeros(2), np.zeros(2)], TypeError, "dataset[0] must be a pair (image, label), not ndarray:"),
    "three": ([(1, 2, 3)], TypeError, "dataset[0] must be a pair (image, label), not tuple: (1, 2, 3)"),
    "two shapes": (
        [(np.zeros((1, 2)), 0), (np.zeros((2, 1)), 0)],
        ValueError,
        "The images of a batch must have one shape, but dataset[1] has (2, 1) and dataset[0] has (1, 2).",
    ),
}


@pytest.mark.parametrize(("dataset", "error", "sentence"), BAD_ITEMS.values(), ids=BAD_ITEMS)
def test_bad_items(dataset, error, sentence):
    with pytest.raises(error, match=re.escape(sentence)):
        next(iter(DataLoader(dataset, 2)))


# ---- folders ----


@pytest.fixture
def folder(tmp_path):
    for label, name in enumerate("abc"):
        (tmp_path / name).mkdir()
        for i in range(4):
            pixels = np.random.default_rng([label, i]).integers(0, 256, (6, 5, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / name / f"{i}.png")
    return tmp_path


def test_a_folder_says_what_it_has_as_torchvision_does(folder):
    pictures = ImageFolder(folder)
    assert (len(pictures), pictures.classes, pictures.class_to_idx) == (12, ("a", "b", "c"), {"a": 0, "b": 1, "c": 2})
    assert pictures.samples[4] == (str(folder / "b" / "0.png"), 1)
    assert pictures.labels.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert (pictures.files[4], pictures.source) == ("b/0.png", str(folder))
    assert repr(pictures) == f"ImageFolder({str(folder)!r}, 12 pictures, 3 classes)"
    image, label = pictures[4]
    np.testing.assert_array_equal(image, data.read_image(folder / "b" / "0.png"), strict=True)
    assert label == 1
    assert isinstance(pictures, Dataset)


def test_a_folder_is_the_same_in_memory_and_not(folder):
    expected = ImageFolder(folder).load()
    assert (expected.classes, expected.files) == (("a", "b", "c"), ImageFolder(folder).files)
    for num_workers in WORKERS:
        equal(list(DataLoader(ImageFolder(folder), 5, num_workers=num_workers)), list(DataLoader(expected, 5)))
    small = ImageFolder(folder, size=(2, 3), channels=1)
    assert small[0][0].shape == (1, 2, 3)
    drawn, lazily = expected.limit(7, np.random.default_rng(1)), ImageFolder(folder).limit(7, np.random.default_rng(1))
    assert (drawn.files, drawn.source, drawn.labels.tolist()) == (lazily.files, lazily.source, lazily.labels.tolist())
    np.testing.assert_array_equal(drawn.images, lazily.load().images)
    assert lazily.limit(7, np.random.default_rng(1)) is lazily


def test_pictures_are_transformed(folder):
    prepare = data.Preprocessing(8, [0.5] * 3, [0.5] * 3)
    pictures = ImageFolder(folder, prepare)
    np.testing.assert_array_equal(pictures[3][0], prepare(ImageFolder(folder)[3][0][None])[0], strict=True)
    with pytest.raises(ValueError, match="`transform` must be None for `load`, which returns the pictures unchanged"):
        pictures.load()
    with pytest.raises(TypeError, match=re.escape("`transform` must be callable, transform(image), not 'flip'.")):
        ImageFolder(folder, "flip")


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_damaged_picture_is_named_with_its_batch(folder, num_workers):
    (folder / "b" / "1.png").write_bytes((folder / "b" / "1.png").read_bytes()[:60])
    batches = iter(DataLoader(ImageFolder(folder), 4, num_workers=num_workers))
    next(batches)
    with pytest.raises(data.DataError, match=re.escape(f"{folder / 'b' / '1.png'} is damaged: ")):
        next(batches)
    assert not workers()


def test_a_picture_of_another_size_is_named(folder):
    Image.new("RGB", (9, 9)).save(folder / "a" / "2.png")
    with pytest.raises(ValueError, match=re.escape(f"but {folder / 'a' / '2.png'} has (3, 9, 9) and {folder / 'a'}")):
        next(iter(DataLoader(ImageFolder(folder), 4)))


def test_a_model_trains_on_a_folder_as_on_arrays(folder):
    prepare = data.Preprocessing.of(ImageFolder(folder).load().images, 6)
    arrays = ImageFolder(folder).load()
    validation = prepare(arrays.images), arrays.labels

    def losses(*dataset, **options):
        model = nn.Sequential(nn.Flatten(), nn.Linear(108, 3, rng=np.random.default_rng(0)))
        batches = DataLoader(*dataset, batch_size=5, shuffle=True, rng=np.random.default_rng(1), **options)
        return training.Trainer(model, optim.SGD(model.parameters(), 0.1), nn.CrossEntropyLoss()).fit(
            batches, validation, 2
        ).step_losses  # fmt: skip

    expected = losses(*validation)
    for num_workers in (0, 3):
        assert losses(ImageFolder(folder, prepare), num_workers=num_workers) == expected


def test_labels_that_no_class_has_are_said_before_the_first_batch(folder):
    model = nn.Sequential(nn.Flatten(), nn.Linear(108, 2))
    trainer = training.Trainer(model, optim.SGD(model.parameters(), 0.1), nn.CrossEntropyLoss())
    prepare = data.Preprocessing(6, [0.5] * 3, [0.5] * 3)
    validation = prepare(ImageFolder(folder).load().images[:8]), np.arange(8) // 4
    with pytest.raises(ValueError, match="`train` cannot be trained on: `labels` holds 2"):
        trainer.fit(DataLoader(ImageFolder(folder, prepare), 4), validation, 1)


def test_float64_images_for_float32_weights_are_one_sentence():
    model = nn.Sequential(nn.Linear(3, 2))
    trainer = training.Trainer(model, optim.SGD(model.parameters(), 0.1), nn.CrossEntropyLoss())
    x, labels = np.zeros((4, 3)), np.array([0, 1, 0, 1])
    hint = re.escape("has float32 parameters but its input is float64; convert it with .astype(np.float32).")
    with pytest.raises(TypeError, match=f"^`validation` cannot be evaluated: Linear.* {hint}$"):
        trainer.fit(DataLoader(x, labels, 2), (x, labels), 1)
    with pytest.raises(TypeError, match=f"^Linear.* {hint}\nRaised in layer 0 of the model"):
        trainer.fit(DataLoader(x, labels, 2), (x.astype(np.float32), labels), 1)
    with pytest.raises(TypeError, match=hint):
        nn.Conv2d(1, 1, 1)(np.zeros((1, 1, 1, 1)))


def test_a_dataset_without_labels_is_checked_by_its_first_items():
    model = nn.Sequential(nn.Linear(2, 2))
    trainer = training.Trainer(model, optim.SGD(model.parameters(), 0.1), nn.CrossEntropyLoss())
    items = [(np.zeros(2, np.float32), 7)] * 4
    assert DataLoader(items, 2).labels is None
    with pytest.raises(ValueError, match="`train` cannot be trained on: `labels` holds 7"):
        trainer.fit(DataLoader(items, 2), None, 1)
    with pytest.raises(ValueError, match="`validation` cannot be evaluated: `labels` holds 7"):
        trainer.fit(DataLoader(np.zeros((4, 2), np.float32), [0, 1, 0, 1], 2), DataLoader(items, 2), 1)
    with pytest.raises(ValueError, match="`train` gives no batch: it has no images"):
        trainer.fit(DataLoader([], 2), None, 1)


def test_a_folder_may_be_the_validation(folder):
    prepare = data.Preprocessing(6, [0.5] * 3, [0.5] * 3)
    images = ImageFolder(folder).load()
    model = nn.Sequential(nn.Flatten(), nn.Linear(108, 3, rng=np.random.default_rng(0)))
    expected = training.evaluate(model, prepare(images.images), images.labels)
    found = training.evaluate(model, DataLoader(ImageFolder(folder, prepare), 5, num_workers=2))
    assert (found.loss, found.accuracy) == (pytest.approx(expected.loss), expected.accuracy)
