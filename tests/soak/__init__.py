"""Many exports in one process, whose memory stays as it is."""
