"""Files of the docs page; nothing here is Python."""
