"""The product's processes: the HTTP API and the command line, and how they are wired to the domain and the read models."""
