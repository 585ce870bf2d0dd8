"""Studies and datasets as YAML, and the clustered nodules of LIDC-IDRI."""
