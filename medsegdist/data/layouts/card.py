"""A card in the place of a dataset's files: what another hospital says of a dataset that may not leave it."""

from __future__ import annotations

from typing import Any, Literal, NoReturn

from pydantic import BaseModel, ConfigDict

from medsegdist.data.case import Case
from medsegdist.data.layouts.paths import Root
from medsegdist.errors import ManifestError


class CardLayout(BaseModel):
    """A card that `medsegdist summarize` wrote: aggregates of a dataset, no images. Only `medsegdist rank` can use it.

    Args:
        file: the card, a JSON file; a relative path is taken from the manifest's folder.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["card"] = "card"
    file: Root

    def cases(self) -> list[Case]:
        """None: a card tells of no case.

        Raises:
            ManifestError: always.
        """
        self._refuse()

    def load(self, item: Any, **options: Any) -> Any:
        """None: a card holds no image.

        Args:
            item: any.
            options: any.

        Raises:
            ManifestError: always.
        """
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise ManifestError(f"expected images, found the card {self.file}, which holds none; {ONLY_RANK}.")


ONLY_RANK = "only `medsegdist rank` can use a card"
"""What to say to whoever asks a card for images."""
