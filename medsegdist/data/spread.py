"""The choice of :func:`~medsegdist.data.samples.spread_over_patients`, made while samples are still coming in."""

from __future__ import annotations

import bisect
import heapq
from dataclasses import dataclass
from typing import Any

import numpy as np

_KEYS = 1024


@dataclass(frozen=True, slots=True)
class Kept:
    """A sample that is kept so far.

    Args:
        key: its random key; lower ones are kept rather.
        arrival: how many samples had come before it.
        slot: where it is stored, from 0 to the most samples kept at once.
    """

    key: float
    arrival: int
    slot: int


class SpreadSelection:
    """Keeps at most k samples of a stream, spread evenly over patients, in at most k slots of storage.

    A sample that once fell out never comes back, as a newcomer can only push others back. The result is therefore
    the one of `spread_over_patients(patient_ids, k, seed)` on the whole stream.

    Args:
        k: the most samples to keep; None keeps all.
        seed: seed of the choice, >= 0.
    """

    def __init__(self, k: int | None, seed: int) -> None:
        self._k = k
        self._rng = np.random.default_rng(seed)
        self._keys: list[float] = []
        # [key, arrival, slot] of each patient's samples, in order.
        self._by_patient: dict[str, list[list[Any]]] = {}
        # (-samples, -last key, patient) of every patient, and what they once were: a patient's true entry is that of
        # now. The first true one is the patient with the most samples, and of these with the highest last key.
        self._fullest: list[tuple[int, float, str]] = []
        self._count = 0
        self._arrivals = 0

    def offer(self, patient_id: str) -> int | None:
        """Decide on the next sample of the stream.

        Args:
            patient_id: whom it shows.

        Returns:
            The slot to store it in, in place of the sample that may be there; None if it is not kept.
        """
        sample: list[Any] = [self._next_key(), self._arrivals, self._count]
        self._arrivals += 1
        of_patient = self._by_patient.setdefault(patient_id, [])
        if self._k is None or self._count < self._k:
            bisect.insort(of_patient, sample)
            self._count += 1
            self._note(patient_id)
            return self._count - 1
        # The last of a patient's samples has the highest turn; of equal turns, the highest key goes.
        if (not of_patient or of_patient[-1] < sample) and (-len(of_patient) - 1, -sample[0]) < self._top()[:2]:
            return None
        bisect.insort(of_patient, sample)
        self._note(patient_id)
        loser = self._top()[2]
        slot: int = self._by_patient[loser].pop()[2]
        sample[2] = slot
        self._note(loser)
        return slot

    @property
    def kept(self) -> list[Kept]:
        """The samples that are kept, in the order in which they came."""
        every = sorted((sample for samples in self._by_patient.values() for sample in samples), key=lambda one: one[1])
        return [Kept(*sample) for sample in every]

    def _next_key(self) -> float:
        if not self._keys:
            # Many at once are the same numbers in less time.
            self._keys = self._rng.random(_KEYS).tolist()[::-1]
        return self._keys.pop()

    def _note(self, patient_id: str) -> None:
        if self._k is not None and (entry := self._entry(patient_id)) is not None:
            heapq.heappush(self._fullest, entry)

    def _top(self) -> tuple[int, float, str]:
        """The true entry of the patient who loses a sample."""
        while self._fullest[0] != self._entry(self._fullest[0][2]):
            heapq.heappop(self._fullest)
        return self._fullest[0]

    def _entry(self, patient_id: str) -> tuple[int, float, str] | None:
        samples = self._by_patient[patient_id]
        return (-len(samples), -samples[-1][0], patient_id) if samples else None
