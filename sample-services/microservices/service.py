"""What auth and users have in common: HTTP with JSON, health, secrets, an orderly end."""
import json
import os
import signal
import socket
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Problem(Exception):
    def __init__(self, status, reason):
        super().__init__(reason)
        self.status = status


def secret(name):
    with open(f"/run/secrets/{name}", encoding="utf-8") as file:
        return file.read().strip()


def serve(prepare, routes):
    """Answers until SIGTERM. `prepare` makes the tables; until it has worked the service is not healthy."""
    ready = threading.Event()

    class Request(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def text(self, key):
            value = self.given.get(key)
            if not isinstance(value, str) or not 0 < len(value) <= 100:
                raise Problem(400, f"{key}: a text of 1 to 100 characters is wanted")
            return value

        def answer(self, status, value):
            body = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.send_header("X-Instance", socket.gethostname())
            self.end_headers()
            self.wfile.write(body)

        def handle_one(self):
            try:
                length = int(self.headers.get("Content-Length") or 0)
                body = self.rfile.read(min(length, 1 << 16))
                self.given = json.loads(body) if body else {}
                if self.path == "/health":
                    if not ready.is_set():
                        prepare()
                        ready.set()
                    return self.answer(200, {"status": "ok"})
                route = routes.get((self.command, self.path))
                if route is None:
                    raise Problem(404, "no such path")
                return self.answer(200, route(self))
            except Problem as problem:
                return self.answer(problem.status, {"error": str(problem)})
            except (ValueError, AttributeError) as error:
                return self.answer(400, {"error": f"no JSON object: {error}"})
            except Exception as error:  # the database's, of either kind
                return self.answer(503, {"error": str(error).strip()})

        do_GET = do_PUT = do_POST = handle_one

        def log_message(self, form, *values):
            if self.path != "/health":
                print(json.dumps({"message": form % values, "client": self.client_address[0]}), flush=True)

    server = ThreadingHTTPServer(("", 8080), Request)
    # Connections that are open are finished; nothing new is taken.
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    server.serve_forever()
    server.server_close()
    sys.exit(0)


if __name__ == "__main__":  # as the health check
    import urllib.request

    urllib.request.urlopen("http://127.0.0.1:8080/health", timeout=2)
