"""The intermediate representation: records that handlers emit and rules rewrite."""
