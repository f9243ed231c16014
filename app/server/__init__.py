"""A client's connection, from its bytes to requests: how many there may be, how large and how slow."""
