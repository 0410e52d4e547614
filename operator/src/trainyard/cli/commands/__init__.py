"""The commands, one module a group: they parse, call and print."""
