"""Lists as files: one snapshot, read as a stream, in every format."""
