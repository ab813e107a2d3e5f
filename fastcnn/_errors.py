"""The family of errors about what a file holds."""


class FileError(ValueError):
    """A file is damaged, or not what it must be; the sentence names it and says what is wrong.

    All of fastcnn's readers raise it: those of data as `fastcnn.data.DataError`, those of checkpoints as
    `fastcnn.training.CheckpointError`. A file that is missing or cannot be read is an OSError.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> import fastcnn
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = pathlib.Path(folder, "labels-idx1-ubyte")
    ...     _ = file.write_bytes(b"no labels")
    ...     try:
    ...         fastcnn.data.read_idx(file)
    ...     except fastcnn.FileError as error:
    ...         print(str(error).removeprefix(folder))
    /labels-idx1-ubyte: the magic number is 0x6e6f206c but an IDX file begins with two zero bytes.
    """
