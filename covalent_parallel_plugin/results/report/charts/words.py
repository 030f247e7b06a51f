"""How a report writes times, memory, money and the user's texts."""

from __future__ import annotations

from datetime import datetime, timezone

from ....sweep.display.printable import printable

# What is shown of a text at most; the data inside the page have it all
TEXT_CHARACTERS = 4000
MIB, GIB = 2**20, 2**30


def shown(text: object, characters: int = TEXT_CHARACTERS) -> str:
    """Return a text as it can be shown: without escape sequences, control characters or lone surrogates, shortened."""
    whole = str(text)
    if len(whole) <= characters and whole.isprintable():
        return whole
    # So much at most is looked at: escape sequences are few
    lines = (printable(line) for line in whole[: 4 * characters].split("\n"))
    clean = "\n".join(lines).strip("\n")
    return clean if len(clean) <= characters and len(whole) <= 4 * characters else clean[: characters - 1] + "…"


def short(text: object, characters: int = 60) -> str:
    """Return a text on one line of at most so many characters."""
    return shown(" ".join(shown(text, characters + 1).split()), characters)


def duration(seconds: float) -> str:
    """Write a length of time in its two largest units, such as 5 m 16 s."""
    seconds = max(seconds, 0.0)
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms" if seconds else "0 s"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    for size, unit, smaller_size, smaller in ((86400, "d", 3600, "h"), (3600, "h", 60, "m"), (60, "m", 1, "s")):
        count, rest = divmod(round(seconds / smaller_size), size // smaller_size)
        if count:
            return f"{count} {unit} {rest:02} {smaller}"
    return f"{seconds:.0f} s"


def item_duration(seconds: float) -> str:
    """Write how long an item took, which is known to the millisecond."""
    return duration(seconds) if seconds >= 0.0005 else "< 1 ms"


def tick_text(seconds: float) -> str:
    """Write a round length of time, such as 5 m, 1 h 30 m or 2 d."""
    if seconds < 1:
        return f"{seconds * 1000:g} ms" if seconds else "0"
    if seconds < 60:
        return f"{seconds:g} s"
    parts, rest = [], round(seconds)
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m"), (1, "s")):
        count, rest = divmod(rest, size)
        parts += [f"{count} {unit}"] if count else []
    return " ".join(parts)


def moment(time: float | None, is_full: bool = False) -> str:
    """Write a time of the day in UTC, with the date if it is wanted; – for None."""
    if time is None:
        return "–"
    at = datetime.fromtimestamp(time, timezone.utc)
    return f"{at:%H:%M:%S} on {at.day} {at:%b %Y}" if is_full else f"{at:%H:%M:%S}"


def memory(count: float) -> str:
    """Write bytes as the option `memory` means them, of which 1 GB is 2**30: MB, GB or TB."""
    if count >= 999.95 * GIB:
        return f"{count / GIB / 1024:.1f} TB"
    return f"{count / GIB:.1f} GB" if count >= 0.9995 * GIB else f"{count / MIB:.0f} MB"


def hours(seconds: float) -> str:
    """Write machine-hours: what was used is never nothing."""
    value = seconds / 3600
    return f"{value:,.1f}" if value >= 9.95 else f"{value:.2f}" if value >= 0.00995 or not value else f"{value:.2g}"


def dollars(value: float | None, digits: int = 2) -> str:
    """Write an amount, – where it is not known; what has a price is never nothing."""
    if value is None:
        return "–"
    return f"${value:,.{digits}f}" if value >= 10.0**-digits or not value else f"< ${10.0**-digits:.{digits}f}"


def percent(part: float, whole: float) -> str:
    """Write a share, 0 % only if it is nothing."""
    share = 100 * part / whole if whole else 0.0
    return f"{share:.0f} %" if share >= 9.95 or not share else f"{share:.1f} %" if share >= 0.05 else "< 0.1 %"


def counted(count: int, word: str, words: str = "") -> str:
    """Write a number with its noun: 1 task, 2 tasks."""
    return f"{count:,} {word if count == 1 else words or word + 's'}"
