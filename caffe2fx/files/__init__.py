"""The text and binary forms of a net: any dialect and age to and from messages."""
