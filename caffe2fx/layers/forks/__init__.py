"""Records of layers that only forks of Caffe have."""
