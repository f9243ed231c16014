"""The whole product on one machine: its supervisor, a demo org, and embedded PostgreSQL and Kafka."""
