"""How much of anything is accepted, from strangers and from our own people alike. Each name says its unit.

The table for what comes in over federation is that of the advisories on unlimited properties (R3, R5, R15,
R19); our own forms stay under it, so that whatever we accept from our people, a partner accepts from us (R4).
"""

DOCUMENT_BYTES = 1024 * 1024
"""A whole document from another instance, before it is parsed."""
DOCUMENT_DEPTH = 20
"""Objects and lists inside one another in such a document."""
CONTENT_BYTES = 100_000
"""HTML of one post, theirs or as rendered from ours, in UTF-8."""
SOURCE_BYTES = 40_000
"""What one of our people types into one post, in UTF-8; rendered it stays under CONTENT_BYTES as a rule."""
NAME_BYTES = 1_000
"""A name, title or summary of one line in a stranger's document."""
DISPLAY_NAME_CHARACTERS = 200
"""A person's or space's own name as people read it."""
SUMMARY_BYTES = 10_000
"""What somebody says about themselves, or a space about itself."""
HANDLE_CHARACTERS = 64
"""A local name: what stands after @."""
EMAIL_CHARACTERS = 254
"""A mail address (RFC 5321, 4.5.3.1.3)."""
MAIL_BYTES = 12 * 1024 * 1024
"""A message that comes by mail, with the files in it that we do not read."""
MAIL_PARTS = 60
"""Parts of such a message that are looked at."""
MAIL_ANSWERED_MS = 90 * 24 * 3600 * 1000
"""For how long somebody can answer by mail what they were written."""
URL_CHARACTERS = 2_048
"""Any address, in a document or in a link (R19)."""
TAGS = 100
"""Mentions, hashtags and emoji in one object, together."""
EMOJI = 50
"""Custom emoji in one object."""
ATTACHMENTS = 20
"""Files attached to one post."""
POLL_OPTIONS = 10
"""Answers that one of our people's polls offers, at least two."""
POLL_OPTIONS_ELSEWHERE = 20
"""The same of a poll from elsewhere (R3)."""
POLL_OPTION_CHARACTERS = 100
"""One answer of ours."""
POLL_OPTION_CHARACTERS_ELSEWHERE = 200
"""One answer from elsewhere (R3)."""
POLL_SHORTEST_S = 5 * 60
POLL_LONGEST_S = 30 * 24 * 3600
"""How long a poll of ours runs, in seconds, if it ends."""
RECIPIENTS = 500
"""`to` and `cc` of one activity, together."""
UNKNOWN_ACTORS = 20
"""Strangers that one activity may make us look up (R21)."""
NEW_HOSTS_PER_HOUR = 100
"""Hosts of one registered domain that we have not met before and look up in an hour (F21)."""
NEW_ACTORS_PER_HOUR = 2_000
"""The same for actors."""
DESCRIPTION_BYTES = 10_000
"""The text that stands for a picture."""

HTML_DEPTH = 32
"""Elements inside one another in a post (H4)."""
HTML_NODES = 5_000
"""Elements, their attributes and pieces of text in a post (H4)."""
HTML_REFERENCES = 20_000
"""Characters in a post that HTML has to write as references; parsers spend the square of their number (R7)."""

UPLOAD_BYTES = 40 * 1024 * 1024
"""One file that our people attach."""
MEDIA_BYTES = 100 * 1024 * 1024
"""One file that is fetched from a partner, who may allow more than we do."""
FILE_NAME_BYTES = 200
"""A file's name, in UTF-8."""

PASSWORD_MIN_CHARACTERS = 10
PASSWORD_MAX_CHARACTERS = 500
"""Longer ones only cost us time to hash."""
EARLIEST_YEAR = 2000
LATEST_YEAR = 2999
LATEST_MS = 32_503_680_000_000 - 1
"""The latest day that anybody may name, and its last moment: a later one is a slip of the finger, and the calendars of
our languages end with 9999."""
AHEAD_MS = 10 * 60 * 1000
"""How far in the future a date from elsewhere may lie; later ones are brought back to this (R20)."""
