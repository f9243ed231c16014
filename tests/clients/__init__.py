"""What client authors do with the documents: usual generators, type checkers, linters, and a generated client at work."""
