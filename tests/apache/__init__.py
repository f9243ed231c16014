"""What only Apache Kafka itself can show: ``make test-kafka``."""
