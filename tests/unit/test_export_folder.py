"""The folder of exports belongs to the API alone."""

from __future__ import annotations

import os
from pathlib import Path

from api.exports.storage import LocalDraft


def test_other_accounts_cannot_enter_the_folder_that_the_api_makes(tmp_path: Path) -> None:
    folder, before = tmp_path / "data" / "exports", os.umask(0)
    try:
        draft = LocalDraft(folder / "exp_1.owner.part", folder / "exp_1.csv")
    finally:
        os.umask(before)
    draft.discard()
    assert folder.stat().st_mode & 0o777 == 0o700
