"""Random graphs of functions: programs that hypothesis composes, and the checks of each."""
