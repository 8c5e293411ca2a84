"""What is said of a certificate and its key that OpenSSL does not take."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.keys import write_keys

from mms.errors import ConfigurationError
from mms.settings import Settings
from mms.sockets.tls import make_context

_TOO_SMALL = "cannot be used: the key is too small"


def _refusal(**of: str) -> str:
    settings = Settings()
    for name, value in of.items():
        setattr(settings, name, value)
    with pytest.raises(ConfigurationError) as refusal:
        make_context(settings)
    return str(refusal.value)


def test_a_key_that_is_too_small_is_named_as_such_in_files_and_in_a_keystore(
    tmp_path: Path,
) -> None:
    files = write_keys(tmp_path, bits=1024)

    of_files = _refusal(
        private_key_file=str(files.private_key), certificate_file=str(files.certificate)
    )
    of_keystore = _refusal(keystore=str(files.keystore), keystore_pass="changeit")

    assert _TOO_SMALL in of_files and str(files.private_key) in of_files
    assert "belong together" not in of_files
    assert _TOO_SMALL in of_keystore and f"keystore={files.keystore}" in of_keystore


def test_a_key_of_another_certificate_does_not_belong_to_it(tmp_path: Path) -> None:
    one, other = write_keys(tmp_path / "one"), write_keys(tmp_path / "other")

    refusal = _refusal(
        private_key_file=str(one.private_key), certificate_file=str(other.certificate)
    )

    assert "do not belong together" in refusal
