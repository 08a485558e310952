"""The result of a comparison: rows, the verdict that follows from them, and its forms."""
