"""The installer of real Caffe: locked packages, fetched, checked and unpacked without root."""
