"""The product's processes: HTTP, command line and the wiring of domain and read models."""
