"""Models of public libraries, small and with random weights, against real Caffe."""
