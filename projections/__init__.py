"""Read models: tables derived from the log, one file each."""
