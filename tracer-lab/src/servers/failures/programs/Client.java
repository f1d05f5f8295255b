import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse.BodyHandlers;
import java.time.Duration;
import java.util.ArrayList;
import java.util.concurrent.ThreadLocalRandom;
import java.util.regex.Pattern;

/**
 * Walkers with the JDK's HttpClient: each asks again and again on a connection of its own.
 * java Client.java PLAN, where PLAN is JSON. Prints a line of JSON for each request that failed.
 */
class Client {
    static String plan;

    static String text(String name) {
        var found = Pattern.compile("\"" + name + "\":(?:\"([^\"]*)\"|\\[([^]]*)]|([^,}]*))").matcher(plan);
        if (!found.find()) throw new IllegalArgumentException(name);
        for (int group = 1; group < 3; group++) if (found.group(group) != null) return found.group(group);
        return found.group(3);
    }

    static double number(String name) {
        return Double.parseDouble(text(name));
    }

    static void walk(int walker) throws InterruptedException {
        Thread.sleep((long) (walker * number("stagger")));
        var patience = Duration.ofMillis((long) number("patience"));
        var client = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).connectTimeout(patience).build();
        var actions = text("actions").replace("\"", "").split(",");
        int rounds = (int) number("rounds");
        for (int round = 0; round < rounds; round++) {
            long id = (long) number("first") + (long) walker * rounds + round;
            var path = "/w" + walker + "/x" + id + "/" + actions[round % actions.length];
            var request = HttpRequest.newBuilder(URI.create("http://" + text("server") + path)).timeout(patience);
            try {
                client.send(request.build(), BodyHandlers.discarding());
            } catch (java.io.IOException error) {
                var said = error.toString().replaceAll("[\"\\\\\n]", " ");
                System.out.println("{\"id\":" + id + ",\"port\":null,\"error\":\"" + said + "\"}");
            }
            double rest = number("from") + ThreadLocalRandom.current().nextDouble() * (number("to") - number("from"));
            Thread.sleep((long) rest, (int) (rest % 1 * 1e6));
        }
    }

    public static void main(String[] words) throws Exception {
        plan = words[0];
        var walkers = new ArrayList<Thread>();
        for (int number = 0; number < number("walkers"); number++) {
            int walker = number;
            walkers.add(new Thread(() -> {
                try {
                    walk(walker);
                } catch (InterruptedException error) {
                    throw new IllegalStateException(error);
                }
            }));
        }
        for (var walker : walkers) walker.start();
        for (var walker : walkers) walker.join();
        System.exit(0);
    }
}
