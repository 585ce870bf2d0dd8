"""Whether a folder is a raw dataset of nnU-Net v2."""

from __future__ import annotations

from pathlib import Path

from medsegdist.data.layouts._listing import read_listing
from medsegdist.data.recognition.found import Found, labels_of, modality_of, text_of, words_in

LOOKED_FOR = 'dataset.json with "channel_names" and "file_ending", beside imagesTr and labelsTr (nnU-Net v2)'


def recognize_nnunet(folder: Path) -> Found | None:
    """What the folder's dataset.json says of it; None if there is none of nnU-Net's form.

    Args:
        folder: where to look.

    Raises:
        DataError: dataset.json is no JSON.
    """
    listing = folder / "dataset.json"
    if not listing.is_file():
        return None
    content = read_listing(listing, "restore it")
    if not isinstance(content, dict) or not {"channel_names", "file_ending"} <= content.keys():
        return None
    channels = words_in(content["channel_names"])
    several = f"channel: 0 is {channels[0]}, the first of {', '.join(channels)}" if len(channels) > 1 else ""
    return Found(
        what="an nnU-Net v2 dataset (dataset.json)",
        layout={"kind": "nnunet", "channel": 0} if several else {"kind": "nnunet"},
        name=text_of(content, "name"),
        labels=labels_of(content.get("labels")),
        modality=modality_of(channels[:1]),
        modality_reason=f"dataset.json says {channels[0]}" if channels else "",
        description=text_of(content, "description"),
        license=text_of(content, "licence", "license"),
        remarks=(several,) if several else (),
    )
