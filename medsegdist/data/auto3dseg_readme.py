"""What stands in the README of a hand-over to Auto3DSeg: how to go on, and what cannot be taken along."""

from __future__ import annotations

from pathlib import Path
from shlex import quote

from medsegdist.data.manifest import DatasetManifest

_HEAD = """# {name} for Auto3DSeg

{about}`datalist.json` lists {name} with folds of whole patients; `input.yaml` is AutoRunner's input. It names this
folder: if that is moved, correct `datalist` and `dataroot` there.

    python -m monai.apps.auto3dseg AutoRunner run --input {input_file} --work_dir WORK

medsegdist reads the same cases by `layout: {{kind: datalist, root: {directory}, patient_key: patient}}`.
"""
_PRETRAINED = """
## The chosen pre-training

`pretrained` is a MONAI Bundle. {description}

**Algorithms of Auto3DSeg cannot load its weights.** SegResNet, SegResNet2D, DiNTS and SwinUNETR are other
architectures, and what they take to go on from (`pretrained_ckpt_name` of SegResNet, `finetune#pretrained_ckpt_name`
with `finetune#activate` of DiNTS and SwinUNETR) must be a checkpoint of the same algorithm with the same network
settings. What can be taken along to them is the choice: train one of them on the chosen source, and give its checkpoint
to the training here.

The weights themselves go on in the network they belong to, in any PyTorch or MONAI training:

```python
from monai.bundle import load

network = load("pretrained", bundle_dir={directory!r}, workflow_type="inference", source="github")
```

Its input must be prepared as `pretrained/configs/inference.json` and `medsegdist_preprocessing` in
`pretrained/configs/metadata.json` say. Load no bundle of people you do not trust: its configuration is code.
"""


def readme_text(manifest: DatasetManifest, directory: Path, pretrained: str | None) -> str:
    """The README of a hand-over.

    Args:
        manifest: the dataset.
        directory: the hand-over.
        pretrained: what the bundle says of itself; None if there is none.
    """
    said = (
        manifest.description,
        f"License: {manifest.license}" if manifest.license else "",
        f"Simulated: {manifest.simulated}" if manifest.simulated else "",
    )
    about = "".join(f"{text.rstrip('.')}.\n\n" for text in said if text)
    text = _HEAD.format(
        name=manifest.name, about=about, directory=directory, input_file=quote(f"{directory}/input.yaml")
    )
    return text if pretrained is None else text + _PRETRAINED.format(description=pretrained, directory=str(directory))
