"""The resources of the API, one file each: from a request to a command or a query, and its response."""
