"""C programs of other compilers and for other processors; those that this machine lacks are left out."""

import re
import shutil

import numpy as np
import pytest

from examples import microcontroller
from fastcnn import data, interop, models, use_backend
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
void predict(const uint8_t *, float *);
static const uint8_t stored[] PROGMEM = {%s};
static uint8_t image[sizeof stored];
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
ATMEGA = "-mmcu=atmega328p", "-Os", "-std=gnu99"


@pytest.mark.skipif(not (shutil.which("avr-gcc") and shutil.which("simavr")), reason="needs avr-gcc and simavr")
def test_on_eight_bits(tmp_path, rng):
    """The network of examples/microcontroller.py fits an ATmega328 and has the bits of the reference."""
    model, path = microcontroller.build(rng), tmp_path / "net.c"
    images = rng.integers(0, 256, (20, 1, 28, 28)).astype(np.uint8)
    prepare = data.Preprocessing(28, (0.13,), (0.31,))
    options = {"preprocessing": prepare, "precision": "int8", "calibration": images}
    sizes = interop.to_c(model, path, (1, 28, 28), **options)
    assert "INT_MAX" not in path.read_text()
    main, program = tmp_path / "main.c", tmp_path / "main.elf"
    main.write_text(AVR % ", ".join(map(str, images[0].ravel())))
    run("avr-gcc", *ATMEGA, "-Wall", "-Wextra", "-Werror", "-c", path, "-o", tmp_path / "net.o")
    run("avr-gcc", *ATMEGA, main, tmp_path / "net.o", "-o", program, "-lm")
    parts = dict(re.findall(r"^\.(text|data|bss) +(\d+)", run("avr-size", "-A", program).decode(), re.MULTILINE))
    flash, ram = (int(parts[name]) + int(parts["data"]) for name in ("text", "bss"))
    assert sizes.flash < flash < 32 * 1024 + images[0].size  # the image of the test is in flash memory, too
    assert sizes.ram + images[0].size < ram < 2 * 1024
    said = run("sh", "-c", f"simavr -m atmega328p -f 16000000 {program} 2>&1")
    printed = re.search(rb"[0-9a-f]{84}", said)
    found = bytes.fromhex(printed[0].decode())
    np.testing.assert_array_equal(np.frombuffer(found[:40], "<f4"), reference(model, images[:1], images, prepare)[0])
    assert int.from_bytes(found[40:], "little") >= 16  # the stack ends before the arrays


def test_large_arrays_need_an_int_of_32_bits(tmp_path):
    interop.to_c(models.LeNet5(), tmp_path / "a.c")
    assert "because it has an array of 48000 elements" in (tmp_path / "a.c").read_text()  # C5: 120 x 16 x 5 x 5
