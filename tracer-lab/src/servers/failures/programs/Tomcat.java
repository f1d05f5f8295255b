import jakarta.servlet.http.HttpServlet;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;
import java.io.IOException;
import org.apache.catalina.connector.Connector;

/** Tomcat, which keeps idle connections for a second: java Tomcat.java ADDRESS PORT DIRECTORY. Prints each path. */
class Tomcat {
    public static void main(String[] words) throws Exception {
        var connector = new Connector();
        connector.setProperty("address", words[0]);
        connector.setPort(Integer.parseInt(words[1]));
        connector.setProperty("keepAliveTimeout", "1000");
        connector.setProperty("maxKeepAliveRequests", "-1");
        var tomcat = new org.apache.catalina.startup.Tomcat();
        tomcat.setBaseDir(words[2]);
        tomcat.setConnector(connector);
        var context = tomcat.addContext("", words[2]);
        org.apache.catalina.startup.Tomcat.addServlet(context, "answer", new HttpServlet() {
            @Override
            protected void doGet(HttpServletRequest request, HttpServletResponse response) throws IOException {
                System.out.println(request.getRequestURI());
                response.setContentLength(3);
                response.getOutputStream().print("ok\n");
            }
        });
        context.addServletMappingDecoded("/*", "answer");
        tomcat.start();
        tomcat.getServer().await();
    }
}
