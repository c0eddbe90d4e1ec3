"""Reads TOPIC of SERVER to its end, as a reader with read_committed does, with the consumer of PyPI's confluent-kafka.

Prints each message as a JSON object, by partition and offset."""

import json
import sys

from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

server, topic = sys.argv[1:]
consumer = Consumer(
    {
        "bootstrap.servers": server,
        "group.id": "independent",
        "enable.auto.commit": False,
        "enable.partition.eof": True,
        "isolation.level": "read_committed",
    }
)
partitions = consumer.list_topics(topic, timeout=20).topics[topic].partitions
consumer.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for number in partitions])
left, messages = set(partitions), []
while left:
    message = consumer.poll(20)
    if message is None:
        sys.exit(f"{topic} says nothing")
    if message.error() is None:
        messages.append(message)
    elif message.error().code() == -191:  # The end of a partition.
        left.discard(message.partition())
    else:
        sys.exit(str(message.error()))
consumer.close()
text = lambda value: (value or b"").decode()
for message in sorted(messages, key=lambda message: (message.partition(), message.offset())):
    form = {
        "partition": message.partition(),
        "key": text(message.key()),
        "value": text(message.value()),
        "timestamp": message.timestamp()[1],
        "headers": [[name, text(value)] for name, value in message.headers() or []],
    }
    print(json.dumps(form))
