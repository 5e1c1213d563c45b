"""A journal recorded once is carried out by today's program as it was then: rules do not change by themselves."""

from itertools import zip_longest

from servers.domain.exchange import RULES_VERSION
from servers.engine.codec import _DECODERS
from tests.golden.recording import FOLDER, STRETCH, path_of, read_commands, read_outcome, replay

CHANGED = """
The rules do something else than they did when this journal was recorded, with the commands {first} to {last}.
If that is not meant, mend it. If it is:
  1. raise RULES_VERSION in servers/domain/exchange.py: a leader then begins with ChangeRules, and a replica that does not
     know the version stops in front of it instead of coming to another state;
  2. record the journal of the new version: python -m tests.golden.record; commit it beside the old ones, which stay;
  3. say in docs/decisions what changed, and that the venue has to be projected to its end before the new program leads.
If only what is *told* of a command changed (a field was added to a message), record again with --replace.
"""


def test_the_recorded_journal_gives_what_it_gave() -> None:
    assert path_of(RULES_VERSION).exists(), (
        f"no journal of rules version {RULES_VERSION}: python -m tests.golden.record"
    )
    expected, found = read_outcome(RULES_VERSION), replay(read_commands(RULES_VERSION))
    for at, (then, now) in enumerate(zip_longest(expected.stretches, found.stretches)):
        assert now == then, CHANGED.format(first=at * STRETCH + 1, last=(at + 1) * STRETCH)
    assert found == expected


def test_every_kind_of_command_is_in_the_recording() -> None:
    missing = set(_DECODERS) - set(read_outcome(RULES_VERSION).kinds)
    assert missing == set(), "teach tests/property/traffic.py, then: python -m tests.golden.record"


def test_the_recordings_of_older_rules_are_kept() -> None:
    assert {path.name for path in FOLDER.glob("*.xz")} == {path_of(n + 1).name for n in range(RULES_VERSION)}
