"""Read damaged files with every reader: the outcome is a result or a clear error that names the file.

By default each byte of a small file's header is changed and the file is cut at each point; FASTCNN_TEST_PROFILE=full
adds thousands of damaged copies of each file.
"""

import gzip
import io
import json
import os
import tarfile
import tempfile
import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

import fastcnn
from fastcnn import _safetensors, data, nn, optim, training
from fastcnn.commands import settings
from fastcnn.commands.errors import UsageError
from tests import damage
from tests.epochs import classified
from tests.profile import FULL

Image = pytest.importorskip("PIL.Image")

COPIES = 4000 if FULL else 0  # randomly damaged copies of each file
SEED = int(os.environ.get("FASTCNN_TEST_SEED", "0"))
MORE = 1 << 26  # bytes that reading a small file may map: 64 MB
PICTURE_MORE = 1 << 30  # bytes for pictures of at most PIL.Image.MAX_IMAGE_PIXELS
IMAGES = np.random.default_rng(0).integers(0, 256, (6, 4, 5), dtype=np.uint8)
LABELS = np.array([0, 3, 1, 2, 0, 1], np.uint8)


class File(NamedTuple):
    """A kind of file: a small example, its name, the length of its header, its reader, and the expected errors."""

    content: bytes
    name: str
    header: int
    read: object
    family: type[Exception] = fastcnn.FileError
    more: int = MORE
    spoil: object = bytes  # applied to a mutant before it is written


def idx(array) -> bytes:
    return bytes([0, 0, 8, array.ndim]) + b"".join(size.to_bytes(4, "big") for size in array.shape) + array.tobytes()


def saved(save, **arrays) -> bytes:
    stream = io.BytesIO()
    save(stream, **arrays)
    return stream.getvalue()


def tar(members) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return stream.getvalue()


CIFAR = {f"data_batch_{i}.bin": bytes([i]) + bytes(range(256)) * 12 for i in range(1, 6)}
CIFAR["test_batch.bin"] = bytes([9]) + bytes(range(256)) * 12


def read_cifar(path: Path):
    return data.cifar10(path.parent)


def read_cifar_folder(path: Path):
    """Read extracted files, one of which is the mutant."""
    for name, content in CIFAR.items():
        if not (path.parent / name).exists():
            (path.parent / name).write_bytes(content)
    return read_cifar(path)


def read_mnist(path: Path):
    """Read a folder of MNIST's files, one of which is the mutant."""
    for name, array in {
        "train-images-idx3-ubyte": np.zeros((6, 28, 28), np.uint8),
        "t10k-images-idx3-ubyte": np.zeros((6, 28, 28), np.uint8),
        "t10k-labels-idx1-ubyte": LABELS,
    }.items():
        if not (path.parent / name).exists():
            (path.parent / name).write_bytes(idx(array))
    return data.mnist(path.parent)


def model():
    return nn.Sequential(nn.Linear(2, 2, rng=np.random.default_rng(0)), nn.BatchNorm1d(2))


def trainer():
    net = model()
    loader = data.DataLoader(np.eye(2, dtype=np.float32), np.arange(2), 2, shuffle=True, rng=np.random.default_rng(0))
    return training.Trainer(net, optim.Adam(net.parameters()), nn.CrossEntropyLoss()), loader


def read_weights(path: Path):
    """Load weights; on an error the model must be unchanged."""
    net = model()
    before = {name: array.copy() for name, array in net.state_dict().items()}
    try:
        training.load_weights(net, path)
    except fastcnn.FileError:
        for name, array in net.state_dict().items():
            np.testing.assert_array_equal(array, before[name])
        raise
    return net


def written(write, name: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder, name))
        return Path(folder, name).read_bytes()


def history() -> training.History:
    epochs = [classified(n, 469, 0.5, 0.3, 0.91, 0.1, 0.97, 0.006, 120000.0) for n in (1, 2)]
    return training.History(epochs, [2.5, 1.25, float("nan")])


def picture(format: str, mode: str = "RGB") -> bytes:
    image = Image.fromarray(np.tile(IMAGES[:1, :, :, None].repeat(3, 3)[0], (2, 2, 1)))
    stream = io.BytesIO()
    image.convert(mode).save(stream, format)
    return stream.getvalue()


def picture_file(format: str, header: int, mode: str = "RGB"):
    return lambda: File(picture(format, mode), "picture", header, data.read_image, more=PICTURE_MORE)


ARRAYS = {"x_train": IMAGES, "y_train": LABELS, "x_test": IMAGES[:2], "y_test": LABELS[:2]}
TOML = 'model = "lenet5"\nlr = 0.01\nepochs = 3\naugment = {shift = 3, scale = [0.8, 1.2]}\nmonitor = "test_loss"\n'

FILES = {
    "IDX": lambda: File(idx(IMAGES), "images", 16, data.read_idx),
    "IDX, gzip": lambda: File(gzip.compress(idx(IMAGES), 1, mtime=0), "images.gz", 10**9, data.read_idx),
    "IDX within gzip": lambda: File(idx(IMAGES), "images.gz", 16, data.read_idx, spoil=gzip.compress),
    "MNIST's labels": lambda: File(idx(LABELS), "train-labels-idx1-ubyte", 10**9, read_mnist),
    "npz, stored": lambda: File(saved(np.savez, **ARRAYS), "a.npz", 300, data.npz),
    "npz, deflated": lambda: File(saved(np.savez_compressed, **ARRAYS), "a.npz", 10**9, data.npz),
    "CIFAR's records": lambda: File(CIFAR["test_batch.bin"], "test_batch.bin", 100, read_cifar_folder),
    "CIFAR's archive": lambda: File(gzip.compress(tar(CIFAR), 1, mtime=0), "cifar-10-binary.tar.gz", 30, read_cifar),
    "CIFAR's tar within gzip": lambda: File(
        tar(CIFAR), "cifar-10-binary.tar.gz", 520, read_cifar, spoil=lambda content: gzip.compress(content, 1)
    ),
    "weights": lambda: File(
        written(lambda path: training.save_weights(model(), path), "w"), "w.safetensors", 10**9, read_weights
    ),
    "checkpoint": lambda: File(
        written(lambda path: training.save_checkpoint(path, *trainer()), "c"), "c.safetensors", 1200,
        training.load_checkpoint,
    ),
    "history": lambda: File(written(history().to_json, "h"), "history.json", 10**9, training.History.from_json),
    "TOML": lambda: File(TOML.encode(), "run.toml", 10**9, settings.read_file, UsageError),
    "PNG": picture_file("PNG", 60),
    "PNG, palette": picture_file("PNG", 80, "P"),
    "JPEG": picture_file("JPEG", 200),
    "GIF": picture_file("GIF", 60, "P"),
    "BMP": picture_file("BMP", 54),
    "PPM": picture_file("PPM", 14),
    "TIFF": picture_file("TIFF", 200),
    "WebP": picture_file("WEBP", 60),
    "TGA": picture_file("TGA", 20),
    "ICO": picture_file("ICO", 60),
}  # fmt: skip


@pytest.mark.parametrize("kind", FILES)
@pytest.mark.filterwarnings("ignore::UserWarning:PIL", "ignore::UserWarning:numpy")
def test_damaged_copies(kind, tmp_path):
    file = FILES[kind]()
    path = tmp_path / file.name
    path.write_bytes(file.spoil(file.content))
    file.read(path)  # the file is good; this also runs late imports
    if file.more == PICTURE_MORE:
        Image.init()
    header = min(file.header, len(file.content))
    rng = np.random.default_rng(SEED)
    count = errors = 0
    with damage.little_memory(file.more), damage.no_hang(600):
        for copies in (damage.systematic(file.content, header), damage.random(file.content, rng, COPIES)):
            for what, content in copies:
                path.write_bytes(file.spoil(content))
                try:
                    errors += damage.outcome(file.read, path, file.family) is None
                except BaseException as error:
                    error.add_note(f"{kind}, {what}, seed {SEED}: {content[:200]!r}")
                    raise
                count += 1
    print(f"{kind}: {count} damaged copies, {errors} refused, {count - errors} read (seed {SEED})")
    assert errors > 0


def pax(size: int, kind: bytes) -> bytes:
    """Make a tar file whose header promises ``size`` bytes of some kind, followed by 1,000 bytes."""
    member = tarfile.TarInfo("name")
    member.type, member.size = kind, size
    return member.tobuf(tarfile.GNU_FORMAT) + bytes(1000)


def safetensors(header) -> bytes:
    text = json.dumps(header).encode() if not isinstance(header, bytes) else header
    return len(text).to_bytes(8, "little") + text + bytes(16)


def tensor(dtype="F32", shape=(4,), offsets=(0, 16)) -> dict:
    return {"0.weight": {"dtype": dtype, "shape": shape, "data_offsets": offsets}}


def npy(header: str) -> bytes:
    """Make an archive whose first array has this header."""
    stream = io.BytesIO(saved(np.savez, **{key: array for key, array in ARRAYS.items() if key != "x_train"}))
    with zipfile.ZipFile(stream, "a") as archive:
        text = header.encode()
        archive.writestr("x_train.npy", b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + bytes(120))
    return stream.getvalue()


GHOSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n"
DEEP = 100_000
FORGED = {  # kind of reader, and a deliberately forged file
    "a tar member of negative size": ("CIFAR's archive", tar(CIFAR).replace(
        b"00000006001\0", (b"\xff" * 8 + (-3073 & 0xFFFFFFFF).to_bytes(4, "big")), 1)),
    "2**40 bytes of attributes in a tar": ("CIFAR's archive", pax(1 << 40, tarfile.XHDTYPE)),
    "a name of 2**40 bytes in a tar": ("CIFAR's archive", pax(1 << 40, tarfile.GNUTYPE_LONGNAME)),
    "2**60 bytes before the next tar member": ("CIFAR's archive", pax(1 << 60, tarfile.REGTYPE)),
    "2**60 images": ("IDX", bytes([0, 0, 8, 2, *[255, 0, 0, 0] * 2, 1])),
    "nested brackets, history": ("history", b"[" * DEEP),
    "nested braces, history": ("history", b'{"epochs":' * DEEP),
    "a number too large for a float, history": ("history", b'{"epochs": [], "step_losses": [1%b]}' % (b"0" * 400)),
    "a number of 5000 digits, history": ("history", b'{"epochs": [], "step_losses": [1%b]}' % (b"0" * 5000)),
    "nested brackets, TOML": ("TOML", b"augment = {shift = " + b"[" * DEEP),
    "balanced nested brackets, TOML": ("TOML", b"model_options = {x = " + b"[" * 500 + b"]" * 500 + b"}"),
    "a number too large for a float, TOML": ("TOML", b"lr = 1" + b"0" * 400),
    "a number of 5000 digits, TOML": ("TOML", b"lr = 1" + b"0" * 5000),
    "nested brackets, weights": ("weights", safetensors(b"[" * DEEP)),
    "a header of 2**63 bytes, weights": ("weights", (1 << 63).to_bytes(8, "little") + bytes(100)),
    "2**62 rows of nothing, weights": ("weights", safetensors(tensor(shape=(1 << 62, 0, 4), offsets=(0, 0)))),
    "a shape whose product overflows, weights": ("weights", safetensors(tensor(shape=(1 << 62, 4), offsets=(0, 0)))),
    "a dtype that NumPy does not have, weights": ("weights", safetensors(tensor("BF16", (8,)))),
    "two arrays at one place, weights": (
        "weights", safetensors(tensor() | {"0.bias": {"dtype": "F32", "shape": (4,), "data_offsets": (0, 16)}})),
    "a name that occurs twice, weights": (
        "weights", safetensors(json.dumps(tensor()).encode()[:-1] + b', "a": 1, "a": 1}')),
    "an array without a shape, weights": (
        "weights", safetensors({"0.weight": {"dtype": "F32", "data_offsets": (0, 16)}})),
    "metadata that is no text, weights": ("weights", safetensors(tensor() | {"__metadata__": {"format": 1}})),
    "a list, weights": ("weights", safetensors([tensor()])),
    "a negative size, weights": ("weights", safetensors(tensor(shape=(-4,)))),
    "40 dimensions, weights": ("weights", safetensors(tensor(shape=(1,) * 60 + (4,)))),
    "65 dimensions, weights": ("weights", safetensors(tensor(shape=(1,) * 64 + (4,)))),
    "nested brackets, npz": ("npz, stored", npy("(" * 9000)),
    "repeated minus, npz": ("npz, stored", npy("-" * 9000 + "1")),
    "a shape whose product overflows, npz": (
        "npz, stored", npy(f"{{'descr': '|u1', 'fortran_order': False, 'shape': ({1 << 63}, {1 << 63})}}\n")),
    "negative sizes, npz": (
        "npz, stored", npy("{'descr': '|u1', 'fortran_order': False, 'shape': (-6, -4, 5)}\n")),
    "a picture that is a program": ("PNG", GHOSTSCRIPT),
    "a picture of 2**40 pixels": ("PPM", b"P6 1048576 1048576 255\n" + bytes(100)),
}  # fmt: skip


@pytest.mark.parametrize(("kind", "content"), FORGED.values(), ids=FORGED)
def test_forgeries(kind, content, tmp_path):
    file = FILES[kind]()
    path = tmp_path / file.name
    path.write_bytes(file.content)
    file.read(path)
    path.write_bytes(gzip.compress(content) if kind.startswith("CIFAR") else content)
    with damage.little_memory(MORE), damage.no_hang(60):
        assert damage.outcome(file.read, path, file.family) is None


def test_a_file_that_is_cut_while_it_is_read():
    content = safetensors(tensor())
    with pytest.raises(ValueError, match="it was cut while it was read"):
        _safetensors.read(io.BytesIO(content[:-1]), len(content))


def test_a_header_that_is_nested_too_deeply():
    header = b'{"a":' + b"[" * 200_000
    content = len(header).to_bytes(8, "little") + header
    with pytest.raises(ValueError, match="its header is nested too deeply"):
        _safetensors.read(io.BytesIO(content), len(content))


def test_a_dtype_that_no_file_can_hold():
    with pytest.raises(TypeError, match="`w` is complex128, which safetensors files cannot hold"):
        _safetensors.parts({"w": np.zeros(2, np.complex128)}, {})


def links(kind: bytes, name: str, target: str) -> bytes:
    """Make CIFAR-10's archive with an additional first member."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        member = tarfile.TarInfo(name)
        member.type, member.linkname = kind, target
        archive.addfile(member)
    end = stream.getvalue().rstrip(b"\0")
    return end + bytes(-len(end) % 512) + tar(CIFAR)


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE], ids=str)
@pytest.mark.parametrize("name", ["../x", "/tmp/x", "data_batch_1.bin", "a/../../test_batch.bin"])
def test_nothing_leaves_an_archives_folder(kind, name, tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    (tmp_path / "secret").write_bytes(bytes(3073))
    path = folder / "cifar-10-binary.tar.gz"
    path.write_bytes(gzip.compress(links(kind, name, "../secret")))
    with damage.watched():
        train, _ = data.cifar10(folder)
    assert train.labels.tolist() == [1, 2, 3, 4, 5]  # from the files, not from the link
    assert sorted(item.name for item in tmp_path.rglob("*")) == ["cifar-10-binary.tar.gz", "data", "secret"]
