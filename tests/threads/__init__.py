"""Export, verify, load and compare in many threads, processes, tasks and workers at once."""
