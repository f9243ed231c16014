"""What leaves the product: the relay, the stream and webhooks."""
