"""What every process of ours needs of its machine: children, folders, memory, and words for its failures."""
