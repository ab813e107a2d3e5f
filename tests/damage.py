"""Make damaged files, and check that reading them gives a result or a clear error and has no side effects."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np

from tests.profile import FULL

FLIPS = (0x01, 0x80, 0xFF) if FULL else (0x81,)  # each byte of the header is XORed with each of these
TAIL = 20  # truncation points behind the header


def systematic(content: bytes, header: int) -> Iterator[tuple[str, bytes]]:
    """Yield the file with each of the first ``header`` bytes changed, cut after each of them, and cut further on."""
    for at in range(header):
        for flip in FLIPS:
            yield f"byte {at} ^ {flip:#x}", content[:at] + bytes([content[at] ^ flip]) + content[at + 1 :]
    cuts = {*range(header), *np.linspace(header, len(content) - 1, TAIL, dtype=int).tolist()}
    yield from ((f"cut after {cut} bytes", content[:cut]) for cut in sorted(cuts))
    yield "twice", content * 2
    yield "a byte too many", content + b"\0"


def random(content: bytes, rng: np.random.Generator, count: int) -> Iterator[tuple[str, bytes]]:
    """Yield the file with random changes (flips, replacements, deletions, insertions, moves), mostly near its start."""
    for number in range(count):
        copy = bytearray(content)
        for _ in range(int(rng.integers(1, 6))):
            at = int(len(copy) * rng.random() ** int(rng.integers(1, 4)))
            match int(rng.integers(6)):
                case 0:
                    copy[at : at + 1] = bytes([copy[at] ^ (1 << int(rng.integers(8)))]) if copy else b""
                case 1:
                    copy[at : at + 1] = rng.bytes(1)
                case 2:
                    copy[at : at + 4] = [b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff"][int(rng.integers(3))]
                case 3:
                    del copy[at : at + int(rng.integers(1, 9))]
                case 4:
                    copy[at:at] = rng.bytes(int(rng.integers(1, 9)))
                case 5:
                    start = int(len(copy) * rng.random())
                    copy[at : at + 8] = copy[start : start + 8]
        yield f"copy {number}", bytes(copy)


FORBIDDEN = (
    "exec", "import", "marshal.load", "os.exec", "os.mkdir", "os.posix_spawn", "os.remove", "os.rename", "os.symlink",
    "os.system", "pickle.find_class", "shutil.copyfile", "socket.connect", "subprocess.Popen", "urllib.Request",
)  # fmt: skip
_seen: list[str] | None = None
_hooked = False


@contextmanager
def watched() -> Iterator[None]:
    """Check that a block executes no code, and imports, unpickles, writes, removes and connects to nothing."""
    global _seen, _hooked
    if not _hooked:
        sys.addaudithook(_note)
        _hooked = True
    _seen = []
    try:
        yield
    finally:
        seen, _seen = _seen, None
    assert not seen, f"reading did this: {seen[:5]}"


def _note(event: str, args: tuple) -> None:
    """Record a forbidden audit event."""
    if _seen is not None and (event in FORBIDDEN or (event == "open" and args[1] not in (None, "r", "rb"))):
        _seen.append(f"{event} {args!r:.80}")


@contextmanager
def little_memory(more: int) -> Iterator[None]:
    """Limit the memory of a block to ``more`` bytes beyond what is mapped now, if the system supports it."""
    try:
        import resource

        with open("/proc/self/statm") as file:
            mapped = int(file.read().split()[0]) * resource.getpagesize()
    except (ImportError, OSError):
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (mapped + more, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


@contextmanager
def no_hang(seconds: int) -> Iterator[None]:
    """Raise an error if a block takes longer than ``seconds``, if the system supports it."""
    import signal

    if not hasattr(signal, "SIGALRM"):
        yield
        return

    def stop(*_):
        raise AssertionError(f"it takes more than {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def outcome(read: Callable, path, family: type[Exception]):
    """Read a file; return the result, or None after an error of the ``family``, which must name the file."""
    try:
        with watched():
            return read(path)
    except family as error:
        text = str(error)
        assert path.name in text, f"the error does not name the file: {text!r:.200}"
        assert len(text) < 1500, f"the error is long: {text!r:.200}"
        return None
