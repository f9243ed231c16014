"""The benchmark: ours beside an idiomatic peer and beside the limits of its parts. ``run`` says how to read it."""
