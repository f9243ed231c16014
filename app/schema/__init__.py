"""The documents of the API for programs and people: OpenAPI, AsyncAPI and the docs page."""
