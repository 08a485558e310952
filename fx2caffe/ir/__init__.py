"""The intermediate representation: what handlers emit and rules rewrite."""
