"""A page of another origin in a real browser: it creates, reads and changes a deal, reads an error, and elsewhere gets nothing."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from app.writing.committer import Committer
from app.writing.provisioning import create_org
from tests.support.scenarios import Org
from tests.support.server import serving

pytestmark = pytest.mark.browser

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PAGE = """<!doctype html><meta charset="utf-8"><pre id="told"></pre><script>
const [api, token, account] = %s;
const ask = async (method, path, body, headers = {}) => {
  const reply = await fetch(api + path, {
    method, body: body && JSON.stringify(body),
    headers: {Authorization: `Bearer ${token}`, ...(body && {"Content-Type": "application/json"}), ...headers},
  });
  return {status: reply.status, etag: reply.headers.get("ETag"), location: reply.headers.get("Location"),
    id: reply.headers.get("X-Request-Id"), replayed: reply.headers.get("Idempotent-Replayed"), body: await reply.json()};
};
(async () => {
  const told = {};
  try {
    const deal = {name: "From a page", account_id: account, custom_fields: {note: "x".repeat(2000)}};
    told.created = await ask("POST", "/api/opportunities/", deal, {"Idempotency-Key": "page"});
    told.repeated = await ask("POST", "/api/opportunities/", deal, {"Idempotency-Key": "page"});
    told.read = await ask("GET", told.created.location);
    told.changed = await ask("PATCH", told.created.location, {name: "By a page"}, {"If-Match": told.read.etag});
    told.late = await ask("PATCH", told.created.location, {name: "Late"}, {"If-Match": told.read.etag});
    const stranger = await fetch(api + "/api/opportunities/");
    told.stranger = {status: stranger.status, body: await stranger.json()};
  } catch (error) { told.error = String(error); }
  document.getElementById("told").textContent = JSON.stringify(told);
})();
</script>"""


class Pages(ThreadingHTTPServer):
    """One page, which knows where the API is, a token and an account."""

    known: tuple[str, ...] = ()


class Serving(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, Pages)
        body = (PAGE % json.dumps(self.server.known)).encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@contextmanager
def pages() -> Iterator[Pages]:
    server = Pages(("127.0.0.1", 0), Serving)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def told(url: str, profile: Path) -> dict[str, Any]:
    """What the page wrote once all that it asked for had come."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        pytest.fail("Chromium is needed: apt-get install chromium")
    options = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        f"--user-data-dir={profile}",
        "--virtual-time-budget=20000",
        "--dump-dom",
    ]
    done = subprocess.run([browser, *options, url], capture_output=True, text=True, timeout=100, check=True)
    written = re.search(r'<pre id="told">(.*?)</pre>', done.stdout, re.DOTALL)
    assert written, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(html.unescape(written[1]))
    return found


def test_a_page_of_an_origin_in_the_setting_works_with_the_api_and_another_does_not(database_url: str, tmp_path: Path) -> None:
    committer = Committer(database_url)
    provisioned = create_org(committer, "Yours", "USD", "admin@yours.com")
    committer.close()
    with pages() as page, serving(database_url, OPPORTUNITIES_CORS_ORIGINS=f"http://127.0.0.1:{page.server_port}") as server:
        org = Org(server, provisioned)
        page.known = (f"http://127.0.0.1:{server.port}", provisioned.token, org.account()["id"])
        ours = told(f"http://127.0.0.1:{page.server_port}/", tmp_path / "ours")
        theirs = told(f"http://localhost:{page.server_port}/", tmp_path / "theirs")
        org.close()  # whose connection may have idled for too long
        with server.client(provisioned.token) as client:
            (deal,) = client.get("/api/opportunities/").json()["results"]
    assert "error" not in ours, ours
    assert {name: reply["status"] for name, reply in ours.items()} == {
        "created": 201, "repeated": 201, "read": 200, "changed": 200, "late": 412, "stranger": 401,
    }  # fmt: skip
    assert ours["created"]["location"].endswith(f"{ours['created']['body']['id']}/")
    assert (ours["created"]["replayed"], ours["repeated"]["replayed"]) == (None, "true")
    assert ours["read"]["etag"].startswith('W/"1.')  # a browser takes compressed answers
    assert ours["late"]["id"] == ours["late"]["body"]["request_id"]
    assert theirs == {"error": "TypeError: Failed to fetch"}
    assert deal["name"] == "By a page"
