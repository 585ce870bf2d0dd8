"""Whether a folder is a task of the Medical Segmentation Decathlon, or stored like one."""

from __future__ import annotations

from pathlib import Path

from medsegdist.data.recognition.found import Found, dataset_json, found_in, words_in

LOOKED_FOR = 'dataset.json with "training": [{"image": ..., "label": ...}] (Decathlon)'


def recognize_decathlon(folder: Path) -> Found | None:
    """What the folder's dataset.json says of it; None if there is none of the Decathlon's form.

    Args:
        folder: where to look.

    Raises:
        DataError: dataset.json is no JSON.
    """
    content = dataset_json(folder)
    training = content.get("training")
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
    return found_in(content, what="a Decathlon task (dataset.json)", layout=layout, channels=channels, remarks=remarks)
