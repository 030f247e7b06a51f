"""Match objects' names against the glob of a list request.

Source: "List objects and prefixes using glob" in Cloud Storage's documentation: `*` and `?` stop at "/", `**` does not,
`[...]` and `[!...]` are sets, `{a,b}` are alternatives.
"""

from __future__ import annotations

import re

from .refusals import StorageRefusal


def compile_glob(glob: str) -> re.Pattern[str]:
    """Return the pattern that whole names match. Raises StorageRefusal: 400 for one without an end."""
    try:
        return re.compile(_translated(glob), re.DOTALL)
    except (re.error, ValueError) as error:
        raise StorageRefusal(400, "invalid", f"Invalid value for 'matchGlob': {glob!r}") from error


def _translated(glob: str) -> str:
    found: list[str] = []
    place = depth = 0
    while place < len(glob):
        character = glob[place]
        place += 1
        if character == "\\" and place < len(glob):
            found.append(re.escape(glob[place]))
            place += 1
        elif glob.startswith("**/", place - 1):
            # "a/**/b" is also "a/b"
            found.append("(?:.*/)?")
            place += 2
        elif glob.startswith("**", place - 1):
            found.append(".*")
            place += 1
        elif character in "*?":
            found.append("[^/]*" if character == "*" else "[^/]")
        elif character == "[":
            end = glob.index("]", place + 2 if glob.startswith(("!", "^"), place) else place + 1)
            body = glob[place:end].replace("\\", r"\\").replace("[", r"\[")
            found.append(f"(?!/)[{'^' + body[1:] if body[0] in '!^' else body}]")
            place = end + 1
        elif character in "{}," and (depth or character == "{"):
            depth += {"{": 1, "}": -1, ",": 0}[character]
            found.append({"{": "(?:", "}": ")", ",": "|"}[character])
        else:
            found.append(re.escape(character))
    return "".join(found)
