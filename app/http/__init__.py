"""The conventions of HTTP, one file each: what every request and response passes through. No file here knows a resource."""
