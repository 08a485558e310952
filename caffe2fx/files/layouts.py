"""The orders of axes in which a dump may hold feature maps."""

LAYOUTS = ("NCHW", "NHWC")
