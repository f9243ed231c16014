"""What every process needs from its machine: child processes, folders, memory, and its kinds of failure."""
