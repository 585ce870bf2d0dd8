"""medsegdist: distances between binary medical segmentation datasets, to choose what to pre-train on.

The public names are listed in `__init__.pyi` and imported when they are first used: `import medsegdist` itself loads
nothing else.
"""

import lazy_loader

__version__ = "0.2.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
