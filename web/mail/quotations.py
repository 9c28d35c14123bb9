"""What somebody wrote in an answer, without what their mail program put around it."""

import re

from web.locale import speech
from web.mail.writing import ABOVE

WROTE = re.compile(
    r"(?:le|on|am|el|il|op)\b.{4,300}(?:a écrit|wrote|schrieb|escribió|ha scritto|schreef)\b.{0,80}:\s*", re.I
)
RULE = re.compile(
    r"\s*(?:_{10,}|-{3,}\s*(?:message d[’']origine|original message|message transféré|forwarded message)\s*-{3,})\s*",
    re.I,
)
HEADING = re.compile(r"\s*\*?(?:de|from|von)\s?:\*?\s.+", re.I)
UNDER_HEADING = re.compile(r"\s*\*?(?:envoyé|sent|date|gesendet|à|to|an)\s?:\*?\s.*", re.I)
SENT_FROM = re.compile(
    r"(?:envoyé (?:de(?:puis)? mon|avec)|sent from my|sent with|obtenir outlook|obtenez outlook|"
    r"télécharger outlook|get outlook|provenance\s?:)\b.*",
    re.I,
)
MARKS = tuple(speech(language).gettext(ABOVE).strip("— ") for language in ("fr", "en"))


def without_quotations(text: str) -> str:
    """The answer alone, wherever it stands: above what it quotes, below, or between."""
    lines = [line.replace("\u200b", "").rstrip("\n") for line in text.split("\n")]
    end = next((number for number in range(len(lines)) if _begins_quotation(lines, number)), len(lines))
    above = _own(lines[:end])
    return above or _own([line for line in lines[end:] if not _introduces(line)])


def _begins_quotation(lines: list[str], number: int) -> bool:
    line = lines[number].strip()
    under = lines[number + 1].strip() if number + 1 < len(lines) else ""
    if any(mark in line for mark in MARKS) or RULE.fullmatch(line):
        return True
    if WROTE.fullmatch(line) or (under and not under.startswith(">") and WROTE.fullmatch(f"{line} {under}")):
        return True
    return bool(HEADING.fullmatch(line)) and any(UNDER_HEADING.fullmatch(one) for one in lines[number + 1 : number + 4])


def _introduces(line: str) -> bool:
    return bool(WROTE.fullmatch(line.strip()) or RULE.fullmatch(line)) or any(mark in line for mark in MARKS)


def _own(lines: list[str]) -> str:
    """Without quoted lines, and what follows the mark of a signature."""
    kept: list[str] = []
    for line in lines:
        if line.rstrip("\r") in ("-- ", "--"):
            break
        if not line.lstrip().startswith(">"):
            kept.append(line.rstrip())
    while kept and (not kept[-1].strip() or SENT_FROM.fullmatch(kept[-1].strip())):
        kept.pop()
    return re.sub(r"\n{3,}", "\n\n", "\n".join(kept)).strip()
