"""A net in single assignment: steps, values, shapes, weights."""
