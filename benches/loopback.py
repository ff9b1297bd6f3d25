"""A server of static files on the loopback interface, with the entity tags that `ETag` and `If-None-Match` want, and a log of
what it sent. For benches; answers GET and nothing else."""

import hashlib
import http.server
import os
import threading


class Server(http.server.ThreadingHTTPServer):
    """Serves a folder in a thread of its own. `log` has a pair of path and body bytes for each answer; what ends with
    `without` is not there."""

    daemon_threads = True

    def __init__(self, folder, port=0):
        super().__init__(("127.0.0.1", port), Handler)
        self.folder, self.without, self.log = os.path.abspath(folder), "", []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, request, client_address):
        pass  # A client that ends resets the connections that it kept open.


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Headers and body in one piece: a body that waits for the acknowledgement of its headers costs 40 ms for each request on a
    # connection that is used again, which no server that is worth the name would do.
    wbufsize = -1
    disable_nagle_algorithm = True

    def do_GET(self):
        name = self.path.split("?")[0].lstrip("/")
        path = os.path.join(self.server.folder, name)
        hidden = self.server.without and name.endswith(self.server.without)
        if hidden or not os.path.isfile(path):
            return self.answer(404, b"no such file\n", None)
        with open(path, "rb") as file:
            body = file.read()
        etag = '"%s"' % hashlib.sha256(body).hexdigest()[:32]
        if self.headers.get("If-None-Match") == etag:
            return self.answer(304, b"", etag)
        return self.answer(200, body, etag)

    def answer(self, status, body, etag):
        self.server.log.append((self.path, len(body)))
        self.send_response(status)
        if etag:
            self.send_header("ETag", etag)
        if status != 304:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass
