"""What a key's request is hashed from is its URL's path and query, by the short way as by the long one."""

from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request

from gridagora.service.headers import _address

PATHS = st.text("abz09/_.~-%?#\\;: é\n", max_size=30).map("/".__add__)
QUERIES = st.text("abz09=&%+/?", max_size=20).map(str.encode)


@given(path=PATHS, query=QUERIES | st.just(b""))
def test_the_address_is_the_url_s(path, query):
    scope = {
        "type": "http",
        "method": "POST",
        "scheme": "http",
        "path": path,
        "query_string": query,
        "headers": [(b"host", b"market.example")],
    }
    request = Request(scope)
    assert _address(request) == f"{request.url.path}?{request.url.query}"
