"""Downloads, from a server of the test's own."""

import hashlib
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
import requests
from urllib3.exceptions import ConnectTimeoutError, MaxRetryError, NewConnectionError

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


class Mirrors:
    """Fail as requests does, once for each of these errors, and count."""

    def __init__(self, *errors):
        self.errors, self.asked = errors, []

    def __call__(self, url, file, folder):
        error = self.errors[len(self.asked) % len(self.errors)]
        self.asked.append(url)
        raise error


def unreachable(text="[Errno 111] Connection refused"):
    cause = NewConnectionError(None, text)
    return requests.ConnectionError(MaxRetryError(None, "/", cause))


def test_without_a_network_each_mirror_is_tried_once(tmp_path):
    mirrors = Mirrors(unreachable(), requests.ConnectTimeout(ConnectTimeoutError("no answer")))
    with pytest.raises(DataError) as caught:
        fetch(FILE, ["http://a/", "http://b/"], tmp_path, mirrors)
    assert mirrors.asked == ["http://a/train.gz", "http://b/train.gz"]
    assert "http://a/train.gz (" in str(caught.value)
    assert "http://b/train.gz (no answer)" in str(caught.value)


def test_one_mirror_that_was_reached_is_worth_a_second_round(tmp_path):
    mirrors = Mirrors(unreachable(), requests.HTTPError("503 Server Error"))
    with pytest.raises(DataError, match="503"):
        fetch(FILE, ["http://a/", "http://b/"], tmp_path, mirrors)
    assert len(mirrors.asked) == 4


def test_a_name_server_that_does_not_answer_is_not_asked_again(tmp_path, monkeypatch):
    ticks = iter([0.0, 3.6, 10.0, 13.6])
    monkeypatch.setattr(download.time, "perf_counter", lambda: next(ticks))
    mirrors = Mirrors(unreachable("Failed to resolve 'a' (Temporary failure in name resolution)"))
    with pytest.raises(DataError, match="Failed to resolve"):
        fetch(FILE, ["http://a/", "http://b/", "http://c/"], tmp_path, mirrors)
    assert mirrors.asked == ["http://a/train.gz"]


def test_a_name_that_is_soon_known_not_to_exist_leaves_the_other_mirrors(tmp_path):
    mirrors = Mirrors(unreachable("Failed to resolve 'a' (Name or service not known)"))
    with pytest.raises(DataError):
        fetch(FILE, ["http://a/", "http://b/", "http://c/"], tmp_path, mirrors)
    assert len(mirrors.asked) == 3
