"""Recording: torch calls on traced values become nodes, or refusals."""
