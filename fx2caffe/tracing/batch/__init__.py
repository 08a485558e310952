"""The batch: two traces at two batch sizes, held side by side."""
