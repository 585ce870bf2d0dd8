"""`python -m medsegdist`."""

from medsegdist.cli import app

app(prog_name="medsegdist")
