"""The choice of :func:`~medsegdist.data.samples.spread_over_patients`, made while samples are still coming in."""

from __future__ import annotations

import bisect
import heapq
from dataclasses import dataclass

import numpy as np


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
        self._by_patient: dict[str, list[Kept]] = {}
        # (-samples, -last key, patient) of every patient, and what they once were: a patient's true entry is that of
        # now. The first true one is the patient with the most samples, and of these with the highest last key.
        self._most: list[tuple[int, float, str]] = []
        self._count = 0
        self._arrivals = 0

    def offer(self, patient_id: str) -> int | None:
        """Decide on the next sample of the stream.

        Args:
            patient_id: whom it shows.

        Returns:
            The slot to store it in, in place of the sample that may be there; None if it is not kept.
        """
        sample = Kept(key=self._rng.random(), arrival=self._arrivals, slot=self._count)
        self._arrivals += 1
        if self._k is None or self._count < self._k:
            self._insert(patient_id, sample)
            self._count += 1
            return sample.slot
        self._insert(patient_id, sample)
        # The last of a patient's samples has the highest turn; of equal turns, the highest key goes.
        while self._most[0] != self._entry(loser := self._most[0][2]):
            heapq.heappop(self._most)
        out = self._by_patient[loser].pop()
        if self._by_patient[loser]:
            heapq.heapreplace(self._most, self._entry(loser))
        else:
            heapq.heappop(self._most)
            del self._by_patient[loser]
        if out is sample:
            return None
        kept = self._by_patient[patient_id]
        kept[kept.index(sample)] = Kept(key=sample.key, arrival=sample.arrival, slot=out.slot)
        return out.slot

    @property
    def kept(self) -> list[Kept]:
        """The samples that are kept, in the order in which they came."""
        return sorted((s for samples in self._by_patient.values() for s in samples), key=lambda s: s.arrival)

    def _insert(self, patient_id: str, sample: Kept) -> None:
        bisect.insort(self._by_patient.setdefault(patient_id, []), sample, key=lambda s: s.key)
        heapq.heappush(self._most, self._entry(patient_id))

    def _entry(self, patient_id: str) -> tuple[int, float, str]:
        samples = self._by_patient.get(patient_id)
        return (-len(samples), -samples[-1].key, patient_id) if samples else (0, 0.0, patient_id)
