"""The command line: one file for each command; each parses, calls the library and prints."""

from medsegdist.cli.main import app as app
