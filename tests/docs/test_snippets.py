"""Every snippet of every document is run, or held against what it speaks of."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.docs.markdown import DOCUMENTS, blocks
from tests.docs.reader import Reader, forget_modules
from tests.support import commands


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_block_does_what_it_says(
    document: str, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INTERLOCK_DATABASE_URL", database_url)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    monkeypatch.syspath_prepend(tmp_path)
    reader = Reader(tmp_path, commands.environment(database_url))
    try:
        for block in blocks(document):
            reader.read(block)
    finally:
        reader.close()
        forget_modules(tmp_path)
