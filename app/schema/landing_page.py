"""The page at ``/``: where the API and its documents are. Its content security policy allows nothing from another host."""

from __future__ import annotations

from litestar import get
from litestar.response.base import ASGIResponse

from app.http.operations import HIDDEN

LANDING = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Opportunities</title>
<style>
body { font: 16px/1.6 system-ui, sans-serif; max-width: 40rem; margin: 4rem auto; padding: 0 1rem }
body { color: #1d2733; background: #fff }
code { background: #eef1f4; padding: .1rem .3rem; border-radius: 3px }
@media (prefers-color-scheme: dark) {
  body { color: #e4e8ec; background: #14181d }
  code { background: #252c34 }
  a { color: #7cb7ff }
}
</style>
</head>
<body>
<h1>Opportunities</h1>
<p>The API is running. It is at <a href="/api/"><code>/api/</code></a> and wants
<code>Authorization: Bearer &lt;token&gt;</code>.</p>
<ul>
<li><a href="/schema/">Documentation</a>, to read and try out</li>
<li><a href="/schema/openapi.json">OpenAPI document</a></li>
<li><a href="/schema/asyncapi.json">AsyncAPI document</a> of the event stream</li>
<li><a href="/health/ready">Health</a></li>
</ul>
</body>
</html>
"""


@get("/", opt={"operation": HIDDEN})
async def get_landing() -> ASGIResponse:
    policy = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    return ASGIResponse(body=LANDING, media_type="text/html", headers=[("content-security-policy", policy)])


HANDLERS = (get_landing,)
