"""Tracing: a module becomes a flat, functional FX graph of leaf calls.

`tracer` runs the model once, and `fidelity` holds the graph against the model's own run. The rooms
are the floors between: `functions/` knows torch's functions, `values/` the traced tensors, `model/`
lends the user's module, `recording/` turns its calls into nodes, and `batch/` compares two traces.
"""
