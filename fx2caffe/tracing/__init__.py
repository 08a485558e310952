"""From a module to a flat, functional FX graph of leaf calls."""
