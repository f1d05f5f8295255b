"""How long a server keeps idle TLS connections: python3 idle.py ADDRESS PORT COUNT prints the seconds of each."""

import random
import socket
import ssl
import sys
import threading
import time

address, port, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
context = ssl.create_default_context()
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE


def idle():
    with context.wrap_socket(socket.create_connection((address, port), timeout=20)) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: lab\r\n\r\n")
        answer = b""
        while not answer.rstrip().endswith(b"ok"):
            answer += connection.recv(4096)
        answered = time.monotonic()
        connection.recv(4096)
        print(time.monotonic() - answered, flush=True)


threads = [threading.Thread(target=idle) for _ in range(count)]
for thread in threads:
    thread.start()
    time.sleep(random.uniform(0.15, 0.25))
for thread in threads:
    thread.join()
