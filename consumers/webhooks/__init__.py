"""Webhooks: from records of the topic to deliveries, and from deliveries to signed HTTP requests."""
