"""Reads COUNT messages of TOPIC from SERVER with the consumer of PyPI's confluent-kafka and prints their values."""

import sys

from confluent_kafka import Consumer

server, topic, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
consumer = Consumer(
    {
        "bootstrap.servers": server,
        "group.id": "independent",
        "auto.offset.reset": "earliest",
        "isolation.level": "read_committed",
    }
)
consumer.subscribe([topic])
values = []
# One second more than needed: a line that came twice would come now.
while (message := consumer.poll(20 if len(values) < count else 1)) is not None:
    if message.error():
        sys.exit(str(message.error()))
    values.append(message.value().decode())
consumer.close()
print("\n".join(values))
