"""What may happen and what happened: events, decisions and the event store. Imports no web and no Kafka library."""
