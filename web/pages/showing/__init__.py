"""What pages show: values from the queries into templates, in the reader's language."""

from web.pages.showing.deeds import admin_audit
from web.pages.showing.elsewhere import elsewhere
from web.pages.showing.explaining import who_sees
from web.pages.showing.feeds import feed, feed_address
from web.pages.showing.office import About, admin, admin_deliveries, admin_people, link, links
from web.pages.showing.overseeing import glasses, overseen, overseen_space
from web.pages.showing.own import login, login_once, mail_stop, notifications, settings
from web.pages.showing.partners import partner
from web.pages.showing.people import people, person, results
from web.pages.showing.posts import audience_line, audience_there, card, composer, editor, files_of, home, thread
from web.pages.showing.recalls import recall, recalls
from web.pages.showing.sharing import share
from web.pages.showing.spaces import about, guest, members, new_space, queue, space
from web.pages.showing.spaces import listed as spaces

__all__ = [
    "About",
    "about",
    "admin",
    "admin_audit",
    "admin_deliveries",
    "admin_people",
    "audience_line",
    "audience_there",
    "card",
    "composer",
    "editor",
    "elsewhere",
    "feed",
    "feed_address",
    "files_of",
    "glasses",
    "guest",
    "home",
    "link",
    "links",
    "login",
    "login_once",
    "mail_stop",
    "members",
    "new_space",
    "notifications",
    "overseen",
    "overseen_space",
    "partner",
    "people",
    "person",
    "queue",
    "recall",
    "recalls",
    "results",
    "settings",
    "share",
    "space",
    "spaces",
    "thread",
    "who_sees",
]
