import com.sun.net.httpserver.HttpServer;
import java.net.InetSocketAddress;
import java.util.concurrent.Executors;

/** The JDK's own HTTP server: java -Dsun.net.httpserver.idleInterval=1 Upstream.java ADDRESS PORT. Prints each path. */
class Upstream {
    public static void main(String[] words) throws Exception {
        var address = new InetSocketAddress(words[0], Integer.parseInt(words[1]));
        var server = HttpServer.create(address, 100);
        server.setExecutor(Executors.newFixedThreadPool(8));
        server.createContext("/", exchange -> {
            System.out.println(exchange.getRequestURI());
            exchange.sendResponseHeaders(200, 3);
            exchange.getResponseBody().write("ok\n".getBytes());
            exchange.close();
        });
        server.start();
    }
}
