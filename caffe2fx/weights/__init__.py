"""The bytes of weights: caffemodel and HDF5, read by mapping and written whole or not at all."""
