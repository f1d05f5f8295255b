"""gRPC: a server whose connections end when they idle or are old, and walkers that call it on a channel of their own.

python3 rpc.py serve ADDRESS PORT prints each path; python3 rpc.py gRPC PLAN, where PLAN is JSON, prints a line of JSON
for each call that failed.
"""

import json
import random
import sys
import threading
import time
from concurrent import futures

import grpc

SERVER = [("grpc.max_connection_idle_ms", 1000), ("grpc.max_connection_age_ms", 10000)]
# Calls that met a close are not made again: what is lost is to be seen.
CLIENT = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0)]


class Answer(grpc.GenericRpcHandler):
    def service(self, call):
        print(call.method, flush=True)
        return grpc.unary_unary_rpc_method_handler(lambda request, context: b"ok\n")


def serve(address, port):
    server = grpc.server(futures.ThreadPoolExecutor(8), handlers=[Answer()], options=SERVER)
    server.add_insecure_port(f"{address}:{port}")
    server.start()
    server.wait_for_termination()


def walk(plan, walker):
    time.sleep(walker * plan["stagger"] / 1000)
    with grpc.insecure_channel(plan["server"], options=CLIENT) as channel:
        for step in range(plan["rounds"]):
            identity = plan["first"] + walker * plan["rounds"] + step
            action = plan["actions"][step % len(plan["actions"])]
            try:
                call = channel.unary_unary(f"/w{walker}/x{identity}/{action}")
                call(b"?", timeout=plan["patience"] / 1000)
            except grpc.RpcError as error:
                said = {"id": identity, "port": None, "error": f"{error.code().name} {error.details()}"}
                sys.stdout.write(json.dumps(said) + "\n")
                sys.stdout.flush()
            time.sleep(random.uniform(plan["from"], plan["to"]) / 1000)


def main():
    if sys.argv[1] == "serve":
        serve(*sys.argv[2:])
        return
    plan = json.loads(sys.argv[2])
    threads = [threading.Thread(target=walk, args=(plan, number)) for number in range(plan["walkers"])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


main()
