import java.time.Duration;
import java.util.List;
import java.util.Properties;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.serialization.StringDeserializer;

/** Reads a topic as a member of a group until it has had so many records, and prints the key and the position of each. */
class Reader {
    public static void main(String[] arguments) {
        Properties properties = new Properties();
        properties.put("bootstrap.servers", arguments[0]);
        properties.put("group.id", arguments[2]);
        properties.put("group.protocol", arguments[4]);
        properties.put("auto.offset.reset", "earliest");
        int wanted = Integer.parseInt(arguments[3]);
        long end = System.currentTimeMillis() + 60_000;
        try (var consumer = new KafkaConsumer<>(properties, new StringDeserializer(), new StringDeserializer())) {
            consumer.subscribe(List.of(arguments[1]));
            while (wanted > 0 && System.currentTimeMillis() < end) {
                for (var record : consumer.poll(Duration.ofMillis(200))) {
                    System.out.println(record.key() + " " + new String(record.headers().lastHeader("ce_sequence").value()));
                    wanted--;
                }
            }
        }
    }
}
