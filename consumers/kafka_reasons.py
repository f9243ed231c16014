"""What to do about errors of brokers, by their name in the library: a line that names the setting or the property of the topic."""

from __future__ import annotations

MAX_MESSAGE_BYTES = 8 * 1024 * 1024

USER, TOPIC = "OPPORTUNITIES_KAFKA_USERNAME", "OPPORTUNITIES_KAFKA_TOPIC"
_SIZE = (
    f"a record is larger than {TOPIC} takes: set its max.message.bytes to {MAX_MESSAGE_BYTES}, as the relay does when it creates it"
)
_REPLICAS = "too few replicas of the topic are in sync for its min.insync.replicas: bring brokers back; then it goes on by itself"
ADVICE = {
    "TopicAuthorizationFailedError": f"the brokers do not allow it: let {USER} Create, Describe, Write and Read {TOPIC}",
    "GroupAuthorizationFailedError": f"the brokers do not allow it: let {USER} Read groups whose name begins with {TOPIC}",
    "ClusterAuthorizationFailedError": f"the brokers do not allow it: let {USER} Create {TOPIC}, or create it yourself",
    "InvalidReplicationFactorError": "the cluster has fewer brokers than OPPORTUNITIES_KAFKA_REPLICATION",
    "InvalidTopicError": f"{TOPIC} is no name of a topic: letters, digits, dots, underscores and hyphens, 249 at most",
    "MessageSizeTooLargeError": _SIZE,
    "RecordListTooLargeError": _SIZE,
    "LeaderNotAvailableError": "a partition of the topic has no leader: bring its brokers back; then it goes on by itself",
    "NotEnoughReplicasError": _REPLICAS,
    "NotEnoughReplicasAfterAppendError": _REPLICAS,
}
TOLD = {
    "The timestamp should be within": (
        "a broker's clock is further behind than its message.timestamp.after.max.ms allows (an hour by default):"
        " correct the clock; then it goes on by itself"
    ),
    "has passed since batch creation": (
        "the leader of a partition of the topic does not answer, though other brokers do: check the network to each broker"
    ),
}
"""The same by what an error says, where its name says little."""
