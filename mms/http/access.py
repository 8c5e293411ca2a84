"""What a request needs before its route serves it: a key with one of the route's roles, and a page that may ask."""

from __future__ import annotations

import logging

from mms.http.exchange import Exchange
from mms.http.pages import PageRule
from mms.http.routing import MANAGEMENT_ROLE, METRICS_ROLE, Route
from mms.security import Access

logger = logging.getLogger("mms.http")


def check_key(access: Access, exchange: Exchange, route: Route) -> None:
    """Raises Unauthorized, Forbidden and TooManyRequests."""
    path = exchange.uri.partition("?")[0]
    what = f"{exchange.method} {path}"
    known = access.enter(exchange.request.raw_headers, route.roles, exchange.remote, what)
    if known.key is not None and route.roles == MANAGEMENT_ROLE and exchange.method != "GET":
        logger.info("Key %s of %s: %s", known.key, exchange.remote, what)
    exchange.credentials = known.credentials
    exchange.is_trusted = access.guard is None or known.key is not None


def check_page(rule: PageRule, exchange: Exchange, route: Route) -> None:
    """Raises Forbidden where the page of another site would manage models, or read what they are called."""
    headers = exchange.request.headers
    if route.roles == MANAGEMENT_ROLE:
        rule.check(exchange.method, headers.get("Origin"), headers.get("Host"))
    elif route.roles != METRICS_ROLE:
        return
    rule.check_host(exchange.method, headers.get("Host"))
