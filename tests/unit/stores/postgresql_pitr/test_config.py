"""The restored server's configuration: ours alone, and nothing of the original's comes to life."""

from __future__ import annotations

from pathlib import Path

import pytest

from midtime.errors import StoreAccessError
from midtime.stores.postgresql_pitr.config import FILES, Doors, Goal, require_plain, worker_user, write_config

SETTINGS = {"max_connections": "100", "TimeZone": "Asia/Tokyo", "odd": "it's \\ odd"}


def written(data: Path) -> dict[str, str]:
    return {name: (data / name).read_text() for name in FILES}


def doors(tmp_path: Path, *, is_open: bool = False, login: str = "midtime") -> Doors:
    return Doors(tmp_path, 5433, login, is_open)


def test_the_originals_are_kept_and_not_read(tmp_path: Path) -> None:
    for name in FILES:
        (tmp_path / name).write_text("shared_preload_libraries = 'pg_cron'\narchive_command = 'rm -rf /'\nhost all all all trust\n")
    for _ in range(2):
        write_config(tmp_path, doors(tmp_path), SETTINGS)
    for name, content in written(tmp_path).items():
        assert "pg_cron" not in content
        assert "trust" not in content
        assert "rm -rf" not in content
        assert "pg_cron" in (tmp_path / f"{name}.original").read_text(), "the second time, ours are not taken for the original's"


def test_nothing_to_be_kept(tmp_path: Path) -> None:
    """Where the original has its configuration elsewhere, as on Debian."""
    write_config(tmp_path, doors(tmp_path), SETTINGS)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(FILES)


def test_closed_it_has_no_network_address_and_lets_in_the_verification_alone(tmp_path: Path) -> None:
    write_config(tmp_path, doors(tmp_path), SETTINGS)
    found = written(tmp_path)
    assert "listen_addresses = ''\n" in found["postgresql.conf"]
    assert found["pg_hba.conf"] == 'local all "midtime" peer map=midtime\n'
    assert found["pg_ident.conf"] == f'midtime "{worker_user()}" "midtime"\n'
    for dead in ("archive_mode = 'off'", "max_logical_replication_workers = '0'", "shared_preload_libraries = ''", "hot_standby = 'off'"):
        assert dead in found["postgresql.conf"]


def test_open_it_asks_for_passwords_on_the_loopback_address_alone(tmp_path: Path) -> None:
    write_config(tmp_path, doors(tmp_path, is_open=True), SETTINGS)
    found = written(tmp_path)
    assert "listen_addresses = '127.0.0.1'\n" in found["postgresql.conf"]
    assert "trust" not in found["pg_hba.conf"]
    assert [line.split()[:4] for line in found["pg_hba.conf"].splitlines()[1:]] == [["host", "all", "all", "127.0.0.1/32"]]


def test_a_goal_is_in_it_only_while_it_recovers(tmp_path: Path) -> None:
    write_config(tmp_path, doors(tmp_path), SETTINGS, Goal("midtime_1", "cp x %f"))
    assert "recovery_target_name = 'midtime_1'\n" in written(tmp_path)["postgresql.conf"]
    assert "recovery_target_timeline = 'current'\n" in written(tmp_path)["postgresql.conf"]
    write_config(tmp_path, doors(tmp_path), SETTINGS)
    assert "recovery" not in written(tmp_path)["postgresql.conf"]
    assert "restore_command" not in written(tmp_path)["postgresql.conf"]


def test_values_are_quoted_and_ours_win(tmp_path: Path) -> None:
    write_config(tmp_path, doors(tmp_path), {**SETTINGS, "archive_mode": "on"})
    assert "odd = 'it''s \\\\ odd'\n" in written(tmp_path)["postgresql.conf"]
    assert "archive_mode = 'off'\n" in written(tmp_path)["postgresql.conf"]
    assert "archive_mode = 'on'" not in written(tmp_path)["postgresql.conf"]


def test_a_login_called_all_is_only_that(tmp_path: Path) -> None:
    write_config(tmp_path, doors(tmp_path, login="all"), SETTINGS)
    assert 'local all "all" peer' in written(tmp_path)["pg_hba.conf"]


@pytest.mark.parametrize("text", ['a"b', "a'b", "a\\b", "a$b", "a`b", "a%b", "a\nb", "a\x00b"])
def test_what_a_file_or_a_shell_cannot_hold_is_refused(text: str) -> None:
    with pytest.raises(StoreAccessError, match="cannot hold"):
        require_plain(text, "the folder")


def test_spaces_and_letters_of_all_kinds_are_no_trouble() -> None:
    assert require_plain("/srv/köln (2)/日本 a", "the folder")
