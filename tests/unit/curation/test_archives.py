"""Compressed dumps: decoded whole or not at all, and never more than allowed."""

from __future__ import annotations

import bz2
import gzip
import lzma
import shutil
from pathlib import Path

import py7zr
import pytest
from backports import zstd
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.curation.archives import ArchiveDamaged, decode_file, extract_7z, safe_member

DATA = b"".join(b'{"id": %d}\n' % n for n in range(20000))
LONG_WINDOW = {zstd.CompressionParameter.window_log: 27, zstd.CompressionParameter.enable_long_distance_matching: 1}


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("x.zst", zstd.compress(DATA, options=LONG_WINDOW)),
        ("x.zst", zstd.compress(DATA[:1000]) + zstd.compress(DATA[1000:])),
        ("x.gz", gzip.compress(DATA)),
        ("x.bz2", bz2.compress(DATA)),
        ("x.xz", lzma.compress(DATA)),
    ],
)
def test_decoding_is_whole_bounded_and_notices_a_cut(tmp_path: Path, name: str, data: bytes) -> None:
    source, target = tmp_path / name, tmp_path / "out"
    source.write_bytes(data)
    decode_file(source, name, target, 1 << 20)
    assert target.read_bytes() == DATA
    target.unlink()
    with pytest.raises(ArchiveDamaged, match="more than 1000 bytes"):
        decode_file(source, name, target, 1000)
    source.write_bytes(data[: len(data) // 2])
    with pytest.raises(ArchiveDamaged, match="cannot be decoded"):
        decode_file(source, name, target, 1 << 20)
    assert [path.name for path in tmp_path.iterdir()] == [name]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200), st.sampled_from([".zst", ".gz", ".bz2", ".xz"]))
def test_any_bytes_are_decoded_or_refused(tmp_path: Path, data: bytes, suffix: str) -> None:
    source = tmp_path / f"x{suffix}"
    source.write_bytes(data)
    try:
        decode_file(source, source.name, tmp_path / "out", 1 << 16)
    except ArchiveDamaged:
        assert not (tmp_path / "out").exists()
    (tmp_path / "out").unlink(missing_ok=True)


@pytest.fixture(params=["native", "liblzma"])
def decoder(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of the two decoders in turn; the native one is skipped where it is not installed."""
    if request.param == "liblzma":
        monkeypatch.setenv("PATH", "/nowhere")
    elif not (shutil.which("7zz") or shutil.which("7z")):
        pytest.skip("neither 7zz nor 7z is installed")


@pytest.mark.usefixtures("decoder")
def test_a_member_may_be_named_as_a_switch_is(tmp_path: Path) -> None:
    archive = tmp_path / "names.7z"
    names = ["-onowhere.xml", "@list.xml", "a*.xml"]
    with py7zr.SevenZipFile(archive, "w") as made:
        for name in [*names, "abc.xml.txt"]:
            made.writestr("<posts></posts>", name)
    assert [path.name for path in extract_7z(archive, archive.name, tmp_path / "out", 1 << 20)] == names


@pytest.mark.usefixtures("decoder")
def test_a_7z_archive_gives_its_xml_alone(tmp_path: Path) -> None:
    archive = tmp_path / "coffee.stackexchange.com.7z"
    with py7zr.SevenZipFile(archive, "w") as made:
        made.writestr("<posts></posts>", "Posts.xml")
        made.writestr("ignore", "readme.txt")
    assert [path.name for path in extract_7z(archive, archive.name, tmp_path / "out", 1 << 20)] == ["Posts.xml"]
    with pytest.raises(ArchiveDamaged, match="at most 5 are allowed"):
        extract_7z(archive, archive.name, tmp_path / "small", 5)
    archive.write_bytes(archive.read_bytes()[:60])
    with pytest.raises(ArchiveDamaged):
        extract_7z(archive, archive.name, tmp_path / "cut", 1 << 20)
    assert not (tmp_path / "cut").exists()


@pytest.mark.usefixtures("decoder")
@pytest.mark.parametrize("target", ["../secret", "Users.xml"])
def test_a_link_in_a_7z_archive_is_not_followed(tmp_path: Path, target: str) -> None:
    (tmp_path / "secret").write_text("not for you")
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "Users.xml").write_text("<users></users>")
    link = tmp_path / "files" / "Posts.xml"
    link.symlink_to(target)
    archive = tmp_path / "coffee.7z"
    with py7zr.SevenZipFile(archive, "w") as made:
        made.write(tmp_path / "files" / "Users.xml", "Users.xml")
        made.write(link, "Posts.xml")
    if target == "../secret":
        with pytest.raises(ArchiveDamaged):
            extract_7z(archive, archive.name, tmp_path / "out", 1 << 20)
    else:
        found = extract_7z(archive, archive.name, tmp_path / "out", 1 << 20)
        assert [path.name for path in found] == ["Users.xml"]


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/../../b", "..\\x", "C:/x", ""])
def test_members_stay_below_their_folder(name: str) -> None:
    assert not safe_member(name)
    assert safe_member("a/Posts.xml")
