"""The base class of errors about the contents of a file."""


class FileError(ValueError):
    """A file is damaged or has the wrong contents; the message names the file and says what is wrong.

    All readers of fastcnn raise it. Readers of data raise the subclass `fastcnn.data.DataError`, readers of checkpoints
    `fastcnn.training.CheckpointError`. A file that is missing or unreadable raises an OSError.

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
