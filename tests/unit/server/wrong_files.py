"""Declarative files that are wrong, each in one way: where, which key, and words of what was expected.

The text is what follows `schema = 1`, which is line 1, unless it begins with `=`: then it is the whole file.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Wrong:
    """A file and its one fault. `text` bytes: as they are."""

    name: str
    text: str | bytes
    line: int
    column: int
    key: str
    french: str
    english: str

    @property
    def raw(self) -> bytes:
        if isinstance(self.text, bytes):
            return self.text
        return (self.text[1:] if self.text.startswith("=") else f"schema = 1\n{self.text}").encode()


SPACE = '[space.lyon]\nowner = "alice"\n'  # lines 2 and 3
LINKED = '[partner."kestrel.example"]\n'  # line 2
OPEN = f'{LINKED}ceiling = "network"\n[space.lyon]\nlevel = "partners"\n'  # lines 2 to 5
CAPPED = '[guardrails]\nmax_level = "partners"\nrequire_until_from = "partners"\n'  # lines 2 to 4
LATER = "2999-01-01"

WRONG = [
    # --- not TOML
    Wrong("bom", b"\xef\xbb\xbfschema = 1\n", 1, 1, "", "sans marque d’ordre", "without a byte order mark"),
    Wrong("ten_megabytes", b"#" * 10_000_000, 1, 1, "", "au plus 524288 octets", "at most 524288 bytes"),
    Wrong("nul", b'schema = 1\n[space.lyon]\ntone = "a\0b"\n', 3, 10, "space.lyon.tone", "sans caractère NUL", "NUL"),
    Wrong(
        "latin_1", 'schema = 1\n[space.lyon]\ntone = "é"\n'.encode("latin-1"), 3, 9, "space.lyon.tone", "UTF-8", "UTF-8"
    ),
    Wrong("utf_16", "schema = 1\n".encode("utf-16-be"), 1, 1, "", "sans caractère NUL", "NUL"),
    Wrong("empty", b"", 1, 1, "schema", "schema = 1", "expected schema = 1"),
    Wrong(
        "deep_lists",
        SPACE + "stewards = " + "[" * 300 + "]" * 300,
        4,
        22,
        "space.lyon.stewards[1][1][1][1][1][1][1][1][1]",
        "imbriqués",
        "nested",
    ),
    Wrong("deep_keys", SPACE + ".".join("a" * 300) + " = 1", 4, 1, "a.a.a.a.a.a.a.a.a.a.a.a", "imbriqués", "nested"),
    Wrong("no_value", SPACE + "level =\n", 4, 8, "space.lyon.level", "une valeur (texte", "a value (a text"),
    Wrong("no_quotes", SPACE + "level = partners\n", 4, 9, "space.lyon.level", "entre guillemets", "in quotes"),
    Wrong(
        "open_quotes",
        SPACE + 'tone = "direct\n',
        4,
        15,
        "space.lyon.tone",
        "sans ce caractère",
        "without this character",
    ),
    Wrong("open_list", SPACE + 'stewards = ["li"', 4, 17, "space.lyon.stewards", "« ] » ou « } »", "“]” or “}”"),
    Wrong(
        "two_on_a_line",
        SPACE + 'tone = "a" frame = "b"\n',
        4,
        12,
        "space.lyon.tone",
        "la fin de la ligne",
        "the end of the line",
    ),
    Wrong("no_equals", SPACE + 'tone "direct"\n', 4, 6, "space.lyon.tone", "« = » après la clé", "“=” after the key"),
    Wrong("no_key", SPACE + '= "direct"\n', 4, 1, "space.lyon.owner", "une clé", "a key"),
    Wrong("impossible_date", SPACE + "until = 2027-02-30\n", 4, 9, "space.lyon.until", "attendu", "expected"),
    Wrong(
        "long_number",
        SPACE + "seats = " + "9" * 5000,
        4,
        9,
        "space.lyon.seats",
        "un nombre plus court",
        "a shorter number",
    ),
    Wrong("backslash", SPACE + 'tone = "\\q"\n', 4, 11, "space.lyon.tone", "barre oblique inverse", "a backslash"),
    # --- twice
    Wrong(
        "key_twice",
        SPACE + 'level = "closed"\nlevel = "internal"\n',
        5,
        1,
        "space.lyon.level",
        "déjà à la ligne 4",
        "already in line 4",
    ),
    Wrong(
        "space_twice",
        SPACE + '[space.paris]\n[space."lyon"]\n',
        5,
        8,
        "space.lyon",
        "déjà à la ligne 2",
        "already in line 2",
    ),
    Wrong(
        "section_twice",
        LINKED + "[guardrails]\n" + LINKED,
        4,
        10,
        'partner."kestrel.example"',
        "déjà à la ligne 2",
        "already in line 2",
    ),
    Wrong(
        "table_over_value",
        SPACE + 'name = "Lyon"\n[space.lyon.name]\nfr = "Lyon"\n',
        5,
        13,
        "space.lyon.name",
        "déjà à la ligne 4",
        "already in line 4",
    ),
    Wrong(
        "partner_twice",
        OPEN + 'partners = ["kestrel.example", { host = "kestrel.example" }]\n',
        6,
        32,
        "space.lyon.partners[2]",
        "une seule fois",
        "once only",
    ),
    # --- keys and kinds
    Wrong("no_schema", '=[space.lyon]\nlevel = "closed"\n', 1, 1, "schema", "schema = 1", "schema = 1"),
    Wrong("other_schema", "=schema = 2\n", 1, 1, "schema", "schema = 1", "schema = 1"),
    Wrong("true_is_not_one", "=schema = true\n", 1, 1, "schema", "schema = 1", "schema = 1"),
    Wrong(
        "unknown_section",
        '[spaces.lyon]\nlevel = "closed"\n',
        2,
        2,
        "spaces",
        "guardrails, partner, space",
        "keys schema",
    ),
    Wrong(
        "unknown_key",
        SPACE + 'niveau = "closed"\n',
        4,
        1,
        "space.lyon.niveau",
        "l’une des clés level",
        "one of the keys level",
    ),
    Wrong(
        "odd_key", SPACE + '"\\u0001 é" = 1\n', 4, 1, 'space.lyon."\\x01 \\xe9"', "l’une des clés", "one of the keys"
    ),
    Wrong(
        "unknown_level", SPACE + 'level = "open"\n', 4, 1, "space.lyon.level", '"closed", "internal"', 'one of "closed"'
    ),
    Wrong("level_is_a_number", SPACE + "level = 3\n", 4, 1, "space.lyon.level", '"partners"', 'one of "closed"'),
    Wrong("flag_is_a_text", SPACE + 'listed = "yes"\n', 4, 1, "space.lyon.listed", "true ou false", "true or false"),
    Wrong(
        "number_is_a_flag",
        SPACE + "seats = true\n",
        4,
        1,
        "space.lyon.seats",
        "un nombre entier de 0",
        "a whole number from 0",
    ),
    Wrong(
        "too_many_posts",
        SPACE + "first_posts_moderated = 11\n",
        4,
        1,
        "space.lyon.first_posts_moderated",
        "de 0 à 10",
        "from 0 to 10",
    ),
    Wrong("infinite", SPACE + "review_days = inf\n", 4, 1, "space.lyon.review_days", "de 0 à 3650", "from 0 to 3650"),
    Wrong("tone_too_long", SPACE + f'tone = "{"a" * 301}"\n', 4, 1, "space.lyon.tone", "au plus 300", "at most 300"),
    Wrong("escaped_nul", SPACE + 'frame = "\\u0000"\n', 4, 1, "space.lyon.frame", "au plus 5000", "at most 5000"),
    Wrong("space_is_a_text", 'space = "lyon"\n', 2, 1, "space", "une table", "a table"),
    Wrong(
        "name_in_german",
        SPACE + 'name = { fr = "Lyon", de = "Lyon" }\n',
        4,
        23,
        "space.lyon.name.de",
        "fr, en",
        "fr, en",
    ),
    Wrong(
        "stewards_is_a_text",
        SPACE + 'stewards = "li"\n',
        4,
        1,
        "space.lyon.stewards",
        "une liste d’au plus 50",
        "a list of at most 50",
    ),
    Wrong(
        "steward_is_a_number",
        SPACE + 'stewards = [\n  "li",\n  7,\n]\n',
        6,
        3,
        "space.lyon.stewards[2]",
        "le nom d’une personne",
        "the name of a person",
    ),
    Wrong(
        "slug",
        '[space."Offre Lyon"]\nlevel = "closed"\n',
        2,
        8,
        'space."Offre Lyon"',
        "lettres minuscules",
        "lower-case letters",
    ),
    Wrong(
        "unknown_history", SPACE + 'history = "days:0"\n', 4, 1, "space.lyon.history", "since_joining", "since_joining"
    ),
    Wrong(
        "manage_unknown",
        SPACE + 'manage = ["owner", "niveau"]\n',
        4,
        20,
        "space.lyon.manage[2]",
        "l’une des clés",
        "one of the keys",
    ),
    Wrong(
        "manage_not_given",
        SPACE + 'manage = ["until"]\n',
        4,
        11,
        "space.lyon.manage[1]",
        "« until » n’y est pas",
        "“until” is not there",
    ),
    Wrong(
        "rights",
        SPACE + 'less = { staff_member = { files = "none" } }\n',
        4,
        1,
        "space.lyon.less",
        "une table de droits",
        "a table of rights",
    ),
    Wrong(
        "objectives",
        SPACE + 'objectives = [{ goal = "10" }]\n',
        4,
        1,
        "space.lyon.objectives",
        "text, metric, target",
        "text, metric, target",
    ),
    # --- dates
    Wrong(
        "date_is_a_text",
        SPACE + 'until = "2027-01-31"\n',
        4,
        1,
        "space.lyon.until",
        "une date (2027-01-31)",
        "a date (2027-01-31)",
    ),
    Wrong(
        "no_zone", SPACE + "until = 2027-01-31T18:00:00\n", 4, 1, "space.lyon.until", "avec son fuseau", "with its zone"
    ),
    Wrong("a_time_alone", SPACE + "until = 18:00:00\n", 4, 1, "space.lyon.until", "une date", "a date"),
    Wrong("year_1", SPACE + "opens = 0001-01-01\n", 4, 1, "space.lyon.opens", "une date", "a date"),
    Wrong(
        "end_before_start",
        SPACE + f'level = "internal"\nopens = {LATER}\nuntil = 2998-12-31\n',
        6,
        1,
        "space.lyon.until",
        "après le début",
        "after the start",
    ),
    # --- partners
    Wrong(
        "unknown_partner",
        OPEN + 'partners = ["kestrel.example", "autre.example"]\n',
        6,
        32,
        "space.lyon.partners",
        "sa section",
        "its section",
    ),
    Wrong(
        "unknown_partner_key",
        OPEN + 'partners = [{ host = "kestrel.example", rights = 1 }]\n',
        6,
        41,
        "space.lyon.partners[1].rights",
        "l’une des clés host",
        "one of the keys host",
    ),
    Wrong(
        "nameless_partner",
        OPEN + 'partners = [{ reach = "invited" }]\n',
        6,
        13,
        "space.lyon.partners[1]",
        "la clé « host »",
        "the key “host”",
    ),
    Wrong(
        "too_many_rights",
        OPEN + 'partners = [{ host = "kestrel.example", files = "all" }]\n',
        6,
        41,
        "space.lyon.partners[1].files",
        '"view"',
        '"download"',
    ),
    Wrong(
        "host",
        '[partner."https://kestrel.example/"]\n',
        2,
        10,
        'partner."https://kestrel.example/"',
        "le nom d’une instance",
        "the name of an instance",
    ),
    Wrong(
        "fingerprint",
        LINKED + 'key = "sha256:abc"\n',
        3,
        1,
        'partner."kestrel.example".key',
        "64 chiffres",
        "64 hexadecimal digits",
    ),
    Wrong(
        "over_ceiling",
        LINKED + 'ceiling = "internal"\n[space.lyon]\nlevel = "partners"\npartners = ["kestrel.example"]\n',
        6,
        13,
        "space.lyon.partners",
        "le plafond de ce partenaire",
        "the ceiling of this partner",
    ),
    Wrong(
        "after_the_section",
        LINKED
        + "until = 2998-01-01\n"
        + f'[space.lyon]\nlevel = "partners"\npartners = [{{ host = "kestrel.example", until = {LATER} }}]\n',
        6,
        13,
        "space.lyon.partners",
        "ne dépasse pas",
        "not after",
    ),
    # --- what may not be decided
    Wrong(
        "over_guardrail",
        CAPPED + f'[space.lyon]\nlevel = "network"\nuntil = {LATER}\n',
        6,
        1,
        "space.lyon.level",
        "au-delà du niveau Partenaires",
        "beyond level Partners",
    ),
    Wrong(
        "no_end",
        CAPPED + '[space.lyon]\nlevel = "partners"\n',
        5,
        8,
        "space.lyon.until",
        "demande une date de fin",
        "asks for an end date",
    ),
    Wrong(
        "too_long",
        "[guardrails]\nmax_days_open = 30\n" + f'[space.lyon]\nlevel = "network"\nuntil = {LATER}\n',
        6,
        1,
        "space.lyon.until",
        "plus de 30 jours",
        "more than 30 days",
    ),
    Wrong(
        "closed_with_partners",
        LINKED + '[space.lyon]\nlevel = "closed"\npartners = ["kestrel.example"]\n',
        5,
        1,
        "space.lyon.partners",
        "choisissez le niveau Partenaires",
        "choose the level Partners",
    ),
    Wrong(
        "blind_and_public",
        SPACE + 'level = "public"\npartner_view = "blind"\n',
        5,
        1,
        "space.lyon.partner_view",
        "niveau Partenaires",
        "level Partners",
    ),
    Wrong(
        "wider_after",
        SPACE + f'level = "internal"\nuntil = {LATER}\nthen = "public"\n',
        6,
        1,
        "space.lyon.then",
        "plus ouvert",
        "more open",
    ),
    Wrong(
        "indexed_inside",
        SPACE + 'level = "internal"\nindexing = true\n',
        5,
        1,
        "space.lyon.indexing",
        "Seul un espace Public",
        "Public",
    ),
    # --- the charter
    Wrong(
        "charter_outside",
        SPACE + 'charter = "../secret.md"\n',
        4,
        1,
        "space.lyon.charter",
        "à côté de celui-ci",
        "beside this one",
    ),
    Wrong(
        "charter_anywhere",
        SPACE + 'charter = "/etc/hostname"\n',
        4,
        1,
        "space.lyon.charter",
        "à côté de celui-ci",
        "beside this one",
    ),
    Wrong(
        "charter_by_a_link",
        SPACE + 'charter = "linked.md"\n',
        4,
        1,
        "space.lyon.charter",
        "sans lien symbolique",
        "without symbolic links",
    ),
    Wrong(
        "charter_below_a_link",
        SPACE + 'charter = "folder/charter.md"\n',
        4,
        1,
        "space.lyon.charter",
        "sans lien symbolique",
        "without symbolic links",
    ),
    Wrong(
        "charter_missing",
        SPACE + 'charter = "nowhere.md"\n',
        4,
        1,
        "space.lyon.charter",
        "un fichier texte",
        "a text file",
    ),
    Wrong(
        "charter_is_a_folder", SPACE + 'charter = "."\n', 4, 1, "space.lyon.charter", "un fichier texte", "a text file"
    ),
    Wrong(
        "charter_too_long",
        SPACE + 'charter = "long.md"\n',
        4,
        1,
        "space.lyon.charter",
        "au plus 20000",
        "at most 20000",
    ),
]
