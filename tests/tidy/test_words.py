"""What no file of the project may say. The patterns are built from pieces so that this file may be searched too."""

import re

from tests.tidy.tree import lines, texts

REGISTRIES = ["py" + "pi.org", "python" + "hosted.org", "npm" + "js.org", "yarn" + "pkg.com", "npm" + "mirror.com"]
DOWNLOAD = re.compile(
    "|".join(re.escape(host) for host in REGISTRIES)
    + r"|https?://\S+\.(?:whl|tgz)\b|^\s*\"resolved\":|--(?:extra-)?index"
    r"-url[ =]"
)
UNFINISHED = re.compile(r"\b(?:TO" + r"DO|FIX" + r"ME|XX" + r"X|HA" + r"CK)\b")
# A folder of some person's machine, not the end of a longer path or address.
MACHINE = re.compile(r"(?<![\w./<>{}*-])/(?:home|Users|root|work)/[a-z]")


def found(pattern: re.Pattern[str], names: list[str]) -> list[str]:
    return [
        f"{name}:{number}: {line.strip()[:100]}"
        for name in names
        for number, line in enumerate(lines(name), 1)
        if pattern.search(line)
    ]


def test_no_file_names_the_place_a_package_was_downloaded_from() -> None:
    assert found(DOWNLOAD, texts(generated=True)) == []


def test_nothing_is_left_for_later() -> None:
    assert found(UNFINISHED, [name for name in texts(generated=False) if not name.endswith(("lock", ".json"))]) == []


def test_no_file_knows_a_developers_machine() -> None:
    assert found(MACHINE, texts(generated=True)) == []
