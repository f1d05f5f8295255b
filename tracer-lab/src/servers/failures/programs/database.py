"""Pools of one connection each to a database: each asks, rests, and asks again without a look at the connection.

python3 database.py redis|psycopg2|pymysql PLAN, where PLAN is JSON. Prints a line of JSON for each query that failed.
"""

import json
import random
import socket
import sys
import threading
import time

library, plan = sys.argv[1], json.loads(sys.argv[2])
host, port = plan["server"].split(":")


class Redis:
    def __init__(self):
        self.socket = socket.create_connection((host, int(port)), timeout=10)

    def ask(self):
        self.socket.sendall(b"PING\r\n")
        if not self.socket.recv(100):
            raise EOFError("closed")

    def close(self):
        self.socket.close()

    def local(self):
        return self.socket.getsockname()[1]


class Postgres:
    def __init__(self):
        import psycopg2

        self.connection = psycopg2.connect(host=host, port=int(port), user="postgres", dbname="postgres")
        self.connection.autocommit = True
        borrowed = socket.socket(fileno=self.connection.fileno())
        self.name = borrowed.getsockname()[1]
        borrowed.detach()

    def ask(self):
        with self.connection.cursor() as cursor:
            cursor.execute("select 1")

    def close(self):
        self.connection.close()

    def local(self):
        return self.name


class MySql:
    def __init__(self):
        import pymysql

        self.connection = pymysql.connect(host=host, port=int(port), user="root")
        self.name = self.connection._sock.getsockname()[1]

    def ask(self):
        with self.connection.cursor() as cursor:
            cursor.execute("select 1")

    def close(self):
        if self.connection.open:
            self.connection.close()

    def local(self):
        return self.name


DATABASES = {"redis": Redis, "psycopg2": Postgres, "pymysql": MySql}


def walk(walker):
    time.sleep(walker * plan["stagger"] / 1000)
    session = None
    for step in range(plan["rounds"]):
        identity = plan["first"] + walker * plan["rounds"] + step
        session = session or DATABASES[library]()
        try:
            session.ask()
        except Exception as error:  # whatever the library calls it
            said = {"id": identity, "error": f"{type(error).__name__} {error}".strip(), "port": session.local()}
            sys.stdout.write(json.dumps(said) + "\n")
            sys.stdout.flush()
            session.close()
            session = None
        time.sleep(random.uniform(plan["from"], plan["to"]) / 1000)
    if session:
        session.close()


threads = [threading.Thread(target=walk, args=(number,)) for number in range(plan["walkers"])]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
