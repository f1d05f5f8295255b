"""HTTP servers in Python. Each prints the path of every request that its application took.

python3 upstream.py waitress|tornado|aiohttp ADDRESS PORT; gunicorn upstream:wsgi; uvicorn upstream:asgi
All keep idle connections for a second.
"""

import os
import signal
import sys
import time

KEEPS = 1


def wsgi(environment, start):
    path = environment["PATH_INFO"]
    print(path, flush=True)
    if path.endswith("/kill"):
        os.kill(os.getpid(), signal.SIGKILL)
    if path.endswith("/hang"):
        time.sleep(60)
    start("200 OK", [("Content-Length", "3")])
    return [b"ok\n"]


async def asgi(scope, receive, send):
    if scope["type"] != "http":
        raise NotImplementedError
    print(scope["path"], flush=True)
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"3")]})
    await send({"type": "http.response.body", "body": b"ok\n"})


def serve_waitress(address, port):
    import waitress

    waitress.serve(wsgi, listen=f"{address}:{port}", channel_timeout=KEEPS, cleanup_interval=1, threads=8)


def serve_tornado(address, port):
    import tornado.httpserver
    import tornado.ioloop
    import tornado.web

    class Answer(tornado.web.RequestHandler):
        def get(self):
            print(self.request.path, flush=True)
            self.write("ok\n")

    application = tornado.web.Application([(".*", Answer)])
    server = tornado.httpserver.HTTPServer(application, idle_connection_timeout=KEEPS)
    server.listen(port, address)
    tornado.ioloop.IOLoop.current().start()


def serve_aiohttp(address, port):
    from aiohttp import web

    async def answer(request):
        print(request.path, flush=True)
        return web.Response(text="ok\n")

    application = web.Application()
    application.router.add_get("/{path:.*}", answer)
    web.run_app(application, host=address, port=port, keepalive_timeout=KEEPS, print=None, access_log=None)


if __name__ == "__main__":
    name, address, port = sys.argv[1:]
    {"waitress": serve_waitress, "tornado": serve_tornado, "aiohttp": serve_aiohttp}[name](address, int(port))
