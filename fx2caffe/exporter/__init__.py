"""From the call to the files: prepare, trace, lower, legalize, run the passes, save, verify."""
