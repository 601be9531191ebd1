"""Downloads, from a server of the test's own."""

import hashlib
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from depthbench.data import download
from depthbench.data.download import RemoteFile, fetch
from depthbench.errors import DataError

CONTENT = b"digits " * 50_000
FILE = RemoteFile("train.gz", hashlib.sha256(CONTENT).hexdigest())


@contextmanager
def served(*answers):
    """Serve the answers in turn, the last one for ever; a status or the content."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            answer = answers[min(len(asked), len(answers) - 1)]
            asked.append(self.path)
            self.send_response(answer if isinstance(answer, int) else 200)
            content = b"" if isinstance(answer, int) else answer
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(autouse=True)
def _direct(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def test_a_file_is_fetched_checked_and_kept(tmp_path):
    with served(CONTENT) as (url, asked):
        path = fetch(FILE, [url], tmp_path / "new" / "mnist")
    assert path == tmp_path / "new" / "mnist" / "train.gz"
    assert path.read_bytes() == CONTENT
    assert asked == ["/train.gz"]


def test_the_next_mirror_is_tried(tmp_path):
    with (
        served(404) as (bad, _),
        served(b"other content") as (worse, _),
        served(CONTENT) as (
            good,
            asked,
        ),
    ):
        assert fetch(FILE, [bad, worse, good], tmp_path).read_bytes() == CONTENT
    assert len(asked) == 1


def test_a_mirror_that_recovers_is_tried_again(tmp_path):
    with served(503, CONTENT) as (url, asked):
        assert fetch(FILE, [url], tmp_path).read_bytes() == CONTENT
    assert len(asked) == 2


def test_a_file_with_another_checksum_is_never_kept(tmp_path):
    with served(b"other content") as (url, _), pytest.raises(DataError, match="hash") as caught:
        fetch(FILE, [url], tmp_path)
    assert url in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_every_mirror_that_failed_is_named_with_its_reason(tmp_path):
    with served(404) as (url, _):
        gone = "http://127.0.0.1:9/"
        with pytest.raises(DataError) as caught:
            fetch(FILE, [gone, url], tmp_path)
    message = str(caught.value)
    assert f"{gone}train.gz" in message
    assert f"{url}train.gz (404" in message
    assert "refused" in message.lower()


def test_a_folder_that_cannot_be_made_is_a_data_error(tmp_path):
    (tmp_path / "file").write_text("")
    with served(CONTENT) as (url, _), pytest.raises(DataError, match="failed"):
        fetch(FILE, [url], tmp_path / "file" / "mnist")


def test_a_terminal_shows_progress_on_standard_error(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(download.sys.stderr, "isatty", lambda: True)
    with served(CONTENT) as (url, _):
        assert fetch(FILE, [url], tmp_path).read_bytes() == CONTENT
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "train.gz" in captured.err
    assert "100%" in captured.err
