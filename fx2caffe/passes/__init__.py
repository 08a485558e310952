"""Passes over a legal net; each takes a Net and gives a Net with the same results."""
