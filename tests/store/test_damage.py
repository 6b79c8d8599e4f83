"""Which errors of a driver mean that the database is damaged, and what the message says."""

import pytest
import sqlalchemy as sa

from modelyard.store.damage import WHAT_TO_DO, damage_error, is_damage


class DriverError(Exception):
    sqlite_errorcode: int | None = None
    sqlstate: str | None = None


def error(code: int | None = None, state: str | None = None, text: str = "") -> DriverError:
    problem = DriverError(text)
    problem.sqlite_errorcode, problem.sqlstate = code, state
    return problem


@pytest.mark.parametrize(
    ("problem", "expected"),
    [
        (error(11), True),
        (error(26), True),
        (error(11 | 2 << 8), True),
        (error(10), False),
        (error(5), False),
        (error(5 | 11 << 8), False),
        (error(0), False),
        (error(state="XX001"), True),
        (error(state="XX002"), True),
        (error(state="40001"), False),
        (error(text="Could not decode to UTF-8 column 'name'"), True),
        (error(text="disk is full"), False),
        (None, False),
    ],
    ids=range(13),
)
def test_damage_is_known_by_the_code_of_the_driver(problem: BaseException | None, expected: bool) -> None:
    assert expected == is_damage(problem)


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("sqlite:////data/modelyard.sqlite", " /data/modelyard.sqlite"),
        ("postgresql://me:secret@db/modelyard", " postgresql://me:***@db/modelyard"),
        (None, ""),
    ],
)
def test_the_message_names_the_database_without_its_password_in_one_line(url: str | None, name: str) -> None:
    problem = damage_error(sa.make_url(url) if url else None, "malformed\n  image")

    assert f"the database{name} is damaged (malformed image): {WHAT_TO_DO}" == problem.message
