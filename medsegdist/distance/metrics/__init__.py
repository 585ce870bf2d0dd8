"""Distances between the masks of two datasets, d_Y of the paper's Eq. 3.

The names are listed in `__init__.pyi`; a metric's module is imported when the metric is first used.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
