"""The conventions of HTTP, one file each: what every request and answer goes through. Knows no resource."""
