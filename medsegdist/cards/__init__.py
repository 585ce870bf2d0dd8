"""Cards: what a dataset says of itself in a few kilobytes, so that datasets are compared where no image may travel."""
