"""Which team and scopes a person gets who signs in without a key, by the groups that they are in.

    artists studio read+write, admins studio admin, * guests read

The first rule whose group the person has decides the team. Later rules of the same team add their scopes. ``*`` is a
group that everybody has.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from modelyard import errors
from modelyard.domain import Scope

EVERYBODY = "*"
_SHOWN_GROUPS_MAX = 5


@dataclass(frozen=True, slots=True)
class TeamRule:
    """What members of a group may do, and for which team."""

    group: str
    team: str
    scopes: frozenset[Scope]


def parse_rules(text: str) -> tuple[TeamRule, ...]:
    """Return the rules of a setting, whose text was checked."""
    rules = [item.rsplit(None, 2) for item in text.split(",") if item]
    return tuple(TeamRule(group, team, frozenset(map(Scope, scopes.split("+")))) for group, team, scopes in rules)


def choose_team(rules: Sequence[TeamRule], name: str, groups: Collection[str]) -> tuple[str, frozenset[Scope]]:
    """Return the team of a person and their scopes. Raises SignInRefused if no rule fits."""
    matches = [rule for rule in rules if rule.group == EVERYBODY or rule.group in groups]
    if not matches:
        names = ", ".join(repr(group[:60]) for group in sorted(groups)[:_SHOWN_GROUPS_MAX]) or "none"
        raise errors.SignInRefused(
            f"{name} is in no group that has a team here; groups: {names}. "
            "Ask the administrator of this server for a team."
        )
    team = matches[0].team
    return team, frozenset[Scope]().union(*(rule.scopes for rule in matches if rule.team == team))
