"""Options that several mask metrics share, set by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any

from medsegdist.distance.mask_metrics.mask_metric import MaskMetric


def with_options(metric: Any, options: Mapping[str, Any]) -> MaskMetric[Any]:
    """The metric with those of the options that it has.

    Args:
        metric: a metric; one that is no dataclass has no options.
        options: values by the name of a field.

    Raises:
        ValueError: the metric refuses a value.
    """
    names = {field.name for field in fields(metric) if field.init} if is_dataclass(metric) else set()
    chosen = {name: value for name, value in options.items() if name in names}
    changed: MaskMetric[Any] = replace(metric, **chosen) if chosen else metric
    return changed
