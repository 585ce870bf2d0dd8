#!/usr/bin/env python
"""Distances out of a configuration that MONAI's ConfigParser puts together, as it does a bundle's.

    python scripts/monai_config.py scripts/distances.yaml [ID=VALUE ...]

An ID=VALUE takes the place of what the configuration has there: distances::gmm3d::metric::components=3. A configuration
is code: run none of people you do not trust.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import yaml
from monai.bundle import ConfigParser

from medsegdist import DistanceTable


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path, help="YAML or JSON with a `table`")
    parser.add_argument("changes", nargs="*", metavar="ID=VALUE", help="instead of what the configuration has")
    options = parser.parse_args(arguments)

    config = ConfigParser()
    config.read_config(options.config)
    for change in options.changes:
        place, _, value = change.partition("=")
        config[place] = yaml.safe_load(value)

    # What nothing refers to is never built.
    table: DistanceTable = config.get_parsed_content("table")
    for method in table.methods:
        print(f"{method}, nearest first:")
        for row in table.ranking(config.get_parsed_content("target"), method):
            print(f"  {row.source}: {row.distance:.4g}")


if __name__ == "__main__":
    main()
