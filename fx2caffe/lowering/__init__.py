"""From the FX graph to steps: one handler for each torch function."""
