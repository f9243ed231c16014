"""What leaves the product: relay, stream and webhooks."""
