// Reads so many events of a topic with a group, as CloudEvents: node reader.js SERVERS TOPIC NUMBER
const { Kafka, logLevel } = require("kafkajs");
const { Kafka: CloudEvents } = require("cloudevents");

const [servers, topic, number] = process.argv.slice(2);
const kafka = new Kafka({ brokers: servers.split(","), logLevel: logLevel.ERROR });
const consumer = kafka.consumer({ groupId: "node-readers" });
let left = Number(number);

async function main() {
  await consumer.connect();
  await consumer.subscribe({ topics: [topic], fromBeginning: true });
  await consumer.run({
    eachMessage: async ({ message }) => {
      // kafkajs gives headers as buffers, and the SDK takes text.
      const headers = Object.fromEntries(Object.entries(message.headers).map(([name, value]) => [name, value.toString()]));
      const event = CloudEvents.toEvent({ headers, key: message.key, value: message.value, body: message.value });
      console.log(message.key.toString(), JSON.parse(message.value).position, event.type);
      if (--left === 0) setTimeout(() => consumer.disconnect().then(() => process.exit(0)), 0);
    },
  });
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
