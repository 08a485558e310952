"""Random graphs of functions: programs that hypothesis composes, and what is asked of each."""
