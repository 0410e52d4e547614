"""The command line: `trainyard`, also as `kubectl trainyard`.

`commands` has one thin module a group of commands; what they do stands beside it in functions that
take typed input.
"""
