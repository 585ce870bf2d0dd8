"""Whether a folder is a task of the Medical Segmentation Decathlon, or stored like one."""

from __future__ import annotations

from pathlib import Path

from medsegdist.data.layouts._listing import read_listing
from medsegdist.data.recognition.found import Found, labels_of, modality_of, text_of, words_in

LOOKED_FOR = 'dataset.json with "training": [{"image": ..., "label": ...}] (Decathlon)'


def recognize_decathlon(folder: Path) -> Found | None:
    """What the folder's dataset.json says of it; None if there is none of the Decathlon's form.

    Args:
        folder: where to look.

    Raises:
        DataError: dataset.json is no JSON.
    """
    listing = folder / "dataset.json"
    if not listing.is_file():
        return None
    content = read_listing(listing, "restore it")
    training = content.get("training") if isinstance(content, dict) else None
    if not isinstance(training, list) or not training:
        return None
    first = training[0]
    if not isinstance(first, dict) or not all(isinstance(first.get(key), str) for key in ("image", "label")):
        return None
    channels = words_in(content.get("modality"))
    layout: dict[str, object] = {"kind": "decathlon"}
    remarks = []
    if len(channels) > 1:
        layout["channel"] = 0
        remarks.append(f"channel: 0 is {channels[0]}, the first of {', '.join(channels)}")
    return Found(
        what="a Decathlon task (dataset.json)",
        layout=layout,
        name=text_of(content, "name"),
        labels=labels_of(content.get("labels")),
        modality=modality_of(channels[:1]),
        modality_reason=f"dataset.json says {channels[0]}" if channels else "",
        description=text_of(content, "description"),
        license=text_of(content, "licence", "license"),
        remarks=tuple(remarks),
    )
