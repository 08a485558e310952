"""The exporter: prepare, trace, lower, legalize, run the passes, save and verify a net."""
