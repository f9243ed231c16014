"""A data folder is one process's, and no other user can look into it."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.process import data_folder


def test_a_folder_is_made_for_this_user_alone(tmp_path: Path) -> None:
    folder = tmp_path / "some" / "data"
    data_folder.lock(folder).close()
    assert folder.stat().st_mode & 0o077 == 0


def test_a_folder_is_locked_until_its_lock_is_closed(tmp_path: Path) -> None:
    held = data_folder.lock(tmp_path)
    with pytest.raises(data_folder.Unusable, match="in use by another process"):
        data_folder.lock(tmp_path)
    held.close()
    data_folder.lock(tmp_path).close()


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "data").touch()
    with pytest.raises(data_folder.Unusable, match="it is a file"):
        data_folder.lock(tmp_path / "data")
