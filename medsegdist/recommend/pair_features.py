"""What is known of a source and a target before any training, in numbers that mean the same in every study."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd

from medsegdist.distance.characteristics import CHARACTERISTICS as MEASURED

SMALLEST = 1e-3  # share of a target's median term below which a term counts as so large: log has no value at 0


TERMS: Mapping[str, tuple[str, str]] = {
    "images": ("similar images", "other images"),
    "euclidean": ("similar segments", "other segments"),
    "gmm2d": ("lies alike", "lies elsewhere"),
    "gmm3d": ("alike in place and intensity", "elsewhere in place and intensity"),
    "fake_classes": ("similar kinds of segments", "other kinds of segments"),
    "fake_class_gmm": ("kinds of segments lie alike", "kinds of segments lie elsewhere"),
    "fingerprint": ("similar statistics", "other statistics"),
    "patches": ("similar local patterns", "other local patterns"),
    "boundary": ("similar boundaries", "other boundaries"),
}
"""Words for small and large terms: that of the images, and the mask terms of methods."""


def _log(values: pd.Series) -> pd.Series:
    return pd.Series(np.log2(values.clip(lower=1e-3)), index=values.index)


_Transform = Callable[[pd.DataFrame], pd.Series]

CHARACTERISTICS: Mapping[str, tuple[str, _Transform]] = {
    "contrast": ("contrast", lambda means: means["segment_contrast"] / means["image_contrast"]),
    "brightness": ("brightness", lambda means: means["segment_brightness"] / means["image_contrast"]),
    "sharpness": ("sharpness", lambda means: _log(means["edge_sharpness"])),
    "size": ("size", lambda means: _log(means["segment_size"])),
    "regions": ("number of regions", lambda means: _log(means["segment_regions"])),
    "spread": ("extent", lambda means: _log(means["segment_spread"])),
    "complexity": ("outline", lambda means: _log(means["boundary_complexity"])),
    "location": ("distance from the center", lambda means: means["segment_location"]),
    "variation": ("variation inside", lambda means: means["texture_deviation"] / means["image_contrast"]),
    "texture": ("fine texture", lambda means: means["fine_texture"] / means["image_contrast"]),
}
"""Characteristics of datasets: what words call them, and their value. Intensities are relative to the contrast of the
image, and sizes are in doublings, so that neither unit nor grid matters."""

OWN: Mapping[str, tuple[str, str, _Transform]] = {
    "samples": ("fewer samples", "more samples", lambda means: _log(means["samples"])),
    "size": ("smaller segments", "larger segments", CHARACTERISTICS["size"][1]),
    "contrast": ("less contrast", "more contrast", lambda means: CHARACTERISTICS["contrast"][1](means).abs()),
    "sharpness": ("softer edges", "sharper edges", CHARACTERISTICS["sharpness"][1]),
    "regions": ("fewer regions", "more regions", CHARACTERISTICS["regions"][1]),
    "complexity": ("plainer outlines", "more complex outlines", CHARACTERISTICS["complexity"][1]),
    "texture": ("smoother images", "finer texture", CHARACTERISTICS["texture"][1]),
}
"""What a source is like by itself: words for little and much of it, and its value."""

FEATURES: Mapping[str, tuple[str, str]] = {
    **{f"term {name}": words for name, words in TERMS.items()},
    **{f"difference {name}": (f"similar {word}", f"other {word}") for name, (word, _) in CHARACTERISTICS.items()},
    **{f"own {name}": (low, high) for name, (low, high, _) in OWN.items()},
}
"""Words for a source that has less of each feature than the target's other sources, and for one that has more. Features
are terms of distances, differences of characteristics, and what a source has by itself."""


def pair_features(distances: pd.DataFrame, characteristics: pd.DataFrame) -> pd.DataFrame:
    """The features of every target and source, a column per name of :data:`FEATURES`, NaN where one is not known.

    Every feature is centered within its target: only what distinguishes the sources of a target can rank them.
    `characteristics` has a row per dataset, with a column per characteristic and one called samples.
    """
    keys = ["target", "source"]
    characteristics = characteristics.reindex(columns=[*MEASURED, "samples"]).astype("float64")
    terms = distances.pivot_table(index=keys, columns="method", values="mask_term", sort=False)
    images = distances[distances["image_term"] > 0].groupby(keys, sort=False)["image_term"].first()
    found = pd.DataFrame(index=terms.index)
    for name in TERMS:
        values = images.reindex(terms.index) if name == "images" else terms.get(name)
        found[f"term {name}"] = np.nan if values is None else _log_of_terms(values)
    targets, sources = (found.index.get_level_values(key) for key in keys)
    for name, (_, transform) in CHARACTERISTICS.items():
        values = transform(characteristics)
        found[f"difference {name}"] = np.abs(values.loc[sources].to_numpy() - values.loc[targets].to_numpy())
    for name, (_, _, transform) in OWN.items():
        found[f"own {name}"] = transform(characteristics).loc[sources].to_numpy()
    return found - found.groupby(level="target").transform("mean")


def _log_of_terms(values: pd.Series) -> pd.Series:
    """log2 of terms, of which those close to 0 are set to a small share of what is usual for the target."""
    usual = values.groupby(level="target").transform("median")
    smallest = (SMALLEST * usual).where(usual > 0, 1.0)
    return pd.Series(np.log2(np.maximum(values, smallest)), index=values.index)
