"""A server that serves one connection after the other and slowly: python3 overloaded.py ADDRESS PORT BACKLOG"""

import socket
import sys
import time

address, port, backlog = sys.argv[1:]
listener = socket.create_server((address, int(port)), backlog=int(backlog))
while True:
    connection, _ = listener.accept()
    with connection:
        try:
            request = connection.recv(4096)
            if not request:
                continue
            print(request.split(b"\r\n")[0].decode(), flush=True)
            time.sleep(0.15)
            connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 3\r\n\r\nok\n")
        except OSError as error:
            print("lost a client:", error.strerror, flush=True)
