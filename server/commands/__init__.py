"""The commands that work on one instance's own data: thin doors over the verbs of `server`.

Each module is a group that `web/cli.py` loads by itself. What a module imports is what its commands wait for.
"""
