import pytest

from classifr.backup.archive import new_archive, read_archive, verified_summary
from classifr.backup.encrypted_stream import CHUNK_BYTES
from classifr.backup.errors import BackupError

PASSPHRASE = "a long one"
BIG = bytes(range(256)) * 8192  # two chunks
FACTS = {"id": "1"}


def written(path, *, passphrase=""):
    with new_archive(path, passphrase=passphrase) as archive:
        archive.add("files/uploads/a.jpg", b"old")
        archive.add("files/uploads/b.jpg", BIG)
        archive.add("files/uploads/a.jpg", b"new")
        archive.finish(FACTS)
    return path


@pytest.fixture(params=["", PASSPHRASE], ids=["plain", "encrypted"])
def passphrase(request):
    return request.param


@pytest.fixture
def path(tmp_path, passphrase):
    return written(tmp_path / "archive", passphrase=passphrase)


def test_what_was_written_is_read_and_the_later_of_a_name_comes_later(path, passphrase):
    assert verified_summary(path, passphrase=passphrase)["parts"] == 2
    assert dict(read_archive(path, passphrase=passphrase))["files/uploads/a.jpg"] == b"new"


def test_only_its_owner_may_read_it(path):
    assert path.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("where", [0.3, 0.5, 0.99])
def test_a_changed_byte_is_found(path, passphrase, where):
    data = bytearray(path.read_bytes().rstrip(b"\0"))
    data[int(len(data) * where)] ^= 1
    path.write_bytes(data)
    with pytest.raises(BackupError, match=r"damaged"):
        verified_summary(path, passphrase=passphrase)


@pytest.mark.parametrize("length", [0, 100, CHUNK_BYTES, CHUNK_BYTES + 60, -11_000])
def test_an_end_that_is_cut_off_is_found(path, passphrase, length):
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(BackupError, match=r"damaged"):
        verified_summary(path, passphrase=passphrase)


def test_a_wrong_passphrase_opens_nothing(tmp_path):
    path = written(tmp_path / "archive", passphrase=PASSPHRASE)
    with pytest.raises(BackupError, match="BACKUP_PASSPHRASE is not the one"):
        verified_summary(path, passphrase="another")
    with pytest.raises(BackupError, match="set BACKUP_PASSPHRASE"):
        verified_summary(path)
    assert b"a.jpg" not in path.read_bytes()


def test_chunks_cannot_change_places(tmp_path):
    path = written(tmp_path / "archive", passphrase=PASSPHRASE)
    data, chunk, head = path.read_bytes(), CHUNK_BYTES + 16, len(path.read_bytes()) % 1
    head = data.index(b"\n") + 1 + 16
    first, second = data[head : head + chunk], data[head + chunk : head + 2 * chunk]
    path.write_bytes(data[:head] + second + first + data[head + 2 * chunk :])
    with pytest.raises(BackupError, match="damaged"):
        verified_summary(path, passphrase=PASSPHRASE)


def test_a_file_that_is_there_is_not_overwritten(tmp_path):
    path = written(tmp_path / "archive")
    before = path.read_bytes()
    with pytest.raises(BackupError, match="there already"):
        written(path)
    assert path.read_bytes() == before


def test_what_breaks_off_leaves_no_archive(tmp_path):
    with pytest.raises(OSError, match="gone"), new_archive(tmp_path / "archive") as archive:
        archive.add("files/uploads/a.jpg", b"a")
        raise OSError("gone")
    assert list(tmp_path.iterdir()) == []


def test_an_archive_of_another_format_is_refused(tmp_path):
    with new_archive(tmp_path / "archive") as archive:
        archive.finish({"format": 99})
    with pytest.raises(BackupError, match="format 99"):
        verified_summary(tmp_path / "archive")
