"""Connections that end as they should, in ways that look like failures: servers, and clients that fail at any error.

python3 shapes.py serve|ask NAME ADDRESS PORT FILES [SECONDS]
"""

import random
import socket
import socketserver
import ssl
import struct
import subprocess
import sys
import time

side, name, address, port, files = sys.argv[1:6]
endpoint = (address, int(port))
GET = b"GET / HTTP/1.1\r\nHost: lab\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nok\n"
MAIL = [b"220 lab ready\r\n", b"250 lab\r\n", b"221 bye\r\n"]


def open_connection():
    return socket.create_connection(endpoint, timeout=10)


# Servers: what each does with a connection.


def take_logs(connection):
    """Never answers."""
    while connection.recv(4096):
        pass


def answer_half_closed(connection):
    """Answers when the client has said all it wants to."""
    while connection.recv(4096):
        pass
    time.sleep(0.05)
    connection.sendall(OK)


def speak_first(connection):
    """Mail: a greeting, and a last word when the client quits."""
    connection.sendall(MAIL[0])
    while line := connection.recv(4096):
        if line.startswith(b"QUIT"):
            connection.sendall(MAIL[2])
            return
        connection.sendall(MAIL[1])


SERVERS = {"logs": take_logs, "half": answer_half_closed, "mail": speak_first}


def serve():
    class Handler(socketserver.BaseRequestHandler):
        def handle(self):
            try:
                SERVERS[name](self.request)
            except OSError:
                pass

    socketserver.ThreadingTCPServer.allow_reuse_address = True
    socketserver.ThreadingTCPServer.daemon_threads = True
    socketserver.ThreadingTCPServer(endpoint, Handler).serve_forever()


# Clients: one connection each.


def ship_logs():
    connection = open_connection()
    for _ in range(random.randint(1, 20)):
        connection.sendall(b"<13>1 2026-01-01T00:00:00Z lab app - - - something happened\n")
        time.sleep(random.random() * 0.2)
    connection.close()


def half_close():
    connection = open_connection()
    connection.sendall(GET)
    connection.shutdown(socket.SHUT_WR)
    answer = b""
    while part := connection.recv(4096):
        answer += part
    assert answer == OK, answer
    connection.close()
    time.sleep(0.05)


def send_mail():
    connection = open_connection()
    assert connection.recv(4096) == MAIL[0]
    for _ in range(3):
        connection.sendall(b"NOOP\r\n")
        assert connection.recv(4096) == MAIL[1]
        time.sleep(random.random() * 0.2)
    connection.sendall(b"QUIT\r\n")
    assert connection.recv(4096) == MAIL[2]
    connection.close()


def probe():
    """As balancers check whether a port is open: closed at once, or reset, the greeting read or not."""
    connection = open_connection()
    time.sleep(random.choice([0, 0.02]))
    if random.random() < 0.5:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
    time.sleep(0.1)


def loser():
    """Two connections at once, of which one is used: as with happy eyeballs."""
    winner, other = open_connection(), open_connection()
    other.close()
    winner.sendall(GET)
    while winner.recv(4096):
        pass
    winner.close()
    time.sleep(0.1)


def idle_tls():
    """One request, and then the server closes; OpenSSL answers its last word."""
    context = ssl._create_unverified_context()
    connection = context.wrap_socket(open_connection(), server_hostname="lab")
    connection.sendall(GET)
    while connection.recv(4096):
        pass
    try:
        connection.unwrap()
    except (OSError, ssl.SSLError):
        pass
    connection.close()


def tls_probe():
    """As balancers check whether a server speaks TLS: a handshake, and no request."""
    context = ssl._create_unverified_context()
    connection = context.wrap_socket(open_connection(), server_hostname="lab")
    time.sleep(random.choice([0, 0.02]))
    farewell = random.choice([None, connection.unwrap, lambda: connection.shutdown(socket.SHUT_WR)])
    try:
        farewell and farewell()
    except OSError:
        pass
    connection.close()
    time.sleep(0.1)


def idle_s_client():
    words = ["openssl", "s_client", "-quiet", "-connect", f"{address}:{port}"]
    client = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    client.stdin.write(GET)
    client.stdin.flush()
    assert b"200" in client.stdout.readline()
    client.wait(10)


def redis_pool():
    connection = open_connection()
    for _ in range(random.randint(1, 5)):
        connection.sendall(b"PING\r\n")
        assert connection.recv(4096) == b"+PONG\r\n"
        time.sleep(random.random() * 0.3)
    if random.random() < 0.5:
        connection.sendall(b"QUIT\r\n")
        assert connection.recv(4096) == b"+OK\r\n"
    connection.close()


def redis_idle():
    """The server closes it."""
    connection = open_connection()
    connection.sendall(b"PING\r\n")
    assert connection.recv(4096) == b"+PONG\r\n"
    assert connection.recv(4096) == b""
    connection.close()


def postgres_pool():
    import psycopg2

    connection = psycopg2.connect(host=address, port=int(port), user="postgres", dbname="postgres")
    with connection.cursor() as cursor:
        for _ in range(3):
            cursor.execute("select 1")
            time.sleep(random.random() * 0.2)
    connection.close()


def mysql_pool():
    import pymysql

    connection = pymysql.connect(host=address, port=int(port), user="root")
    with connection.cursor() as cursor:
        for _ in range(3):
            cursor.execute("select 1")
            time.sleep(random.random() * 0.2)
    connection.close()


CLIENTS = {
    "logs": ship_logs,
    "half": half_close,
    "mail": send_mail,
    "probe": probe,
    "loser": loser,
    "tls": idle_tls,
    "tls-probe": tls_probe,
    "s_client": idle_s_client,
    "redis": redis_pool,
    "redis-idle": redis_idle,
    "postgres": postgres_pool,
    "mysql": mysql_pool,
}


def ask(seconds):
    ends, rounds = time.time() + seconds, 0
    while time.time() < ends:
        CLIENTS[name]()
        rounds += 1
    print(rounds)


serve() if side == "serve" else ask(float(sys.argv[6]))
