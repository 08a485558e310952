"""The model and its inputs: as the tracer runs them, and put back as they were."""
