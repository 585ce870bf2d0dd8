"""Wing 2: how far apart two datasets are. Arrays in, numbers out."""
