"""A client's connection, from its bytes to requests, with limits on number, size and time."""
