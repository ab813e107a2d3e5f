"""C programs of other compilers and for other processors; those that this machine lacks are left out."""

import itertools
import re
import shutil
import subprocess

import numpy as np
import pytest

from examples import microcontroller
from fastcnn import data, interop, models, nn, use_backend
from tests.c_programs import FAST, OTHERS, outputs, run
from tests.test_onnx import draw_statistics
from tests.test_to_c_int8 import assert_bits, reference

NETWORKS = "lenet5", "resnet20", "small_mobilenet"


@pytest.fixture(autouse=True)
def numpy_backend():
    """Use the numpy backend, so that nothing is compiled; the other backends agree with it."""
    with use_backend("numpy"):
        yield


@pytest.fixture(params=OTHERS)
def toolchain(request):
    """Another compiler, for this processor or an emulated one."""
    if not OTHERS[request.param].is_here:
        pytest.skip(f"needs {' and '.join(command[0] for command in OTHERS[request.param] if command)}")
    return OTHERS[request.param]


@pytest.mark.parametrize("name", NETWORKS)
def test_in_float32(name, toolchain, tmp_path, rng):
    model = draw_statistics(models.build(name, rng=rng), rng).eval()
    x = rng.standard_normal((2, *model.input_shape)).astype(np.float32)
    interop.to_c(model, tmp_path / "a.c")
    found, expected = outputs(tmp_path / "a.c", x, (10,), FAST, toolchain), model(x)
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("name", NETWORKS)
def test_in_integers(name, toolchain, tmp_path, rng):
    model = draw_statistics(models.build(name, rng=rng), rng).eval()
    C, size, _ = model.input_shape
    prepare = data.Preprocessing(size, (0.4,) * C, (0.3,) * C)
    images = rng.integers(0, 256, (9, C, size, size)).astype(np.uint8)
    assert_bits(model, images[:2], images, tmp_path / "a.c", prepare, options=FAST, toolchain=toolchain)


# simavr prints what the program writes to the serial port: the output, and how many bytes of RAM were never used.
AVR = """
#include <avr/interrupt.h>
#include <avr/io.h>
#include <avr/pgmspace.h>
#include <avr/sleep.h>
#include <stdint.h>
#include <string.h>
void predict(const %(kind)s *, float *);
static const uint8_t stored[] PROGMEM = {%(bytes)s};
static %(kind)s image[sizeof stored / sizeof(%(kind)s)];
static float output[10];
extern uint8_t __heap_start[];
static void print(const void *bytes, uint8_t n)
{
    for (const uint8_t *byte = bytes; n > 0; byte++, n--)
        for (int8_t shift = 4; shift >= 0; shift -= 4) {
            const uint8_t digit = *byte >> shift & 15;
            while (!(UCSR0A & 1 << UDRE0)) {
            }
            UDR0 = digit + (digit < 10 ? '0' : 'a' - 10);
        }
}
int main(void)
{
    uint8_t *const end = (uint8_t *)SP - 4, *unused = __heap_start;
    memset(unused, 165, end - unused);
    memcpy_P(image, stored, sizeof stored);
    predict(image, output);
    while (unused < end && *unused == 165)
        unused++;
    const uint16_t room = unused - __heap_start;
    UCSR0B = 1 << TXEN0;
    print(output, sizeof output);
    print(&room, sizeof room);
    UDR0 = '\\n';
    cli();
    sleep_mode();
}
"""
needs_avr = pytest.mark.skipif(
    not (shutil.which("avr-gcc") and shutil.which("simavr")), reason="needs avr-gcc and simavr"
)


def simulated(processor, path, image):
    """Run a program on a simulated AVR processor; return its output, the unused bytes of RAM, and the ELF file."""
    options = f"-mmcu={processor}", "-Os", "-std=gnu99"
    main, program = path.with_name("main.c"), path.with_name("main.elf")
    kind = {"uint8": "uint8_t", "float32": "float"}[image.dtype.name]
    main.write_text(AVR % {"kind": kind, "bytes": ", ".join(map(str, image.tobytes()))})
    strict = "-Wall", "-Wextra", "-Wconversion", "-Werror"
    run("avr-gcc", *options, *strict, "-c", path, "-o", path.with_suffix(".o"))
    run("avr-gcc", *options, main, path.with_suffix(".o"), "-o", program, "-lm")
    said = run("sh", "-c", f"simavr -m {processor} -f 16000000 {program} 2>&1")
    printed = re.search(rb"[0-9a-f]{84}", said)
    found = bytes.fromhex(printed[0].decode())
    return np.frombuffer(found[:40], "<f4"), int.from_bytes(found[40:], "little"), program


@needs_avr
def test_on_eight_bits(tmp_path, rng):
    """The network of examples/microcontroller.py fits an ATmega328 and has the bits of the reference."""
    model, path = microcontroller.build(rng), tmp_path / "net.c"
    images = rng.integers(0, 256, (20, 1, 28, 28)).astype(np.uint8)
    prepare = data.Preprocessing(28, (0.13,), (0.31,))
    options = {"preprocessing": prepare, "precision": "int8", "calibration": images}
    sizes = interop.to_c(model, path, (1, 28, 28), **options)
    assert "INT_MAX" not in path.read_text()
    found, unused, program = simulated("atmega328p", path, images[0])
    parts = dict(re.findall(r"^\.(text|data|bss) +(\d+)", run("avr-size", "-A", program).decode(), re.MULTILINE))
    flash, ram = (int(parts[name]) + int(parts["data"]) for name in ("text", "bss"))
    assert sizes.flash < flash < 32 * 1024 + images[0].size  # the image of the test is in flash memory, too
    assert sizes.ram + images[0].size < ram < 2 * 1024
    np.testing.assert_array_equal(found, reference(model, images[:1], images, prepare)[0])
    assert unused >= 16  # the stack ends before the arrays


@needs_avr
def test_floats_on_eight_bits(tmp_path, rng):
    """The mathematical functions of a net in integers that takes floats are those that AVR's C library has."""
    model = nn.Sequential(nn.Linear(12, 8, rng=rng), nn.GELU(), nn.Linear(8, 10, rng=rng))
    x = 3 * rng.standard_normal((20, 12)).astype(np.float32)
    interop.to_c(model, tmp_path / "net.c", (12,), precision="int8", calibration=x[1:])
    found, _, _ = simulated("atmega328p", tmp_path / "net.c", x[0])
    np.testing.assert_array_equal(found, reference(model, x[:1], x[1:])[0])


def long_program(widths, path, rng):
    """Write linear layers of these widths in int8; return the model, an image, and the sizes."""
    layers = [nn.Linear(*pair, rng=rng) for pair in itertools.pairwise(widths)]
    model, x = nn.Sequential(*layers), rng.standard_normal((9, widths[0])).astype(np.float32)
    return model, x, interop.to_c(model, path, widths[:1], precision="int8", calibration=x)


@needs_avr
def test_more_constants_than_avr_reaches(tmp_path, rng):
    """With pointers of 16 bits, an ATmega2560 would read other constants, without an error."""
    _, _, said = long_program((64, 400, 75, 400, 10), tmp_path / "net.c", rng)
    assert said.flash > 2**16
    assert f"reach 64 KB, but this program has {said.flash} bytes" in (tmp_path / "net.c").read_text()
    compiler = shutil.which("avr-gcc")
    options = "-mmcu=atmega2560", "-std=gnu99", "-c", tmp_path / "net.c", "-o", tmp_path / "net.o"
    done = subprocess.run([str(part) for part in (compiler, *options)], capture_output=True, check=False)
    assert b"AVR's pointers to flash memory reach 64 KB" in done.stderr


@needs_avr
@pytest.mark.parametrize("processor", ["atmega1284p", "atmega2560"])
def test_as_many_constants_as_avr_reaches(processor, tmp_path, rng):
    model, x, said = long_program((100, 295, 100, 10), tmp_path / "net.c", rng)
    assert 62 * 1024 < said.flash < 63 * 1024
    found, _, _ = simulated(processor, tmp_path / "net.c", x[0])
    np.testing.assert_array_equal(found, reference(model, x[:1], x)[0])


@needs_avr
@pytest.mark.parametrize("processor", ["atmega328p", "atmega1284p", "atmega2560"])
def test_float32_on_eight_bits(processor, tmp_path, rng):
    model = nn.Sequential(
        nn.Conv2d(1, 3, 3, padding=1, rng=rng), nn.ReLU(), nn.MaxPool2d(2), nn.Residual(nn.MaxPool2d(3, 1, 1)),
        nn.AvgPool2d(2, 1), nn.Tanh(), nn.SiLU(), nn.GELU("tanh"), nn.Hardswish(), nn.LeakyReLU(), nn.Sigmoid(),
        nn.Flatten(), nn.Linear(27, 10, rng=rng), nn.Softmax(),
    )  # fmt: skip
    x = rng.standard_normal((1, 1, 8, 8)).astype(np.float32)
    interop.to_c(model, tmp_path / "net.c", (1, 8, 8))
    found, _, _ = simulated(processor, tmp_path / "net.c", x[0])
    np.testing.assert_allclose(found, model(x)[0], rtol=1e-5)


def test_large_arrays_need_an_int_of_32_bits(tmp_path):
    interop.to_c(models.LeNet5(), tmp_path / "a.c")
    assert "because it has an array of 48000 elements" in (tmp_path / "a.c").read_text()  # C5: 120 x 16 x 5 x 5
