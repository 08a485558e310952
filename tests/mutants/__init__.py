"""Random breaks of the code, each of which has to turn a test of its room red."""
