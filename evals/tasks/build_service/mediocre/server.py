"""In memory: offsets for pages, no idempotency, no versions, no owners beyond the list."""

import itertools
import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

USERS, ORDERS, IDS = {}, {}, itertools.count(1)


class Handler(BaseHTTPRequestHandler):
    def say(self, status, data=None, **more):
        body = json.dumps({"data": data, **more}).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def handle_it(self):
        url = urlsplit(self.path)
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length) or "{}")
        user = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if url.path == "/readyz":
            return self.say(200)
        if url.path.endswith("/register"):
            USERS[body["email"]] = body["password"]
            return self.say(201)
        if url.path.endswith("/login"):
            return self.say(200, {"accessToken": body["email"]})
        if user not in USERS:
            return self.say(401)
        if url.path == "/api/v1/orders" and self.command == "POST":
            order = {"status": "open", **body, "id": str(next(IDS)), "owner": user}
            ORDERS[order["id"]] = order
            return self.say(201, order)
        if url.path == "/api/v1/orders":
            query = parse_qs(url.query)
            limit, offset = int(query["limit"][0]), int(query.get("cursor", ["0"])[0])
            mine = [order for order in reversed(ORDERS.values()) if order["owner"] == user]
            more = len(mine) > offset + limit
            page = {"limit": limit, "nextCursor": str(offset + limit), "hasMore": more}
            return self.say(200, mine[offset : offset + limit], pagination=page)
        order = ORDERS.get(url.path.rpartition("/")[2])
        if order is None:
            return self.say(404)
        if self.command == "DELETE":
            del ORDERS[order["id"]]
        if self.command == "PATCH":
            order.update(body)
        return self.say(200, order)

    do_GET = do_POST = do_PATCH = do_DELETE = do_PUT = handle_it


ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
