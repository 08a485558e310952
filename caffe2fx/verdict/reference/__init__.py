"""The reference: its second inputs, orders of summation, and weights that keep a signal."""
