"""Whether a folder is a raw dataset of nnU-Net v2."""

from __future__ import annotations

from pathlib import Path

from medsegdist.data.recognition.found import Found, dataset_json, found_in, words_in

LOOKED_FOR = 'dataset.json with "channel_names" and "file_ending", beside imagesTr and labelsTr (nnU-Net v2)'


def recognize_nnunet(folder: Path) -> Found | None:
    """What the folder's dataset.json says of it; None if there is none of nnU-Net's form.

    Args:
        folder: where to look.

    Raises:
        DataError: dataset.json is no JSON.
    """
    content = dataset_json(folder)
    if not {"channel_names", "file_ending"} <= content.keys():
        return None
    channels = words_in(content["channel_names"])
    several = f"channel: 0 is {channels[0]}, the first of {', '.join(channels)}" if len(channels) > 1 else ""
    return found_in(
        content,
        what="an nnU-Net v2 dataset (dataset.json)",
        layout={"kind": "nnunet", "channel": 0} if several else {"kind": "nnunet"},
        channels=channels,
        remarks=(several,) if several else (),
    )
