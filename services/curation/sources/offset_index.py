"""Where in a file the row with a given id stands: 16 bytes a row, so that tens of millions fit in memory."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray


class OffsetIndex:
    """Add ids with their offsets in file order, then look up. Of equal ids the first counts."""

    def __init__(self) -> None:
        self.ids = array("q")
        self.offsets = array("q")
        self._sorted_ids: NDArray[np.int64] | None = None
        self._sorted_offsets: NDArray[np.int64] = np.empty(0, np.int64)

    def __len__(self) -> int:
        return len(self.ids)

    def _sort(self) -> NDArray[np.int64]:
        if self._sorted_ids is None:
            ids = np.frombuffer(self.ids, np.int64) if len(self.ids) else np.empty(0, np.int64)
            offsets = np.frombuffer(self.offsets, np.int64) if len(self.offsets) else np.empty(0, np.int64)
            if len(ids) > 1 and not bool(np.all(ids[1:] > ids[:-1])):  # dumps are in order; others are put in order
                order = np.argsort(ids, kind="stable")
                ids, offsets = ids[order], offsets[order]
            self._sorted_ids, self._sorted_offsets = ids, offsets
        return self._sorted_ids

    def duplicates(self) -> Iterator[tuple[int, int]]:
        """(id, offset) of every row whose id a row before it has."""
        ids = self._sort()
        for place in np.flatnonzero(ids[1:] == ids[:-1]) + 1:
            yield int(ids[place]), int(self._sorted_offsets[place])

    def find_all(self, row_ids: Sequence[int]) -> list[int]:
        """The offset of each row, -1 where there is none."""
        ids = self._sort()
        if not len(ids):
            return [-1] * len(row_ids)
        wanted = np.asarray(row_ids, np.int64)
        places = np.minimum(np.searchsorted(ids, wanted), len(ids) - 1)
        found: list[int] = np.where(ids[places] == wanted, self._sorted_offsets[places], -1).tolist()
        return found

    def find(self, row_id: int) -> int | None:
        ids = self._sort()
        place = int(np.searchsorted(ids, row_id))
        if place < len(ids) and ids[place] == row_id:
            return int(self._sorted_offsets[place])
        return None
