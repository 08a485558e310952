"""Lowering: the FX graph becomes steps, by one handler for each torch function."""
