"""Samples on their way to disk: nameless files, of which nothing stays behind however the process ends."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import IO

import numpy as np

_WAITING_BYTES = 1 << 26


class Scratch:
    """Images and masks of one grid in numbered slots of nameless temporary files.

    Use it as a context manager. Arrays taken from it stay valid after it is closed, and the disk space is free once
    the last of them is gone.

    Args:
        folder: a folder on the disk to use; None is the system's for temporary files.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._stack = ExitStack()
        self._images = self._new_file()
        self._masks = self._new_file()
        self._shapes: tuple[tuple[int, ...], tuple[int, ...]] = (), ()
        # What may still be replaced, in memory; on disk once there is more of it.
        self._waiting: dict[int, tuple[np.ndarray, np.ndarray]] = {}

    def put(self, slot: int, image: np.ndarray, mask: np.ndarray) -> None:
        """Store one sample, in place of what the slot may hold.

        Args:
            slot: from 0; slots must be filled without gaps.
            image: (*grid) float32.
            mask: (*grid) bool, or (classes, *grid).
        """
        self._shapes = image.shape, mask.shape
        # Copies: the samples of an item may be parts of one array, which would stay as a whole.
        self._waiting[slot] = image.copy(), mask.copy()
        if len(self._waiting) * (image.nbytes + mask.nbytes) >= _WAITING_BYTES:
            self._write()

    def arrays(self, slots: list[int]) -> tuple[np.ndarray, np.ndarray]:
        """The samples of `slots`, in that order: images (n, *grid) float32 and masks (n, [classes,] *grid) bool.

        Both are memory-mapped; writing to them changes the memory only.

        Args:
            slots: which slots, at least one.
        """
        self._write()
        images, masks = self._shapes
        return self._array(self._images, slots, images, np.float32), self._array(self._masks, slots, masks, np.bool_)

    def _write(self) -> None:
        for slot in sorted(self._waiting):
            for file, array in zip((self._images, self._masks), self._waiting[slot], strict=True):
                file.seek(slot * array.nbytes)
                file.write(array.data)
        self._waiting.clear()

    def _array(self, file: IO[bytes], slots: list[int], shape: tuple[int, ...], dtype: type[np.generic]) -> np.ndarray:
        file.flush()
        stored = _mapped(file, max(slots) + 1, shape, dtype)
        if slots == list(range(len(stored))):
            return stored
        ordered = self._new_file()
        for slot in slots:
            ordered.write(stored[slot].data)
        ordered.flush()
        return _mapped(ordered, len(slots), shape, dtype)

    def _new_file(self) -> IO[bytes]:
        return self._stack.enter_context(tempfile.TemporaryFile(dir=self._folder))

    def __enter__(self) -> Scratch:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()


def _mapped(file: IO[bytes], n: int, shape: tuple[int, ...], dtype: type[np.generic]) -> np.ndarray:
    # A plain view: np.memmap as a class would follow into every slice and message.
    return np.memmap(file, dtype=dtype, mode="c", shape=(n, *shape)).view(np.ndarray)
