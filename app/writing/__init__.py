"""The path of a command from its envelope to the commit."""
