"""Tracing: a module becomes a flat, functional FX graph of leaf calls."""
