"""A server that serves one connection after the other and slowly, with room for one that waits: python3 overloaded.py ADDRESS PORT"""

import socket
import sys
import time

address, port = sys.argv[1:]
listener = socket.create_server((address, int(port)), backlog=1)
while True:
    connection, _ = listener.accept()
    with connection:
        try:
            request = connection.recv(4096)
            print(request.split(b"\r\n")[0].decode(), flush=True)
            time.sleep(0.15)
            connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 3\r\n\r\nok\n")
        except OSError as error:
            print("lost a client:", error.strerror, flush=True)
