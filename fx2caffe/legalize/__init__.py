"""From any layers to those of a target: rules decompose what the target does not have."""
